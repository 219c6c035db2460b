"""Mel filterbanks and (log-)mel spectrograms."""

import enum
import warnings
from typing import TypedDict, Unpack

import numpy as np
from jaxtyping import Array, Float

from hsjax.dsp.bands import band_energies
from hsjax.dsp.decibels import Reference, power_to_db
from hsjax.dsp.fourier import Backend
from hsjax.dsp.frames import Padding
from hsjax.dsp.windows import Window


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


def mel_edges(
    n_mels: int, fmin: float | int, fmax: float | int, scale: MelScale = MelScale.SLANEY
) -> Float[np.ndarray, " edges"]:
    """Edges of triangular filters in Hz, equally spaced in mel: filter i rises from edge i to i + 1 and falls to i + 2.

    Args:
      n_mels: number of filters.
      fmin: lower edge of the first filter, Hz.
      fmax: upper edge of the last filter, Hz.
      scale: which mel.

    Returns:
      `(n_mels + 2,)`, float64.
    """
    low_mel, high_mel = _hz_to_mel(np.array([fmin, fmax], float), scale)
    return _mel_to_hz(np.linspace(low_mel, high_mel, n_mels + 2), scale)


def triangles(
    frequencies: Float[np.ndarray, " bins"], edges: Float[np.ndarray, " edges"]
) -> Float[np.ndarray, "bins filters"]:
    """Triangles of height 1 over frequencies: filter i rises from edge i to i + 1 and falls to edge i + 2, float64."""
    rising = (frequencies[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - frequencies[:, None]) / np.diff(edges)[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


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
      ValueError: not `0 <= fmin < fmax <= sample_rate / 2`, or no filter.
    """
    if n_mels < 1:
        raise ValueError(f"want at least one mel filter, got n_mels {n_mels}")
    fmax = sample_rate / 2 if fmax is None else fmax
    if not 0 <= fmin < fmax <= sample_rate / 2:
        raise ValueError(f"want 0 <= fmin < fmax <= {sample_rate / 2} Hz, got fmin {fmin}, fmax {fmax}")
    edges = mel_edges(n_mels, fmin, fmax, scale)
    bins = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    filters = triangles(bins, edges)
    empty = np.flatnonzero(filters.max(axis=0) == 0)
    if empty.size:
        warnings.warn(
            f"mel filters {empty.tolist()} of {n_mels} lie between the bins of n_fft={n_fft} at "
            f"{sample_rate:g} Hz and are always zero: use fewer filters or a longer transform",
            stacklevel=2,
        )
    return filters * (2.0 / (edges[2:] - edges[:-2])) if slaney_norm else filters


class MelArguments(TypedDict, total=False):
    """What `log_mel` and `mfcc` hand on to `mel_spectrogram`, which says what each means."""

    n_fft: int
    hop_length: int
    n_mels: int
    fmin: float | int
    fmax: float | int | None
    scale: MelScale
    slaney_norm: bool
    window: Window
    win_length: int | None
    padding: Padding
    backend: Backend


def mel_spectrogram(
    samples: Float[Array, "*batch time"],
    sample_rate: float | int,
    n_fft: int,
    hop_length: int,
    n_mels: int,
    fmin: float | int = 0.0,
    fmax: float | int | None = None,
    scale: MelScale = MelScale.SLANEY,
    slaney_norm: bool = True,
    window: Window = Window.HANN,
    win_length: int | None = None,
    padding: Padding = Padding.CENTER,
    backend: Backend = Backend.FASTEST,
) -> Float[Array, "*batch frames {n_mels}"]:
    """Power in mel bands: `librosa.feature.melspectrogram` with the last two axes exchanged.

    Args:
      samples: `(..., time)`, any unit; the result has its square. A NaN spreads over the frames that hold its sample.
      sample_rate: Hz.
      n_fft: frame length in samples.
      hop_length: samples between frames.
      n_mels: number of bands.
      fmin: lower edge of the first band, Hz.
      fmax: upper edge of the last band, Hz; half the sample rate by default.
      scale: which mel.
      slaney_norm: divide each filter by its width in Hz.
      window: of the frames, periodic.
      win_length: of the window, centred in the frame; `n_fft` where None.
      padding: what stands before and behind the signal.
      backend: how the transform is computed; DFT for export.

    Returns:
      `(..., frames, n_mels)`; silence is zero.

    Raises:
      ValueError: as `frame`, `centered_window` and `mel_filterbank`.
    """
    filters = mel_filterbank(sample_rate, n_fft, n_mels, fmin, fmax, scale, slaney_norm)
    return band_energies(samples, filters, n_fft, hop_length, window, win_length, padding, backend)


def log_mel(
    samples: Float[Array, "*batch time"],
    sample_rate: float | int,
    *,
    ref: float | int | Reference = 1.0,
    amin: float | int = 1e-10,
    top_db: float | int | None = 80.0,
    **mel: Unpack[MelArguments],
) -> Float[Array, "*batch frames mels"]:
    """Mel spectrogram in dB: `librosa.power_to_db(librosa.feature.melspectrogram(...))` of each signal by itself.

    Args:
      samples: `(..., time)`, full scale 1.
      sample_rate: Hz.
      ref: power of 0 dB, or `Reference.MAX`.
      amin: floor of the power.
      top_db: dynamic range kept below each signal's maximum, dB; None for all of it. With it, devices differ in
        whether a NaN spreads from its frames over the whole signal.
      **mel: `n_fft`, `hop_length`, `n_mels` and what else `mel_spectrogram` takes.

    Returns:
      dB, `(..., frames, n_mels)`; silence is `10 log10(amin / ref)`.

    Raises:
      ValueError: as `mel_spectrogram` and `power_to_db`.
    """
    return power_to_db(mel_spectrogram(samples, sample_rate, **mel), ref, amin, top_db)
