"""Fixed windows to features: `fit(samples) -> state`, `apply(state, samples)`.

The state is fitted on training windows alone, stored with the stage that trained on it and frozen into the exported
graph.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array, Float

from hsjax import dsp
from hsjax.types import UserError

# Windows per device call: large enough to keep two cores busy, small enough for any accelerator's memory.
_CHUNK = 256


class FeatureState(NamedTuple):
    """Fitted mean and standard deviation of each coefficient over training windows and frames, (coeffs, 1)."""

    mean: Array | np.ndarray
    std: Array | np.ndarray


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """Samples to features.

    Attributes:
      transform: pure, (..., window) samples to (..., coeffs, frames), before normalisation.
      window: samples per example.
      shape: (coeffs, frames) of one example.
    """

    transform: Callable[[Array], Array]
    window: int
    shape: tuple[int, int]

    def fit(self, samples: Float[np.ndarray, "n window"]) -> FeatureState:
        """Per-coefficient mean and standard deviation of `samples`, accumulated in float64 over chunks."""
        return normalisation(extract(self.transform, samples))

    def apply(
        self, state: FeatureState, samples: Float[Array, "*batch window"]
    ) -> Float[Array, "*batch coeffs frames"]:
        """Normalised features; pure, differentiable, exportable as it stands."""
        return jnp.asarray(normalise(state, self.transform(samples)))


def normalisation(features: Float[np.ndarray, "n coeffs frames"]) -> FeatureState:
    """The state that makes `features` zero-mean and of unit variance in every coefficient."""
    mean = features.mean(axis=(0, 2), dtype=np.float64)
    square = np.square(features - mean[:, None].astype(np.float32)).mean(axis=(0, 2), dtype=np.float64)
    std = np.maximum(np.sqrt(square), 1e-6)
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
    compiled = _compiled(transform)
    chunks = []
    for start in range(0, len(samples), _CHUNK):
        chunk = samples[start : start + _CHUNK]
        padded = np.pad(chunk, [(0, _CHUNK - len(chunk)), (0, 0)])  # one shape, one compilation
        chunks.append(np.asarray(compiled(padded))[: len(chunk)])
        progress(len(chunk))
    return np.concatenate(chunks)


@functools.lru_cache(maxsize=8)
def _compiled(transform: Callable[[Array], Array]) -> Callable[[np.ndarray], Array]:
    return jax.jit(transform)


def _mfcc(samples: Array, *, sample_rate: int, band: np.ndarray, options: tuple) -> Array:
    filtered = dsp.fir_filter(dsp.remove_mean(samples), band)
    return dsp.mfcc(dsp.unit_rms(filtered), sample_rate, **dict(options))


def build(config: ml_collections.ConfigDict, sample_rate: int, window: int) -> FrontEnd:
    """The front end that `config.features` describes.

    `mfcc`: mean removed, causal third-order Butterworth band-pass 20-400 Hz (Song et al., section II-B) as FIR, unit
    RMS, mel-frequency cepstral coefficients.

    Args:
      config: `config.features`.
      sample_rate: of the windows, Hz.
      window: samples per window.

    Raises:
      UserError: an unknown name, or settings that contradict each other.
    """
    if config.name != "mfcc":
        raise UserError(f"config.features.name is {config.name!r}; known is 'mfcc'")
    try:
        band = dsp.butterworth_fir(config.band.order, config.band.low, config.band.high, sample_rate)
        options = {
            "n_mfcc": config.n_mfcc,
            "n_fft": config.n_fft,
            "hop_length": config.hop_length,
            "n_mels": config.n_mels,
            "fmin": config.fmin,
            "fmax": config.fmax,
            "scale": dsp.MelScale(config.mel_scale),
            "top_db": config.top_db,
        }
        transform = functools.partial(_mfcc, sample_rate=sample_rate, band=band, options=tuple(options.items()))
        shape = jax.eval_shape(transform, jax.ShapeDtypeStruct((window,), jnp.float32)).shape
    except ValueError as error:
        raise UserError(f"config.features: {error}") from error
    return FrontEnd(transform, window, shape)
