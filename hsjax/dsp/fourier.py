"""The short-time Fourier transform, its inverse, and the power and magnitude of its bins."""

import enum

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from hsjax.dsp.frames import Padding, copied_frames, frame, frame_count, hops, left_padding, overlap_add
from hsjax.dsp.hops import fourier_basis, harmonics, hop_dft
from hsjax.dsp.inputs import floating
from hsjax.dsp.windows import Window, centered_window

# scipy.signal.check_NOLA's: where the squared windows add up to less, a sample cannot be told from its spectrum.
_SMALLEST_WEIGHT = 1e-10

# Of whole hops, where the transform from hops is faster than that from frames.
_SHORT = 256  # samples: above, the fast transform of all bins overtakes
_HOPS_PER_FRAME = range(2, 9)


class Backend(enum.Enum):
    """How the transform is computed; the results agree to rounding.

    FFT: by the fast Fourier transform, for frames of a thousand samples or more.
    DFT: as matrix products with the Fourier basis, of the wanted bins only, for short frames and for export: no
      operator is complex, every runtime has them. Frames of two to eight whole hops under a window of few cosines, as
      Hann's and Hamming's in its full length, are put together from the transforms of their hops (`hops.hop_dft`).
    FASTEST: on a CPU, where it was measured: DFT by hops up to 256 samples a frame, otherwise FFT. Not for export.
    """

    FFT = "fft"
    DFT = "dft"
    FASTEST = "fastest"


def stft(
    samples: Float[Array, "*batch time"],
    n_fft: int,
    hop_length: int,
    window: Window = Window.HANN,
    win_length: int | None = None,
    padding: Padding = Padding.CENTER,
    backend: Backend = Backend.FFT,
) -> Complex[Array, "*batch frames bins"]:
    """Short-time Fourier transform, `librosa.stft` with the last two axes exchanged.

    Phases are relative to the beginning of each frame. Times `1 / sum(window)` it is `scipy.signal.stft`.

    Args:
      samples: `(..., time)`, any unit; the result has the same. A NaN spreads over the frames that hold its sample.
      n_fft: frame length in samples.
      hop_length: samples between frames.
      window: which window, periodic.
      win_length: its length, centred in the frame; `n_fft` where None.
      padding: what stands before and behind the signal.
      backend: how it is computed.

    Returns:
      `(..., frames, n_fft // 2 + 1)`.

    Raises:
      ValueError: as `frame`, or not `1 <= win_length <= n_fft`.
    """
    real, imaginary = stft_parts(
        samples, n_fft, hop_length, window=window, win_length=win_length, padding=padding, backend=backend
    )
    return jax.lax.complex(real, imaginary)


