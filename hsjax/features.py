"""Fixed windows to features: `fit(samples) -> state`, `apply(state, samples)`.

The state is fitted on training windows alone, stored with the stage that trained on it and frozen into the exported
graph. Spectra are computed in the fastest way where features are made for training, and as matrix products where they
are exported; the two agree to rounding.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array, Float, Int

from hsjax.data import example_store
from hsjax.dsp.cepstrum import DctType, mfcc
from hsjax.dsp.decibels import power_to_db
from hsjax.dsp.energy_normalisation import Smoother, pcen
from hsjax.dsp.fir import butterworth_fir, fir_filter
from hsjax.dsp.fourier import Backend, power_spectrum
from hsjax.dsp.gammatone import gammatone_spectrogram
from hsjax.dsp.learnable import Bands, equal_energy_bands, learnable_spectrogram, mel_bands
from hsjax.dsp.mel import MelScale, log_mel, mel_spectrogram
from hsjax.dsp.normalise import remove_mean, unit_rms
from hsjax.dsp.recipes import Paper, recipe
from hsjax.types import UserError

# Samples per device call: enough windows to keep two cores busy, few enough for any accelerator's memory.
_CHUNK_SAMPLES, _CHUNK_WINDOWS = 2**21, 256

_NOTHING = np.zeros(0, np.float32)

# Of the band-pass filter, whose response is cut at 1e-6 of its sum.
_CUT = 5e-6


class FeatureState(NamedTuple):
    """What was fitted on training windows: arrays, so that it can be stored as it stands.

    Attributes:
      mean: of each coefficient over windows and frames, (coeffs, 1).
      std: standard deviation, likewise.
      center: of the bands of a learnable filterbank, Hz; empty for other front ends, and for its initial bands.
      width: of these bands, Hz.
    """

    mean: Array | np.ndarray
    std: Array | np.ndarray
    center: Array | np.ndarray = _NOTHING
    width: Array | np.ndarray = _NOTHING

    @property
    def bands(self) -> Bands | None:
        """The fitted bands, if there are any."""
        return Bands(self.center, self.width) if len(self.center) else None


Transform = Callable[..., Array]
"""Pure: (..., window) samples to (..., coeffs, frames), before normalisation. Takes `bands`, those of a learnable
filterbank; None, the default, for its initial ones, or where there are none to learn."""


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """Samples to features.

    Attributes:
      transform: as it is computed fastest.
      exportable: the same, of operators that every runtime has.
      window: samples per example.
      shape: (coeffs, frames) of one example.
      standardise: whether coefficients are normalised to zero mean and unit variance; papers that normalise in a way of
        their own have it in `transform`.
      learn: windows, and which of them are for training (None: all), to the bands of a learnable filterbank; None for
        other front ends.
    """

    transform: Transform
    exportable: Transform
    window: int
    shape: tuple[int, int]
    standardise: bool = True
    learn: Callable[[np.ndarray, np.ndarray | None], Bands] | None = None

    def fit(self, samples: Float[np.ndarray, "n window"], index: Int[np.ndarray, " m"] | None = None) -> FeatureState:
        """Bands (where they are learnt), then mean and standard deviation of each coefficient, of training windows.

        Windows and features are in memory some at a time: the samples may be a memory map of any size.

        Args:
          samples: windows.
          index: which of them; None for all.
        """
        bands = None if self.learn is None else Bands(*(np.asarray(v, np.float32) for v in self.learn(samples, index)))
        if self.standardise:
            transform = self.transform if bands is None else functools.partial(self.transform, bands=bands)
            state = normalisation_of(extracted(transform, samples, index))
        else:
            state = self._as_they_are
        return state if bands is None else state._replace(center=bands.center, width=bands.width)

    def standardisation(self, raw: Float[np.ndarray, "n coeffs frames"], index: Int[np.ndarray, " m"]) -> FeatureState:
        """What `fit` finds once the transform of all windows is at hand and nothing else is to be learnt."""
        return normalisation(example_store.rows(raw, index)) if self.standardise else self._as_they_are

    @property
    def _as_they_are(self) -> FeatureState:
        coefficients = (self.shape[0], 1)
        return FeatureState(np.zeros(coefficients, np.float32), np.ones(coefficients, np.float32))

    def compute(
        self, state: FeatureState, samples: Float[Array, "*batch window"]
    ) -> Float[Array, "*batch coeffs frames"]:
        """Normalised features as training takes them: those of `apply` to rounding, as they are computed fastest."""
        return jnp.asarray(normalise(state, self.transform(samples, bands=state.bands)))

    def apply(
        self, state: FeatureState, samples: Float[Array, "*batch window"]
    ) -> Float[Array, "*batch coeffs frames"]:
        """Normalised features; pure, exportable as it stands, differentiable by the samples and by learnt bands."""
        return jnp.asarray(normalise(state, self.exportable(samples, bands=state.bands)))


def normalisation(features: Float[np.ndarray, "n coeffs frames"]) -> FeatureState:
    """The state that makes `features` zero-mean and of unit variance in every coefficient."""
    mean = features.mean(axis=(0, 2), dtype=np.float64)
    square = np.square(features - mean[:, None].astype(np.float32)).mean(axis=(0, 2), dtype=np.float64)
    std = np.maximum(np.sqrt(square), 1e-6)
    return FeatureState(mean[:, None].astype(np.float32), std[:, None].astype(np.float32))


def normalisation_of(chunks: Iterable[Float[np.ndarray, "_ coeffs frames"]]) -> FeatureState:
    """The same state from features that are in memory some at a time; in float64, so that it is the same to rounding.

    Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
    """
    count, mean, square = 0, np.zeros(1), np.zeros(1)  # square: sum of squared deviations from the mean
    for chunk in chunks:
        more = chunk.shape[0] * chunk.shape[2]
        chunk_mean = chunk.mean(axis=(0, 2), dtype=np.float64)
        chunk_square = np.square(chunk - chunk_mean[:, None]).sum(axis=(0, 2))
        difference, total = chunk_mean - mean, count + more
        square = square + chunk_square + np.square(difference) * (count * more / total)
        mean = mean + difference * (more / total)
        count = total
    std = np.maximum(np.sqrt(square / count), 1e-6)
    return FeatureState(mean[:, None].astype(np.float32), std[:, None].astype(np.float32))


def normalise(
    state: FeatureState, features: Float[Array | np.ndarray, "*batch coeffs frames"]
) -> Float[Array | np.ndarray, "*batch coeffs frames"]:
    """Features minus the fitted mean, over the fitted standard deviation."""
    return (features - state.mean) * (1.0 / state.std)


def extract(
    transform: Callable[[Array], Array],
    samples: Float[np.ndarray, "n window"],
    progress: Callable[[int], None] = lambda n: None,
) -> Float[np.ndarray, "n ..."]:
    """`transform` over many windows, chunk by chunk on the device; host array out. `progress` is told windows done."""
    chunks = []
    for chunk in extracted(transform, samples):
        chunks.append(chunk)
        progress(len(chunk))
    return np.concatenate(chunks)


def extracted(
    transform: Callable[[Array], Array],
    samples: Float[np.ndarray, "n window"],
    index: Int[np.ndarray, " m"] | None = None,
) -> Iterator[np.ndarray]:
    """`transform` over many windows, or those at `index`, chunk by chunk as they are computed; (_, ...) on the host."""
    compiled = _compiled(transform)
    size = min(max(_CHUNK_SAMPLES // samples.shape[-1], 1), _CHUNK_WINDOWS)
    for start in range(0, len(samples) if index is None else len(index), size):
        chosen = slice(start, start + size) if index is None else index[start : start + size]
        chunk = example_store.rows(samples, chosen)
        padded = np.pad(chunk, [(0, size - len(chunk)), (0, 0)])  # one shape, one compilation
        yield np.asarray(compiled(padded))[: len(chunk)]


@functools.lru_cache(maxsize=8)
def _compiled(transform: Callable[[Array], Array]) -> Callable[[np.ndarray], Array]:
    return jax.jit(transform)


# What a front end computes, before it is bound to a backend.
_Compute = Callable[[Array, Backend, Bands | None], Array]


def _conditioned(config: ml_collections.ConfigDict, sample_rate: int) -> Callable[[Array], Array]:
    band = butterworth_fir(config.band.order, config.band.low, config.band.high, sample_rate)
    return lambda samples: unit_rms(fir_filter(remove_mean(samples), band, tolerance=_CUT))


def _short_time(config: ml_collections.ConfigDict) -> dict[str, Any]:
    return {"n_fft": config.n_fft, "hop_length": config.hop_length}


def _mel(config: ml_collections.ConfigDict) -> dict[str, Any]:
    scale = MelScale(config.mel_scale)
    return _short_time(config) | {
        "n_mels": config.n_mels,
        "fmin": config.fmin,
        "fmax": config.fmax,
        "scale": scale,
    }


def _mfcc(config: ml_collections.ConfigDict, sample_rate: int) -> _Compute:
    condition, mel, n_mfcc, top_db = _conditioned(config, sample_rate), _mel(config), config.n_mfcc, config.top_db
    dct, lifter = DctType(config.dct), config.lifter

    def compute(samples: Array, backend: Backend, bands: Bands | None) -> Array:
        return mfcc(
            condition(samples), sample_rate, n_mfcc, dct=dct, lifter=lifter, top_db=top_db, backend=backend, **mel
        )

    return compute


def _log_mel(config: ml_collections.ConfigDict, sample_rate: int) -> _Compute:
    condition, mel, top_db = _conditioned(config, sample_rate), _mel(config), config.top_db

    def compute(samples: Array, backend: Backend, bands: Bands | None) -> Array:
        return jnp.swapaxes(log_mel(condition(samples), sample_rate, top_db=top_db, backend=backend, **mel), -1, -2)

    return compute


def _gammatone(config: ml_collections.ConfigDict, sample_rate: int) -> _Compute:
    condition, frames, top_db = _conditioned(config, sample_rate), _short_time(config), config.top_db
    spacing = {"n_bands": config.n_mels, "fmin": config.fmin, "fmax": config.fmax}

    def compute(samples: Array, backend: Backend, bands: Bands | None) -> Array:
        power = gammatone_spectrogram(condition(samples), sample_rate, backend=backend, **frames, **spacing)
        return jnp.swapaxes(power_to_db(power, top_db=top_db), -1, -2)

    return compute


def _pcen(config: ml_collections.ConfigDict, sample_rate: int) -> _Compute:
    condition, mel = _conditioned(config, sample_rate), _mel(config)
    # Windows are short, and a matrix product exports.
    compute_pcen = functools.partial(pcen, smoother=Smoother.MATRIX, **dict(config.pcen))

    def compute(samples: Array, backend: Backend, bands: Bands | None) -> Array:
        energies = mel_spectrogram(condition(samples), sample_rate, backend=backend, **mel)
        return jnp.swapaxes(compute_pcen(energies, sample_rate, mel["hop_length"]), -1, -2)

    return compute


def _learnable(config: ml_collections.ConfigDict, sample_rate: int) -> _Compute:
    condition, frames, top_db = _conditioned(config, sample_rate), _short_time(config), config.top_db
    initial = mel_bands(sample_rate, config.n_mels, config.fmin, config.fmax, MelScale(config.mel_scale))

    def compute(samples: Array, backend: Backend, bands: Bands | None) -> Array:
        chosen = initial if bands is None else bands
        power = learnable_spectrogram(condition(samples), chosen, sample_rate, backend=backend, **frames)
        return jnp.swapaxes(power_to_db(power, top_db=top_db), -1, -2)

    return compute


def _learn(config: ml_collections.ConfigDict, sample_rate: int) -> Callable[[np.ndarray, np.ndarray | None], Bands]:
    condition, frames = _conditioned(config, sample_rate), _short_time(config)
    n_bands, fmin, fmax = config.n_mels, config.fmin, config.fmax

    def spectrum(samples: Array) -> Array:
        return jnp.mean(power_spectrum(condition(samples), **frames), axis=-2)

    def learn(samples: np.ndarray, index: np.ndarray | None) -> Bands:
        count, total = 0, np.zeros(1)
        for chunk in extracted(spectrum, samples, index):
            count, total = count + len(chunk), total + chunk.sum(axis=0, dtype=np.float64)
        mean = total / count
        return equal_energy_bands(mean, sample_rate, n_bands, fmin, fmax)

    return learn


def _paper(paper: Paper, sample_rate: int, window: int) -> _Compute:
    chosen = recipe(paper)
    if (sample_rate, window) != (chosen.sample_rate, chosen.window):
        raise ValueError(
            f"{paper.value} takes windows of {chosen.window} samples at {chosen.sample_rate} Hz, not {window} at "
            f"{sample_rate}: set config.prepare.sample_rate={chosen.sample_rate} and "
            f"config.prepare.window_seconds={chosen.window / chosen.sample_rate:g}"
        )
    return lambda samples, backend, bands: chosen.transform(samples, backend)


_GENERAL = {
    "mfcc": _mfcc,
    "log-mel": _log_mel,
    "gammatone": _gammatone,
    "pcen": _pcen,
    "learnable": _learnable,
}
_PAPERS = {paper.value: paper for paper in Paper}

NAMES = (*_GENERAL, *_PAPERS)
"""Of all front ends."""


def build(config: ml_collections.ConfigDict, sample_rate: int, window: int) -> FrontEnd:
    """The front end that `config.features` describes.

    All but the papers' begin with: mean removed, causal third-order Butterworth band-pass 20-400 Hz (Song et al.,
    section II-B) as FIR, unit RMS. Then:

    * `mfcc`: mel-frequency cepstral coefficients.
    * `log-mel`: mel bands in dB.
    * `gammatone`: gammatone bands in dB, from `fmin` to `fmax`.
    * `pcen`: mel bands with per-channel energy normalisation.
    * `learnable`: Gaussian bands in dB, `n_mels` of them. `fit` lays them so that they share the energy of the training
      windows evenly; before, they are like mel bands. Training may go on from there: gradients reach the state's
      `center` and `width` through `apply`.

    With `center_window` the mean over time of each coefficient is subtracted window by window (cepstral mean
    normalisation; Atal 1974, https://doi.org/10.1121/1.1914702): a linear filter, such as another stethoscope, adds a
    constant to levels in dB, which is thus taken out as far as `top_db` does not cut.

    The same sound in fewer numbers: with `rows` only the first so many coefficients or bands are kept, and with `pool`
    the mean of so many consecutive frames stands for them; frames at the end that are too few for a mean are left out.

    `mahapatra`, `song`, `sarkhel`, `birton` and `sriram` are the window-level part of these papers' recipes
    (`dsp.recipes`), which has no use for any other key but `rows` and `pool`.

    Args:
      config: `config.features`.
      sample_rate: of the windows, Hz.
      window: samples per window.

    Raises:
      UserError: an unknown name, or settings that contradict each other.
    """
    if config.name not in NAMES:
        raise UserError(f"config.features.name is {config.name!r}; known are {', '.join(NAMES)}")
    try:
        if config.name in _PAPERS:
            if config.center_window:
                raise ValueError(
                    f"{config.name} is a paper's recipe, which center_window would change: set it to False"
                )
            compute, learn = _paper(_PAPERS[config.name], sample_rate, window), None
        else:
            compute = _GENERAL[config.name](config, sample_rate)
            learn = _learn(config, sample_rate) if config.name == "learnable" else None
            compute = _centered(compute) if config.center_window else compute
        if (config.rows, config.pool) != (0, 1):
            compute = _reduced(compute, config.rows, config.pool)
        transform, exportable = _bound(compute, Backend.FASTEST), _bound(compute, Backend.DFT)
        shape = jax.eval_shape(transform, jax.ShapeDtypeStruct((window,), jnp.float32)).shape
    except ValueError as error:
        raise UserError(f"config.features: {error}") from error
    return FrontEnd(transform, exportable, window, shape, config.name not in _PAPERS, learn)


def _centered(compute: _Compute) -> _Compute:
    def centered(samples: Array, backend: Backend, bands: Bands | None) -> Array:
        found = compute(samples, backend, bands)
        return found - jnp.mean(found, axis=-1, keepdims=True)

    return centered


def _reduced(compute: _Compute, rows: int, pool: int) -> _Compute:
    if rows < 0:
        raise ValueError(f"rows is {rows}; give the number of those to keep, 0 for all")
    if pool < 1:
        raise ValueError(f"pool is {pool}; give a number of frames, 1 for none")

    def reduced(samples: Array, backend: Backend, bands: Bands | None) -> Array:
        found = compute(samples, backend, bands)
        if rows > found.shape[-2]:
            raise ValueError(f"rows is {rows}, and there are {found.shape[-2]}; give no more than these, or 0 for all")
        frames = found.shape[-1] // pool
        if not frames:
            raise ValueError(f"pool is {pool}, and a window has {found.shape[-1]} frames; give no more than these")
        kept = found[..., : rows or None, : frames * pool]
        return jnp.mean(kept.reshape(*kept.shape[:-1], frames, pool), axis=-1)

    return reduced


def _bound(compute: _Compute, backend: Backend) -> Transform:
    def transform(samples: Array, bands: Bands | None = None) -> Array:
        return compute(samples, backend, bands)

    return transform
