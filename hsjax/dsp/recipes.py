"""What the five papers feed their networks, by name.

A recipe has two parts. Recording level (not exported): bring the recording to `sample_rate` (`data.audio.resample`),
then `prepare` it: normalise its level, then cut or pad it to one window. Where a paper needs more before that, the
recipe's comment says what; those steps are whole-recording ones of their own (`zero_phase`, `remove_spikes`,
`segmentation`, `r_peaks`). Window level (exported): `transform`.

Features have one channel. Networks that were pre-trained on pictures and want three repeat it themselves: three
copies of the input are no part of what a device has to compute.
"""

import dataclasses
import enum
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.dsp.cepstrum import mfcc
from hsjax.dsp.decibels import Reference
from hsjax.dsp.fourier import Backend
from hsjax.dsp.inputs import floating
from hsjax.dsp.mel import MelScale, log_mel
from hsjax.dsp.normalise import peak, z_score
from hsjax.dsp.triangular import log_triangular
from hsjax.types import Fit, Level


class Paper(enum.Enum):
    """First author of each paper."""

    MAHAPATRA = "mahapatra"
    SONG = "song"
    SARKHEL = "sarkhel"
    BIRTON = "birton"
    SRIRAM = "sriram"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """From a recording to one example.

    Attributes:
      sample_rate: of everything below, Hz.
      window: samples per example.
      shape: of the features of one example.
      level: normalisation of the whole recording.
      fit: how it becomes one window.
      features: `(..., window)` samples and a backend to `(..., *shape)` features.
    """

    sample_rate: int
    window: int
    shape: tuple[int, int]
    level: Level
    fit: Fit
    features: Callable[[Array, Backend], Array]

    def prepare(self, samples: Float[Array, "*batch time"]) -> Float[Array, "*batch window"]:
        """One window of each recording, at `sample_rate`: its level normalised, then cut or padded.

        Raises:
          ValueError: no samples.
        """
        return fit_length(normalise_level(samples, self.level), self.window, self.fit)

    def transform(
        self, samples: Float[Array, "*batch window"], backend: Backend = Backend.FASTEST
    ) -> Float[Array, "*batch rows columns"]:
        """Features of windows. With `Backend.DFT` it traces to operators that every runtime has.

        Raises:
          ValueError: the windows have another length.
        """
        if samples.shape[-1] != self.window:
            raise ValueError(f"want windows of {self.window} samples at {self.sample_rate} Hz, got {samples.shape[-1]}")
        return self.features(floating(samples), backend)


def normalise_level(samples: Float[Array, "*batch time"], level: Level) -> Float[Array, "*batch time"]:
    """Each recording at the same level; see `Level`.

    Raises:
      ValueError: no samples, of which there is no level.
    """
    return _LEVELS[level](samples)


_LEVELS = {Level.NONE: floating, Level.PEAK: peak, Level.STANDARD: z_score}


def fit_length(samples: Float[Array, "*batch time"], window: int, fit: Fit) -> Float[Array, "*batch {window}"]:
    """The beginning of what is too long, zeros beside what is too short; see `Fit`."""
    missing = max(window - samples.shape[-1], 0)
    left = missing // 2 if fit is Fit.BOTH else 0
    sides = [(0, 0)] * (samples.ndim - 1) + [(left, missing - left)]
    return jnp.pad(samples[..., :window], sides)


def min_max(features: Float[Array, "*batch rows columns"]) -> Float[Array, "*batch rows columns"]:
    """Each example between its minimum, 0, and its maximum, 1.

    An example that is constant, as that of silence, becomes 0 (the papers divide 0 by 0) and has a finite gradient.
    A NaN stays NaN; whether minimum and maximum spread it over its example depends on the device.
    """
    low = jnp.min(features, axis=(-2, -1), keepdims=True)
    span = jnp.max(features, axis=(-2, -1), keepdims=True) - low
    return (features - low) / jnp.where(span == 0, 1.0, span)


def _mahapatra(samples: Array, backend: Backend) -> Array:
    db = log_mel(
        samples, 1000, ref=Reference.MAX, n_fft=128, hop_length=32, n_mels=128, fmax=500, backend=backend
    )  # fmt: skip
    return jnp.swapaxes(min_max(db), -1, -2)


def _song(samples: Array, backend: Backend) -> Array:
    return mfcc(
        samples, 2000, 13, n_fft=256, hop_length=50, n_mels=26, fmin=20, fmax=500, scale=MelScale.HTK, backend=backend
    )  # fmt: skip


def _sarkhel(samples: Array, backend: Backend) -> Array:
    db = log_mel(samples, 2000, n_fft=256, hop_length=64, n_mels=40, fmin=20, fmax=800, backend=backend)
    return jnp.swapaxes(db, -1, -2)


def _sriram(samples: Array, backend: Backend) -> Array:
    # Mean and standard deviation as the paper's code states them, although min-max features are positive.
    return (min_max(log_triangular(samples, backend=backend)) + 0.0035824) * (1 / 0.0735521)


def _birton(samples: Array, backend: Backend) -> Array:
    return samples.reshape(*samples.shape[:-1], 36, 36)


_RECIPES = {
    # Listings 1 and 2 of the report: librosa's defaults, so a range of 80 dB. With 65 bins for 128 filters some filters
    # are empty and say so: their rows are the floor.
    Paper.MAHAPATRA: Recipe(1000, 2000, (128, 63), Level.PEAK, Fit.END, _mahapatra),
    # Before: Butterworth band-pass 20-400 Hz of third order, spike removal, one heart cycle each (sections II-B, II-C),
    # padded to 2.5 s. n_fft, hop and mel bands are not in the paper: a hop of 50 gives its parameter counts, the others
    # are ours.
    Paper.SONG: Recipe(2000, 5000, (13, 101), Level.NONE, Fit.END, _song),
    # The paper has no figures at all: everything here is ours. Files of PASCAL last 1 to 30 s, most of set B below 8 s.
    Paper.SARKHEL: Recipe(2000, 8000, (40, 126), Level.PEAK, Fit.END, _sarkhel),
    # Level of the whole record; then windows of 1.8 s to both sides of each R peak, zero beyond half the distance to
    # the neighbouring peaks: `prepare` is for records, beats are cut out of them by `beat_windows`.
    Paper.BIRTON: Recipe(360, 1296, (36, 36), Level.STANDARD, Fit.END, _birton),
    # 57 s; the code the paper builds on keeps the beginning of longer recordings and pads shorter ones on both sides.
    Paper.SRIRAM: Recipe(22050, 57 * 22050, (50, 2805), Level.NONE, Fit.BOTH, _sriram),
}


def recipe(paper: Paper | str) -> Recipe:
    """The recipe of a paper, or of the name of one.

    Raises:
      ValueError: no such name.
    """
    try:
        return _RECIPES[Paper(paper)]
    except ValueError:
        raise ValueError(f"want one of {', '.join(known.value for known in Paper)}, got {paper!r}") from None
