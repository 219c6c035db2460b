"""Weights of examples by class."""

import enum

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int

from hsjax.losses import class_balanced_weights


class Weighting(enum.Enum):
    """NONE: every example weighs 1. BALANCED: inversely to the size of its class, 1 on average.

    CLASS_BALANCED: inversely to the effective number of its class's examples (Cui et al. 2019,
    https://arxiv.org/abs/1901.05555), 1 on average over classes.
    """

    NONE = "none"
    BALANCED = "balanced"
    CLASS_BALANCED = "class-balanced"


def class_weights(
    label: Int[np.ndarray, " n"], num_classes: int, weighting: Weighting, beta: float = 0.999
) -> Float32[np.ndarray, " n"]:
    """The weight of every training example; `beta` is that of CLASS_BALANCED."""
    if weighting is Weighting.NONE:
        return np.ones(len(label), np.float32)
    count = np.bincount(label, minlength=num_classes)
    if weighting is Weighting.CLASS_BALANCED:
        return np.asarray(class_balanced_weights(jnp.asarray(count), beta), np.float32)[label]
    return (len(label) / (np.count_nonzero(count) * count[label])).astype(np.float32)
