"""Window functions, float64 on the host."""

import enum

import numpy as np
import scipy.signal
from jaxtyping import Float


class Window(enum.Enum):
    """The window's name in `scipy.signal.get_window`, with its parameter where it has one.

    RECTANGULAR: all ones. TUKEY: tapered over a quarter of its length, the default of `scipy.signal.spectrogram`.
    """

    HANN = "hann"
    HAMMING = "hamming"
    BLACKMAN = "blackman"
    BLACKMAN_HARRIS = "blackmanharris"
    BARTLETT = "bartlett"
    COSINE = "cosine"
    FLAT_TOP = "flattop"
    RECTANGULAR = "boxcar"
    TUKEY = ("tukey", 0.25)


def window(kind: Window, length: int, periodic: bool = True) -> Float[np.ndarray, " {length}"]:
    """Samples of a window, `scipy.signal.get_window(kind.value, length, fftbins=periodic)`.

    Args:
      kind: which window.
      length: in samples.
      periodic: one period, as the discrete Fourier transform wants it: without the last of `length + 1` samples of
        the symmetric window. Otherwise symmetric, as the design of filters wants it.

    Returns:
      `(length,)`, float64, with a maximum of 1 (or just below, where the middle falls between two samples).

    Raises:
      ValueError: the length is not positive.
    """
    if length < 1:
        raise ValueError(f"want a window of at least one sample, got {length}")
    return scipy.signal.get_window(kind.value, length, fftbins=periodic)


def hann(length: int) -> Float[np.ndarray, " {length}"]:
    """The periodic Hann window, float64."""
    return window(Window.HANN, length)


def centered_window(kind: Window, win_length: int | None, n_fft: int) -> Float[np.ndarray, " {n_fft}"]:
    """A periodic window in the middle of a frame, zeros beside it, as librosa and torch place it.

    Args:
      kind: which window.
      win_length: its length in samples; `n_fft` where None.
      n_fft: length of the frame in samples.

    Returns:
      `(n_fft,)`, float64.

    Raises:
      ValueError: not `1 <= win_length <= n_fft`.
    """
    win_length = n_fft if win_length is None else win_length
    if not 1 <= win_length <= n_fft:
        raise ValueError(f"want a win_length between 1 and n_fft = {n_fft}, got {win_length}")
    left = (n_fft - win_length) // 2
    return np.pad(window(kind, win_length), (left, n_fft - win_length - left))
