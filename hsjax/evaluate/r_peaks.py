"""How well detected beats meet annotated ones, as ANSI/AAMI EC57 counts them (PhysioNet's program `bxb`)."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int64

TOLERANCE: float = 0.15
"""Seconds between an annotated and a detected beat that count as the same one (EC57)."""

LEARNING: float = 300.0
"""Seconds at the beginning of a record that EC57 leaves to the detector to learn on."""


class Matches(NamedTuple):
    """Pairs of one annotated and one detected beat each; no beat is in two.

    Attributes:
      reference: index of the annotated beat of each pair, ascending.
      detected: index of its detected one.
    """

    reference: Int64[np.ndarray, " pairs"]
    detected: Int64[np.ndarray, " pairs"]


class Detection(NamedTuple):
    """Counts of a beat-by-beat comparison.

    Attributes:
      true_positives: annotated beats that were detected.
      false_negatives: annotated beats that were not.
      false_positives: detections without an annotated beat.
    """

    true_positives: int
    false_negatives: int
    false_positives: int

    @property
    def sensitivity(self) -> float:
        """Share of the annotated beats that were detected; NaN where none are annotated."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def positive_predictivity(self) -> float:
        """Share of the detections that are annotated beats; NaN where nothing is detected."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)


def match(reference: Int[np.ndarray, " beats"], detected: Int[np.ndarray, " peaks"], tolerance: float | int) -> Matches:
    """One-to-one pairs of annotated and detected beats.

    Walks both lists in time. The earlier of the two beats at hand is paired with the other if that is within the
    tolerance and nearer than the one behind it; otherwise it stays alone. This is the rule of `bxb`.

    Args:
      reference: sample index of each annotated beat, ascending.
      detected: sample index of each detected beat, ascending.
      tolerance: samples.

    Raises:
      ValueError: a list is not ascending.
    """
    times = [np.asarray(side, np.int64) for side in (reference, detected)]
    if any(np.any(np.diff(side) < 0) for side in times):
        raise ValueError("sample indices of beats must be ascending")
    # Behind the last beat of a list there is none to be nearer.
    sides = [[*side.tolist(), np.inf] for side in times]
    at = [0, 0]
    pairs = []
    while at[0] < len(times[0]) and at[1] < len(times[1]):
        first = int(sides[1][at[1]] < sides[0][at[0]])
        now, other = sides[first][at[first]], sides[1 - first][at[1 - first]]
        following = sides[first][at[first] + 1]
        if other - now <= tolerance and other - now <= abs(following - other):
            pairs.append(tuple(at))
            at = [at[0] + 1, at[1] + 1]
        else:
            at[first] += 1
    paired = np.asarray(pairs, np.int64).reshape(-1, 2)
    return Matches(paired[:, 0], paired[:, 1])


def score(
    reference: Int[np.ndarray, " beats"],
    detected: Int[np.ndarray, " peaks"],
    sample_rate: float | int,
    *,
    tolerance: float = TOLERANCE,
    start: float = 0.0,
    excluded: Int[np.ndarray, "spans 2"] | None = None,
) -> Detection:
    """Counts of one record.

    A pair lies where its annotated beat lies: one across `start` or the edge of a span is counted or left out whole.

    Args:
      reference: sample index of each annotated beat, ascending.
      detected: sample index of each detected beat, ascending.
      sample_rate: Hz.
      tolerance: seconds.
      start: seconds at the beginning that are not counted; EC57 wants `LEARNING`.
      excluded: first and last sample of spans that are not counted; EC57 excludes ventricular flutter and fibrillation.

    Raises:
      ValueError: a list is not ascending.
    """
    pairs = match(reference, detected, tolerance * sample_rate)
    begin = start * sample_rate
    counts_reference = _counted(np.asarray(reference), begin, excluded)
    counts_detected = _counted(np.asarray(detected), begin, excluded)
    paired = np.zeros(len(detected), bool)
    paired[pairs.detected] = True
    hits = int(counts_reference[pairs.reference].sum())
    return Detection(hits, int(counts_reference.sum()) - hits, int((counts_detected & ~paired).sum()))


def gross(detections: Iterable[Detection]) -> Detection:
    """All records' beats counted together: EC57's gross statistic; its average one is the mean of the records'."""
    counts = np.asarray([tuple(detection) for detection in detections], np.int64).reshape(-1, 3)
    return Detection(*(int(total) for total in counts.sum(axis=0)))


def timing_errors(
    reference: Int[np.ndarray, " beats"], detected: Int[np.ndarray, " peaks"], sample_rate: float | int
) -> Float[np.ndarray, " pairs"]:
    """Seconds by which each paired detection is late, within `TOLERANCE`."""
    pairs = match(reference, detected, TOLERANCE * sample_rate)
    return (np.asarray(detected)[pairs.detected] - np.asarray(reference)[pairs.reference]) / sample_rate


def _counted(index: np.ndarray, begin: float, excluded: np.ndarray | None) -> np.ndarray:
    counted = index >= begin
    for first, last in () if excluded is None else excluded:
        counted &= (index < first) | (index > last)
    return counted


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
