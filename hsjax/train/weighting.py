"""Weights of examples by class, or by class and sub-dataset."""

import enum

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int

from hsjax.losses import class_balanced_weights


class Weighting(enum.Enum):
    """NONE: every example weighs 1. BALANCED: inversely to the size of its class, 1 on average.

    CLASS_BALANCED: inversely to the effective number of its class's examples (Cui et al. 2019,
    https://arxiv.org/abs/1901.05555), 1 on average over classes.

    BALANCED_SUBSETS: inversely to the number of examples of its class in its sub-dataset, 1 on average: every such cell
    weighs the same, so that among sub-datasets which have all classes, which one it is says nothing about the class.
    """

    NONE = "none"
    BALANCED = "balanced"
    CLASS_BALANCED = "class-balanced"
    BALANCED_SUBSETS = "balanced-subsets"


def class_weights(
    label: Int[np.ndarray, " n"],
    num_classes: int,
    weighting: Weighting,
    beta: float = 0.999,
    subset: Int[np.ndarray, " n"] | None = None,
) -> Float32[np.ndarray, " n"]:
    """The weight of every training example.

    Args:
      label: true classes.
      num_classes: that there are.
      weighting: which.
      beta: of CLASS_BALANCED.
      subset: number of each example's sub-dataset, for BALANCED_SUBSETS; None where all are of one.
    """
    if weighting is Weighting.NONE:
        return np.ones(len(label), np.float32)
    if weighting is Weighting.BALANCED_SUBSETS and subset is not None:
        label, num_classes = subset * num_classes + label, (int(subset.max()) + 1) * num_classes
    count = np.bincount(label, minlength=num_classes)
    if weighting is Weighting.CLASS_BALANCED:
        return np.asarray(class_balanced_weights(jnp.asarray(count), beta), np.float32)[label]
    return (len(label) / (np.count_nonzero(count) * count[label])).astype(np.float32)
