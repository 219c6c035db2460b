"""From segments to recordings."""

import dataclasses

import numpy as np

from hsjax.runtime import aggregation
from hsjax.types import Aggregation, Predictions


def recordings(segments: Predictions, rule: Aggregation = Aggregation.MEAN) -> Predictions:
    """One row a recording: the mean of its segments' probabilities, as `predict` takes it.

    Args:
      segments: predictions of unit `segment`.
      rule: what a segment counts for.

    Returns:
      Predictions of unit `recording`, sorted by recording id.

    Raises:
      ValueError: another unit, or segments of one recording disagree on its label or group.
    """
    if segments.unit != "segment":
        raise ValueError(f"only segments aggregate to recordings, not unit {segments.unit!r}")
    ids, first, index = np.unique(segments.recording, return_index=True, return_inverse=True)
    label, group = segments.label[first], segments.group[first]
    if (label[index] != segments.label).any() or (group[index] != segments.group).any():
        raise ValueError("the segments of one recording must share its label and group")
    weight = aggregation.weights(segments.probabilities, rule)
    # Where none counts for anything, all count the same.
    sums = np.bincount(index, weight, len(ids))
    weight = np.where(sums[index] > 0, weight, 1.0)
    total, sums = np.zeros((len(ids), segments.probabilities.shape[1])), np.bincount(index, weight, len(ids))
    np.add.at(total, index, weight[:, None] * segments.probabilities)
    return dataclasses.replace(
        segments,
        unit="recording",
        recording=ids,
        start=np.zeros(len(ids)),
        group=group,
        label=label,
        probabilities=(total / sums[:, None]).astype(segments.probabilities.dtype),
    )
