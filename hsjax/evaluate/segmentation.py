"""How well found heart sounds fit marked ones: one-to-one matching of onsets in time.

Times are seconds. A found onset is right if it is paired with a marked one at most a tolerance away, as in Springer et
al. (IEEE Trans. Biomed. Eng. 63:822, 2016) and Schmidt et al. (Physiol. Meas. 31:513, 2010).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int8

from hsjax.evaluate import bootstrap
from hsjax.types import HeartState

_EDGE = 1e-9
"""s; what lies on the tolerance is within it, whatever the rounding of two times."""


@dataclasses.dataclass(frozen=True)
class Matches:
    """Counts of one recording and one sound. They add up.

    Attributes:
      right: found onsets with a marked one of their own.
      extra: the other found ones.
      missed: the other marked ones.
    """

    right: int = 0
    extra: int = 0
    missed: int = 0

    def __add__(self, other: "Matches") -> "Matches":
        """Counts of both."""
        return Matches(self.right + other.right, self.extra + other.extra, self.missed + other.missed)

    @property
    def sensitivity(self) -> float:
        """Share of the marked onsets that were found; NaN where none is marked."""
        return _ratio(self.right, self.right + self.missed)

    @property
    def ppv(self) -> float:
        """Share of the found onsets that are right (positive predictive value); NaN where none was found."""
        return _ratio(self.right, self.right + self.extra)

    @property
    def f1(self) -> float:
        """Harmonic mean of sensitivity and positive predictive value; NaN where there is nothing."""
        return _ratio(2 * self.right, 2 * self.right + self.extra + self.missed)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def match(
    found: Float[np.ndarray, " found"], marked: Float[np.ndarray, " marked"], tolerance: float | int
) -> Bool[np.ndarray, " found"]:
    """Which found onsets have a marked one of their own within the tolerance.

    Both are walked through in order of time and the earliest two that fit are paired: no other pairing is larger.

    Args:
      found: ascending, s.
      marked: ascending, s.
      tolerance: s, inclusive.
    """
    right = np.zeros(len(found), bool)
    place = 0
    for index, time in enumerate(found):
        while place < len(marked) and marked[place] < time - tolerance - _EDGE:
            place += 1
        if place < len(marked) and marked[place] <= time + tolerance + _EDGE:
            right[index] = True
            place += 1
    return right


def onsets(states: Int8[np.ndarray, " time"], state: HeartState) -> Float[np.ndarray, " onsets"]:
    """Indices of the samples or frames in which a state begins behind another known one.

    What is already on in the first sample, or behind an unknown stretch, began at a time that nobody knows.
    """
    begins = (states[1:] == state) & (states[:-1] != state) & (states[:-1] != HeartState.UNKNOWN)
    return (np.flatnonzero(begins) + 1).astype(float)


def middles(states: Int8[np.ndarray, " time"], state: HeartState) -> Float[np.ndarray, " middles"]:
    """Middles, in samples or frames, of all stretches of a state, those cut off by an end included."""
    edges = np.diff(np.concatenate([[False], states == state, [False]]).astype(np.int8))
    return (np.flatnonzero(edges == 1) + np.flatnonzero(edges == -1)) / 2


def told(
    found: Float[np.ndarray, " found"],
    states: Int8[np.ndarray, " time"],
    sample_rate: float | int,
    tolerance: float | int,
) -> Bool[np.ndarray, " found"]:
    """Which found onsets have only known samples, and neither begin nor end of the recording, within the tolerance.

    Elsewhere a marked one may hide.

    Args:
      found: s.
      states: the true state of every sample.
      sample_rate: of `states`, Hz.
      tolerance: s, inclusive.
    """
    unknown = np.concatenate([[True], states == HeartState.UNKNOWN, [True]])
    before = np.concatenate([[0], np.cumsum(unknown)])
    centre = np.asarray(found) * sample_rate + 1.0
    low = np.clip(np.ceil(centre - tolerance * sample_rate - _EDGE), 0, len(unknown) - 1).astype(int)
    high = np.clip(np.floor(centre + tolerance * sample_rate + _EDGE), 0, len(unknown) - 1).astype(int)
    return before[high + 1] == before[low]


def score(
    found: Float[np.ndarray, " found"],
    marked: Float[np.ndarray, " marked"],
    tolerance: float | int,
    told: Bool[np.ndarray, " found"] | None = None,
) -> Matches:
    """Counts of one recording and one sound.

    Args:
      found: ascending, s.
      marked: ascending, s.
      tolerance: s, inclusive.
      told: which of the found ones count as extra where they match nothing; all where None.
    """
    right = match(found, marked, tolerance)
    extra = ~right if told is None else ~right & told
    return Matches(right=int(right.sum()), extra=int(extra.sum()), missed=int(len(marked) - right.sum()))


@dataclasses.dataclass(frozen=True)
class Summary:
    """Sums over recordings, with 95 % intervals from resampled groups.

    Attributes:
      counts: summed over the recordings.
      f1: point estimate and interval (None below `bootstrap.MIN_GROUPS` groups).
      sensitivity: likewise.
      ppv: likewise.
      recordings: how many.
      groups: how many independent ones they come from.
    """

    counts: Matches
    f1: bootstrap.Estimate
    sensitivity: bootstrap.Estimate
    ppv: bootstrap.Estimate
    recordings: int
    groups: int


def summarise(matches: Sequence[Matches], groups: Sequence[str], *, resamples: int = 1000, seed: int = 0) -> Summary:
    """Adds up counts of recordings and resamples their groups.

    Args:
      matches: of each recording.
      groups: of each recording.
      resamples: of the groups.
      seed: of the draws.

    Raises:
      ValueError: no recording, or not one group for each.
    """
    if not matches or len(matches) != len(groups):
        raise ValueError(f"want a group for each of at least one recording, got {len(matches)} and {len(groups)}")
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.zeros((len(names), 3))
    np.add.at(counts, index, np.array([dataclasses.astuple(one) for one in matches]))
    total = Matches(*(int(value) for value in counts.sum(axis=0)))
    drawn = np.zeros((0, 3))
    if len(names) >= bootstrap.MIN_GROUPS:
        drawn = np.concatenate(
            [multiplicity @ counts for multiplicity in bootstrap.multiplicities(len(names), resamples, seed, 100)]
        )
    right, extra, missed = drawn.T

    def estimate(value: float, part: np.ndarray, whole: np.ndarray) -> bootstrap.Estimate:
        share = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
        return bootstrap.Estimate(value, bootstrap.interval(share) if len(share) else None)

    return Summary(
        counts=total,
        f1=estimate(total.f1, 2 * right, 2 * right + extra + missed),
        sensitivity=estimate(total.sensitivity, right, right + missed),
        ppv=estimate(total.ppv, right, right + extra),
        recordings=len(matches),
        groups=len(names),
    )
