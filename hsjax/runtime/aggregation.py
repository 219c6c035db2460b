"""From the windows of a recording to the recording. NumPy alone: scoring and devices do the same."""

import numpy as np
from jaxtyping import Float, Float32, Float64

from hsjax.types import Aggregation

# Of entropies of probabilities that were rounded to float32.
_ROUNDING = 1e-6


def weights(probabilities: Float[np.ndarray, "n classes"], rule: Aggregation) -> Float64[np.ndarray, " n"]:
    """What windows count for, 0 to 1.

    Args:
      probabilities: of each window; two classes or more.
      rule: see there.
    """
    if rule is Aggregation.MEAN:
        return np.ones(len(probabilities))
    values = probabilities.astype(np.float64)
    entropy = -np.sum(values * np.log(np.where(values > 0, values, 1.0)), axis=1)
    confidence = 1 - entropy / np.log(values.shape[1])
    return np.where(confidence > _ROUNDING, confidence, 0.0)


def over_windows(probabilities: Float[np.ndarray, "n classes"], rule: Aggregation) -> Float32[np.ndarray, " classes"]:
    """Probabilities of one recording, of which these are the windows: in float64, rounded once.

    Args:
      probabilities: of each window, at least one.
      rule: see there.
    """
    weight = weights(probabilities, rule)
    if not weight.any():
        weight = np.ones(len(probabilities))
    return (weight @ probabilities.astype(np.float64) / weight.sum()).astype(np.float32)
