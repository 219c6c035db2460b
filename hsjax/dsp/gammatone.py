"""Gammatone filters: the auditory filterbank of Patterson et al. 1992, spaced as Glasberg & Moore 1990 measured."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.dsp.bands import band_energies
from hsjax.dsp.fir import fir_filter
from hsjax.dsp.fourier import Backend
from hsjax.dsp.frames import Padding
from hsjax.dsp.inputs import floating
from hsjax.dsp.windows import Window

# Glasberg & Moore 1990: ERB(f) = 24.7 + f / 9.26449 Hz, in Slaney's constants, which scipy has too.
_MIN_BANDWIDTH = 24.7
_EAR_Q = 9.26449
# Of the equivalent rectangular bandwidth: the decay of a fourth-order gammatone that has it.
_DECAY = 1.019


def erb_frequencies(n_bands: int, fmin: float | int, fmax: float | int) -> Float[np.ndarray, " {n_bands}"]:
    """Frequencies from `fmin` to `fmax`, equally spaced on the scale of equivalent rectangular bandwidths.

    Args:
      n_bands: how many.
      fmin: the first, Hz.
      fmax: the last, Hz.

    Returns:
      `(n_bands,)` in Hz, ascending, float64.

    Raises:
      ValueError: no band, or not `0 <= fmin < fmax`.
    """
    if n_bands < 1 or not 0 <= fmin < fmax:
        raise ValueError(f"want at least one band and 0 <= fmin < fmax, got {n_bands}, fmin {fmin}, fmax {fmax}")
    offset = _MIN_BANDWIDTH * _EAR_Q
    return offset * np.expm1(np.linspace(np.log1p(fmin / offset), np.log1p(fmax / offset), n_bands))


def gammatone_fir(
    sample_rate: float | int, frequencies: Float[np.ndarray, " bands"], order: int = 4, taps: int | None = None
) -> Float[np.ndarray, "bands taps"]:
    """Impulse responses `t**(order - 1) exp(-2 pi b t) cos(2 pi f t)`, gain about 1 at their frequency.

    `scipy.signal.gammatone(f, "fir", order, taps, sample_rate)` of each frequency.

    Args:
      sample_rate: Hz.
      frequencies: centre of each band, Hz.
      order: of the filter.
      taps: length of all responses; by default so many that the slowest envelope has sunk to a millionth of its peak.

    Returns:
      `(bands, taps)`, float64.

    Raises:
      ValueError: a frequency is not between 0 and half the sample rate, the order is below 1, or there is no tap.
    """
    if order < 1 or np.any(frequencies < 0) or np.any(frequencies >= sample_rate / 2):
        raise ValueError(
            f"want an order of at least 1 and frequencies from 0 to below {sample_rate / 2:g} Hz, "
            f"got {order}, {frequencies}"
        )
    decay = 2 * np.pi * _DECAY * (_MIN_BANDWIDTH + frequencies / _EAR_Q)
    if taps is None:
        time = np.arange(1, math.ceil(100 * order * sample_rate / decay.min())) / sample_rate
        envelope = (order - 1) * np.log(time) - decay.min() * time
        taps = int(np.flatnonzero(envelope > envelope.max() + np.log(1e-6))[-1]) + 2
    if taps < 1:
        raise ValueError(f"want at least one tap, got {taps}")
    time = np.arange(taps) / sample_rate
    gain = 2 * decay**order / math.factorial(order - 1) / sample_rate
    envelope = gain[:, None] * time ** (order - 1) * np.exp(-decay[:, None] * time)
    return envelope * np.cos(2 * np.pi * frequencies[:, None] * time)


def gammatone_filterbank(
    sample_rate: float | int, n_fft: int, n_bands: int, fmin: float | int, fmax: float | int, order: int = 4
) -> Float[np.ndarray, "bins {n_bands}"]:
    """Squared magnitude response of the gammatone filters at the bins of a Fourier transform: weights for its power.

    What the filters would let through, if each frame were as long as their responses (Slaney 1993, Ellis 2009).

    Args:
      sample_rate: Hz.
      n_fft: length of the Fourier transform.
      n_bands: number of bands.
      fmin: centre of the lowest band, Hz.
      fmax: centre of the highest band, Hz.
      order: of the filters.

    Returns:
      `(n_fft // 2 + 1, n_bands)`, float64.

    Raises:
      ValueError: as `erb_frequencies` and `gammatone_fir`.
    """
    responses = gammatone_fir(sample_rate, erb_frequencies(n_bands, fmin, fmax), order)
    turns = np.outer(np.arange(responses.shape[1]), np.arange(n_fft // 2 + 1)) % n_fft / n_fft
    return np.square(np.abs(responses @ np.exp(-2j * np.pi * turns))).T


def gammatone_spectrogram(
    samples: Float[Array, "*batch time"],
    sample_rate: float | int,
    n_fft: int,
    hop_length: int,
    n_bands: int,
    fmin: float | int,
    fmax: float | int,
    window: Window = Window.HANN,
    win_length: int | None = None,
    padding: Padding = Padding.CENTER,
    backend: Backend = Backend.FASTEST,
) -> Float[Array, "*batch frames {n_bands}"]:
    """Power in gammatone bands, by way of the short-time spectrum; `decibels.power_to_db` makes log features of it.

    Args:
      samples: `(..., time)`, any unit; the result has its square. A NaN spreads over the frames that hold its sample.
      sample_rate: Hz.
      n_fft: frame length in samples.
      hop_length: samples between frames.
      n_bands: number of bands.
      fmin: centre of the lowest band, Hz.
      fmax: centre of the highest band, Hz.
      window: of the frames, periodic.
      win_length: of the window, centred in the frame; `n_fft` where None.
      padding: what stands before and behind the signal.
      backend: how the transform is computed; DFT for export.

    Returns:
      `(..., frames, n_bands)`; silence is zero.

    Raises:
      ValueError: as `band_energies` and `gammatone_filterbank`.
    """
    filters = gammatone_filterbank(sample_rate, n_fft, n_bands, fmin, fmax)
    return band_energies(samples, filters, n_fft, hop_length, window, win_length, padding, backend)


def gammatone_bands(
    samples: Float[Array, "*batch time"], responses: Float[np.ndarray, "bands taps"]
) -> Float[Array, "*batch bands time"]:
    """The signal behind each filter, causal, with zero initial state.

    Args:
      samples: `(..., time)`, any unit, which the result has too. A NaN spreads at least as far as the responses ring.
      responses: of `gammatone_fir`.

    Returns:
      `(..., bands, time)`.
    """
    samples = floating(samples)
    return jnp.stack([fir_filter(samples, taps) for taps in responses], axis=-2)
