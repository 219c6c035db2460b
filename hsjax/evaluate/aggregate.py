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
    ids, first, index, size = np.unique(segments.recording, return_index=True, return_inverse=True, return_counts=True)
    label, group = segments.label[first], segments.group[first]
    if (label[index] != segments.label).any() or (group[index] != segments.group).any():
        raise ValueError("the segments of one recording must share its label and group")
    together = segments.probabilities[np.argsort(index, kind="stable")]
    windows = np.split(together, np.cumsum(size)[:-1])
    return dataclasses.replace(
        segments,
        unit="recording",
        recording=ids,
        start=np.zeros(len(ids)),
        group=group,
        label=label,
        probabilities=np.stack([aggregation.over_windows(one, rule) for one in windows]),
    )
