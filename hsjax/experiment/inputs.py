"""What the networks of one fold see: features that are at hand, or computed batch by batch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from hsjax import train
from hsjax.data import example_store
from hsjax.features import FeatureState

# Windows at a time where features are computed as they are asked for.
_CHUNK = 256


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Normalised features of every example of a run, normalised as they are asked for: folds share what they are from.

    Attributes:
      state: what was fitted on the training part of the fold.
      features: before normalisation, an array or a memory map; or the windows on the disk and how to compute their
        normalised features.
    """

    state: FeatureState
    features: Float[np.ndarray, "n coeffs frames"] | train.WindowFeatures

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the features of one example."""
        return tuple(self.features.shape[1:])

    def of(self, index: Int[np.ndarray, " m"]) -> jax.Array | train.WindowFeatures:
        """What training and inference read of some examples: on the device, or streamed to it."""
        if isinstance(self.features, train.WindowFeatures):
            return dataclasses.replace(self.features, index=index)
        return jnp.asarray(self.on_host(index))

    def on_host(self, index: Int[np.ndarray, " m"]) -> Float[np.ndarray, "m coeffs frames"]:
        """The features of some examples."""
        if not isinstance(self.features, train.WindowFeatures):
            chosen = example_store.rows(self.features, index)  # a copy, in which there is room
            np.subtract(chosen, self.state.mean, out=chosen)
            return np.multiply(chosen, 1.0 / np.asarray(self.state.std), out=chosen)
        parts = (index[start : start + _CHUNK] for start in range(0, len(index), _CHUNK))
        return np.concatenate([np.asarray(self.features[part]) for part in parts])
