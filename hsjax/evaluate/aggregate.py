"""From segments to recordings."""

import dataclasses

import numpy as np

from hsjax.types import Predictions


def recordings(segments: Predictions) -> Predictions:
    """One row a recording: the mean of its segments' probabilities.

    Args:
      segments: predictions of unit `segment`.

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
    total = np.zeros((len(ids), segments.probabilities.shape[1]))
    np.add.at(total, index, segments.probabilities)
    return dataclasses.replace(
        segments,
        unit="recording",
        recording=ids,
        start=np.zeros(len(ids)),
        group=group,
        label=label,
        probabilities=(total / size[:, None]).astype(segments.probabilities.dtype),
    )
