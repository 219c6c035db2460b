"""Triangular filters on 1125 ln(1 + f/700) over a `scipy.signal.spectrogram`: what Sriram's networks see."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.dsp.bands import weigh
from hsjax.dsp.fourier import Backend, windowed_dft
from hsjax.dsp.frames import Padding, frame
from hsjax.dsp.inputs import floating
from hsjax.dsp.mel import triangles
from hsjax.dsp.scipy_spectrogram import spectrogram_frequencies
from hsjax.dsp.windows import Window, window

# A power of two, so that it scales exactly; small against 1 Hz to the sample rate, large against float32's rounding.
_LEAK = 1 / 16


def triangular_filterbank(
    sample_rate: float | int = 22050, n_fft: int = 512, n_filters: int = 50, n_bins: int = 175
) -> Float[np.ndarray, "{n_bins} {n_filters}"]:
    """Triangles of height 1 whose edges are equally spaced in 1125 ln(1 + f/700), from 0 Hz to the last bin kept.

    The paper (Sriram) shows the 50 x 2805 picture without its formula; this is the form in which the respiratory-sound
    code that it builds on has it: edges at exact frequencies, not rounded to bins, and no norm. The factor 1125 has
    no influence on equal spacing: these are HTK mel filters, `librosa.filters.mel(htk=True, norm=None, fmax=...)`.

    Args:
      sample_rate: Hz.
      n_fft: length of the Fourier transform.
      n_filters: number of filters.
      n_bins: how many bins of the spectrum are kept, from 0 Hz on: 175 of 257 are those up to 7.5 kHz.

    Returns:
      `(n_bins, n_filters)`, float64.

    Raises:
      ValueError: not `2 <= n_bins <= n_fft // 2 + 1`, or no filter.
    """
    if not 2 <= n_bins <= n_fft // 2 + 1 or n_filters < 1:
        raise ValueError(
            f"want at least one filter and 2 to {n_fft // 2 + 1} of the bins of n_fft {n_fft}, "
            f"got {n_filters} and {n_bins}"
        )
    frequencies = spectrogram_frequencies(sample_rate, n_fft)[:n_bins]
    mel = np.linspace(0.0, 1125 * np.log1p(frequencies[-1] / 700), n_filters + 2)
    return triangles(frequencies, 700 * np.expm1(mel / 1125))


def log_triangular(
    samples: Float[Array, "*batch time"],
    sample_rate: float | int = 22050,
    nperseg: int = 512,
    n_filters: int = 50,
    n_bins: int = 175,
    floor: float | int = 1e-11,
    backend: Backend = Backend.FFT,
) -> Float[Array, "*batch {n_filters} frames"]:
    """`log10(filters @ scipy.signal.spectrogram(samples, sample_rate, nperseg=nperseg)[2][:n_bins] + floor)`.

    Segments overlap by an eighth, lose their mean and are tapered by a Tukey window, scipy's defaults.

    Args:
      samples: `(..., time)`, full scale 1. A NaN spreads over the segments that hold its sample.
      sample_rate: Hz.
      nperseg: samples per segment.
      n_filters: number of filters.
      n_bins: bins of the spectrum kept.
      floor: added to the energy (per Hz) of each filter. The code behind the paper has 10e-12.
      backend: how the transform is computed; DFT for export.

    Returns:
      `(..., n_filters, frames)`; silence is `log10(floor)`.

    Raises:
      ValueError: as `spectrogram` and `triangular_filterbank`, or the floor is not positive.
    """
    if floor <= 0 or sample_rate <= 0:
        raise ValueError(f"want a positive floor and sample rate, got {floor}, {sample_rate}")
    filters = triangular_filterbank(sample_rate, nperseg, n_filters, n_bins)
    taper = window(Window.TUKEY, nperseg)
    # The first and the last bin stand where the first triangle begins and the last one ends: no filter sees them.
    bins = np.arange(1, n_bins - 1)
    one_sided = 2 / (sample_rate * np.sum(np.square(taper)))
    emphasis = np.square(np.abs(1 - (1 - _LEAK) * np.exp(-2j * np.pi * bins / nperseg)))  # of each bin's power
    # In units of the floor: 1e-11 itself is near what some runtimes flush to zero.
    weights = filters[1:-1] * (one_sided / emphasis / floor)[:, None]
    segments = _emphasised(frame(floating(samples), nperseg, nperseg - nperseg // 8, Padding.NONE), taper)
    real, imaginary = windowed_dft(segments, np.ones(nperseg), nperseg, slice(1, n_bins - 1), backend)
    power = jnp.square(real) + jnp.square(imaginary)
    log = jnp.log(1.0 + weigh(power, jnp.asarray(weights, power.dtype))) / np.log(10.0) + np.log10(floor)
    return jnp.swapaxes(log, -1, -2)


def _emphasised(
    segments: Float[Array, "*batch frames time"], taper: Float[np.ndarray, " time"]
) -> Float[Array, "*batch frames time"]:
    """Each segment v without its mean and tapered, then v[n] - 15/16 v[n - 1], circularly: high frequencies emphasised.

    By the product rule, so that nothing is rounded that is as large as v. Most of a heart sound's energy lies below
    1/100 of the sample rate; float32 that rounded it would hide what 7 kHz holds, 120 dB below.
    """
    before = jnp.concatenate([segments[..., -1:], segments[..., :-1]], axis=-1)
    centred = before - jnp.mean(segments, axis=-1, keepdims=True)
    slope = jnp.asarray(taper - (1 - _LEAK) * np.roll(taper, 1), segments.dtype)
    return (segments - before) * jnp.asarray(taper, segments.dtype) + centred * slope