def stft_parts(
    samples: Float[Array, "*batch time"],
    n_fft: int,
    hop_length: int,
    bins: slice = slice(None),
    *,
    window: Window = Window.HANN,
    win_length: int | None = None,
    padding: Padding = Padding.CENTER,
    backend: Backend = Backend.DFT,
) -> tuple[Float[Array, "*batch frames bins"], Float[Array, "*batch frames bins"]]:
    """Real and imaginary part of the short-time Fourier transform, of which no operator is complex with DFT.

    Args:
      samples: as for `stft`.
      n_fft: as for `stft`.
      hop_length: as for `stft`.
      bins: which of the `n_fft // 2 + 1` bins to compute. A mel filterbank touches few of them.
      window: as for `stft`.
      win_length: as for `stft`.
      padding: as for `stft`.
      backend: as for `stft`.

    Returns:
      Real and imaginary part, each `(..., frames, bins)`.

    Raises:
      ValueError: as `stft`.
    """
    samples = floating(samples)
    weights = centered_window(window, win_length, n_fft)
    frames = frame_count(samples.shape[-1], n_fft, hop_length, padding)
    neighbours = bins.step in (None, 1) and len(range(n_fft // 2 + 1)[bins]) > 0
    by_hops = backend is Backend.DFT or (backend is Backend.FASTEST and n_fft <= _SHORT)
    if by_hops and neighbours and n_fft // hop_length in _HOPS_PER_FRAME:
        coefficients = harmonics(weights)
        if coefficients is not None:
            return hop_dft(hops(samples, n_fft, hop_length, padding), frames, n_fft, coefficients, bins)
    cut = frame if backend is Backend.DFT else copied_frames  # what is exported copies nothing
    return windowed_dft(cut(samples, n_fft, hop_length, padding), weights, n_fft, bins, backend)


def power_spectrum(
    samples: Float[Array, "*batch time"],
    n_fft: int,
    hop_length: int,
    bins: slice = slice(None),
    *,
    window: Window = Window.HANN,
    win_length: int | None = None,
    padding: Padding = Padding.CENTER,
    backend: Backend = Backend.DFT,
) -> Float[Array, "*batch frames bins"]:
    """Power of the short-time Fourier transform, `abs(stft(...)) ** 2`.

    Args:
      samples: as for `stft_parts`.
      n_fft: as for `stft_parts`.
      hop_length: as for `stft_parts`.
      bins: as for `stft_parts`.
      window: as for `stft_parts`.
      win_length: as for `stft_parts`.
      padding: as for `stft_parts`.
      backend: as for `stft_parts`.

    Returns:
      `(..., frames, bins)`, the square of the unit of the samples.

    Raises:
      ValueError: as `stft`.
    """
    real, imaginary = stft_parts(
        samples, n_fft, hop_length, bins, window=window, win_length=win_length, padding=padding, backend=backend
    )
    return jnp.square(real) + jnp.square(imaginary)


def magnitude_spectrum(
    samples: Float[Array, "*batch time"],
    n_fft: int,
    hop_length: int,
    bins: slice = slice(None),
    *,
    window: Window = Window.HANN,
    win_length: int | None = None,
    padding: Padding = Padding.CENTER,
    backend: Backend = Backend.DFT,
) -> Float[Array, "*batch frames bins"]:
    """Magnitude of the short-time Fourier transform, `abs(stft(...))`, with a gradient of zero where it is zero.

    Args:
      samples: as for `stft_parts`.
      n_fft: as for `stft_parts`.
      hop_length: as for `stft_parts`.
      bins: as for `stft_parts`.
      window: as for `stft_parts`.
      win_length: as for `stft_parts`.
      padding: as for `stft_parts`.
      backend: as for `stft_parts`.

    Returns:
      `(..., frames, bins)`, the unit of the samples.

    Raises:
      ValueError: as `stft`.
    """
    return root(
        power_spectrum(
            samples, n_fft, hop_length, bins, window=window, win_length=win_length, padding=padding, backend=backend
        )
    )


def istft(
    spectrum: Complex[Array, "*batch frames bins"],
    n_fft: int,
    hop_length: int,
    window: Window = Window.HANN,
    win_length: int | None = None,
    padding: Padding = Padding.CENTER,
    length: int | None = None,
) -> Float[Array, "*batch time"]:
    """The signal whose short-time Fourier transform is nearest to a spectrum in the least-squares sense.

    Windowed, overlapped, added and divided by the sum of the squared windows: Griffin and Lim 1984, "Signal estimation
    from modified short-time Fourier transform", eq. 6. The inverse of `stft` with the same arguments.

    Args:
      spectrum: `(..., frames, n_fft // 2 + 1)`. A NaN spreads over its frame.
      n_fft: as for `stft`.
      hop_length: as for `stft`.
      window: as for `stft`.
      win_length: as for `stft`.
      padding: as for `stft`; it says how much to cut off in front, and behind where there is no `length`.
      length: samples to return, usually those that `stft` was given; None for all that lie between the paddings,
        which may be fewer than one hop short of what `stft` was given (or some zeros longer with END and SCIPY).

    Returns:
      `(..., length)`.

    Raises:
      ValueError: the number of bins does not belong to `n_fft`, there is nothing to return, or some returned sample
        lies outside of all windows: the hop is too long or, without padding, the window begins at zero.
    """
    *_, frames, bins = spectrum.shape
    if bins != n_fft // 2 + 1:
        raise ValueError(f"want n_fft // 2 + 1 = {n_fft // 2 + 1} bins, got {bins}")
    weights = centered_window(window, win_length, n_fft)
    if frames < 1 or hop_length < 1:
        raise ValueError(f"want at least one frame and a positive hop_length, got {frames}, {hop_length}")
    covered = (frames - 1) * hop_length + n_fft
    left = left_padding(n_fft, padding)
    length = covered - 2 * left if length is None else length
    squares = np.zeros(covered)
    for start in range(0, frames * hop_length, hop_length):
        squares[start : start + n_fft] += np.square(weights)
    squares = squares[left : left + length]
    if length < 1 or len(squares) < length or squares.min() < _SMALLEST_WEIGHT:
        raise ValueError(
            f"the windows of {frames} frames do not cover {length} samples: shorten the hop of {hop_length}, "
            f"ask for fewer samples, or compute the spectrum with padding, got {padding}"
        )
    pieces = jnp.fft.irfft(spectrum, n_fft)
    samples = overlap_add(pieces * jnp.asarray(weights, pieces.dtype), hop_length)
    return samples[..., left : left + length] * jnp.asarray(1 / squares, pieces.dtype)


def windowed_dft(
    frames: Float[Array, "*batch frames frame_length"],
    weights: Float[np.ndarray, " frame_length"],
    n_fft: int,
    bins: slice = slice(None),
    backend: Backend = Backend.DFT,
) -> tuple[Float[Array, "*batch frames bins"], Float[Array, "*batch frames bins"]]:
    """Real and imaginary part of the discrete Fourier transform of frames.

    Args:
      frames: `(..., frames, frame_length)`.
      weights: the window.
      n_fft: length of the transform, at least `frame_length`: zeros follow the frame.
      bins: which of the `n_fft // 2 + 1` bins to compute.
      backend: how it is computed.

    Returns:
      Real and imaginary part, each `(..., frames, bins)`.

    Raises:
      ValueError: the transform is shorter than the frame.
    """
    if n_fft < len(weights):
        raise ValueError(f"the transform is shorter than the frame: {n_fft} < {len(weights)}")
    if backend is not Backend.DFT:
        spectrum = jnp.fft.rfft(frames * jnp.asarray(weights, frames.dtype), n_fft)[..., bins]
        return spectrum.real, spectrum.imag
    frequencies = np.arange(n_fft // 2 + 1)[bins]
    basis = np.concatenate(fourier_basis(np.arange(len(weights)), frequencies, n_fft), axis=1)
    basis = jnp.asarray(weights[:, None] * basis, frames.dtype)
    real, imaginary = jnp.split(jnp.matmul(frames, basis, precision=jax.lax.Precision.HIGHEST), 2, axis=-1)
    return real, imaginary


def root(power: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The square root, with a gradient of zero instead of infinity at zero."""
    positive = power > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, power, 1.0)), power)
