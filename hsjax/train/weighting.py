"""Weights of examples by class."""

import enum

import numpy as np
from jaxtyping import Float32, Int


class Weighting(enum.Enum):
    """NONE: every example weighs 1. BALANCED: inversely to the size of its class, 1 on average."""

    NONE = "none"
    BALANCED = "balanced"


def class_weights(label: Int[np.ndarray, " n"], num_classes: int, weighting: Weighting) -> Float32[np.ndarray, " n"]:
    """The weight of every training example."""
    if weighting is Weighting.NONE:
        return np.ones(len(label), np.float32)
    count = np.bincount(label, minlength=num_classes)
    return (len(label) / (np.count_nonzero(count) * count[label])).astype(np.float32)
