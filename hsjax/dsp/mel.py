"""Mel filterbanks and log-mel spectrograms."""

import enum
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.dsp.spectrum import power_spectrum, power_to_db


class MelScale(enum.Enum):
    """HTK: 2595 log10(1 + f/700) (O'Shaughnessy 1987). SLANEY: linear below 1 kHz, Auditory Toolbox 1998."""

    HTK = "htk"
    SLANEY = "slaney"


# Slaney's scale is linear up to 1 kHz (200/3 Hz a mel) and logarithmic above (27 mels a factor of 6.4).
_SLANEY_HZ_PER_MEL = 200.0 / 3
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: np.ndarray, scale: MelScale) -> np.ndarray:
    if scale is MelScale.HTK:
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    above = np.log(np.maximum(hz, _SLANEY_BREAK_HZ) / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP
    return np.minimum(hz, _SLANEY_BREAK_HZ) / _SLANEY_HZ_PER_MEL + above


def _mel_to_hz(mel: np.ndarray, scale: MelScale) -> np.ndarray:
    if scale is MelScale.HTK:
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    break_mel = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
    above = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * (mel - break_mel))
    return np.where(mel < break_mel, mel * _SLANEY_HZ_PER_MEL, above)


def mel_filterbank(
    sample_rate: float | int,
    n_fft: int,
    n_mels: int,
    fmin: float | int = 0.0,
    fmax: float | int | None = None,
    scale: MelScale = MelScale.SLANEY,
    slaney_norm: bool = True,
) -> Float[np.ndarray, "bins {n_mels}"]:
    """Triangular filters, equally spaced in mel, float64. The transpose of `librosa.filters.mel`.

    Args:
      sample_rate: Hz.
      n_fft: length of the Fourier transform; there are `n_fft // 2 + 1` bins.
      n_mels: number of filters.
      fmin: lower edge of the first filter, Hz.
      fmax: upper edge of the last filter, Hz; half the sample rate by default.
      scale: which mel.
      slaney_norm: divide each filter by its width in Hz, so that all have the same area.

    Returns:
      `(bins, n_mels)`. Warns, naming them, where filters are so narrow that no bin falls into them.

    Raises:
      ValueError: not `0 <= fmin < fmax <= sample_rate / 2`.
    """
    fmax = sample_rate / 2 if fmax is None else fmax
    if not 0 <= fmin < fmax <= sample_rate / 2:
        raise ValueError(f"want 0 <= fmin < fmax <= {sample_rate / 2} Hz, got fmin {fmin}, fmax {fmax}")
    low_mel, high_mel = _hz_to_mel(np.array([fmin, fmax], float), scale)
    edges = _mel_to_hz(np.linspace(low_mel, high_mel, n_mels + 2), scale)
    bins = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    rising = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    empty = np.flatnonzero(filters.max(axis=0) == 0)
    if empty.size:
        warnings.warn(
            f"mel filters {empty.tolist()} of {n_mels} lie between the bins of n_fft={n_fft} at "
            f"{sample_rate:g} Hz and are always zero: use fewer filters or a longer transform",
            stacklevel=2,
        )
    return filters * (2.0 / (edges[2:] - edges[:-2])) if slaney_norm else filters


def log_mel(
    samples: Float[Array, "*batch time"],
    sample_rate: float | int,
    n_fft: int,
    hop_length: int,
    n_mels: int,
    fmin: float | int = 0.0,
    fmax: float | int | None = None,
    scale: MelScale = MelScale.SLANEY,
    top_db: float | int | None = 80.0,
) -> Float[Array, "*batch frames {n_mels}"]:
    """Mel spectrogram in dB: `librosa.power_to_db(librosa.feature.melspectrogram(..., pad_mode="constant"))`.

    Args:
      samples: `(..., time)`, full scale 1.
      sample_rate: Hz.
      n_fft: frame length in samples.
      hop_length: samples between frames.
      n_mels: number of bands.
      fmin: Hz.
      fmax: Hz.
      scale: which mel.
      top_db: dynamic range kept below each window's maximum, dB.

    Returns:
      dB, `(..., frames, n_mels)`.

    Raises:
      ValueError: as `frame` and `mel_filterbank`.
    """
    filters = mel_filterbank(sample_rate, n_fft, n_mels, fmin, fmax, scale)
    used = np.flatnonzero(filters.any(axis=1))
    bins = slice(int(used[0]), int(used[-1]) + 1)
    power = power_spectrum(samples, n_fft, hop_length, bins)
    weights = jnp.asarray(filters[bins], samples.dtype)
    return power_to_db(jnp.matmul(power, weights, precision=jax.lax.Precision.HIGHEST), top_db=top_db)
