"""Sensitivity at a fixed specificity, or the other way round: threshold chosen on validation, applied to test.

A point read off the test part's own ROC curve (`on_curve`) has its threshold chosen on the answers: with few units it
looks better than any threshold fixed beforehand will do. Print it as what it is, beside `applied`.
"""

import enum
from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Bool, Num, Shaped

from hsjax.evaluate import bootstrap, metrics
from hsjax.types import UserError

# Thresholds for `metrics.decide` at which every probability is positive, and none.
_ALL, _NONE = 0.0, float(np.nextafter(1.0, 2.0))


class Fixed(enum.Enum):
    """The rate that is held; the other one is to be as high as possible."""

    SENSITIVITY = enum.auto()
    SPECIFICITY = enum.auto()


class Point(NamedTuple):
    """A threshold and the two rates it has on the data it was chosen on."""

    threshold: float
    sensitivity: float
    specificity: float


def on_curve(
    score: Num[np.ndarray, " n"], positive: Bool[np.ndarray, " n"], fixed: Fixed, at_least: float | int
) -> Point:
    """The point of the ROC curve with the highest other rate among those where the fixed one is at least so high.

    Thresholds lie halfway between neighbouring distinct scores, as in `thresholds.choose`; 0 finds all positive and the
    number above 1 none, so that a point always exists. Points are not interpolated: units of equal score are decided
    alike. Of equally good points it is the one with the higher fixed rate.

    Args:
      score: probability of the positive class.
      positive: whether a unit is.
      fixed: which rate is held.
      at_least: its value, 0 to 1.

    Raises:
      UserError: only one class is present.
      ValueError: `at_least` or a score is not between 0 and 1.
    """
    if not 0 <= at_least <= 1 or not ((score >= 0) & (score <= 1)).all():
        raise ValueError("scores and the fixed rate lie between 0 and 1")
    if positive.all() or not positive.any():
        raise UserError("the validation part holds one class only, so it has no ROC curve; enlarge it or split it anew")
    ranking = metrics.rank(score.astype(np.float64), positive)
    counts = metrics.count(ranking)
    threshold = np.concatenate([[_NONE], (ranking.threshold[:-1] + ranking.threshold[1:]) / 2, [_ALL]])
    found = np.concatenate([[0.0], counts.true_positives])
    false = np.concatenate([[0.0], counts.false_positives])
    sensitivity, specificity = found / found[-1], (false[-1] - false) / false[-1]
    held, other = (sensitivity, specificity) if fixed is Fixed.SENSITIVITY else (specificity, sensitivity)
    # Rounding must not lose a point that lies on the asked rate: .95 of 20 is 19.
    allowed = np.flatnonzero(held >= at_least - 1e-12)
    best = allowed[np.lexsort((held[allowed], other[allowed]))[-1]]
    return Point(float(threshold[best]), float(sensitivity[best]), float(specificity[best]))


class Applied(NamedTuple):
    """The two rates of a threshold on data that it was not chosen on.

    Attributes:
      threshold: as given.
      sensitivity: and its 95 % interval.
      specificity: and its 95 % interval.
      n_positive: units.
      n_negative: units.
      n_positive_groups: groups with a positive unit; the sensitivity hangs on these alone.
      n_negative_groups: groups with a negative unit.
      n_groups: all.
    """

    threshold: float
    sensitivity: bootstrap.Estimate
    specificity: bootstrap.Estimate
    n_positive: int
    n_negative: int
    n_positive_groups: int
    n_negative_groups: int
    n_groups: int


def applied(
    score: Num[np.ndarray, " n"],
    positive: Bool[np.ndarray, " n"],
    group: Shaped[np.ndarray, " n"],
    threshold: float | int,
    *,
    resamples: int = 1000,
    seed: int,
) -> Applied:
    """Sensitivity and specificity at a threshold that was chosen elsewhere, with intervals over groups.

    The intervals are for this threshold: they do not tell how it would vary with other validation data, so the rate
    that was fixed there need not be reached here. Where a rate is 0 or 1 every resample has it too, and the bootstrap
    claims certainty; there the interval is Clopper-Pearson's with the groups as units.

    Args:
      score: probability of the positive class.
      positive: whether a unit is.
      group: what each unit belongs to.
      threshold: positive is predicted where the score is at least this.
      resamples: of the groups.
      seed: of the draws.

    Returns:
      A rate without units is nan; intervals are None there and below `bootstrap.MIN_GROUPS` groups.
    """
    names, owner = np.unique(group, return_inverse=True)
    predicted = score.astype(np.float64) >= threshold
    found = _hits_and_units(predicted, positive, owner, len(names))
    kept = _hits_and_units(~predicted, ~positive, owner, len(names))
    return Applied(
        threshold=float(threshold),
        sensitivity=_estimate(found, resamples, seed),
        specificity=_estimate(kept, resamples, seed),
        n_positive=int(positive.sum()),
        n_negative=int((~positive).sum()),
        n_positive_groups=int((found[1] > 0).sum()),
        n_negative_groups=int((kept[1] > 0).sum()),
        n_groups=len(names),
    )


def _hits_and_units(right: np.ndarray, side: np.ndarray, owner: np.ndarray, num_groups: int) -> np.ndarray:
    """Of each group the units of a side that are right, and all units of that side: (2, groups)."""
    return np.stack([np.bincount(owner[chosen], minlength=num_groups) for chosen in (side & right, side)])


def _estimate(cells: np.ndarray, resamples: int, seed: int) -> bootstrap.Estimate:
    """A rate from each group's hits and units, (2, groups)."""
    hits, units = (int(value) for value in cells.sum(axis=1))
    if units == 0:
        return bootstrap.Estimate(float("nan"), None)
    num_groups = cells.shape[1]
    if num_groups < bootstrap.MIN_GROUPS:
        return bootstrap.Estimate(hits / units, None)
    if hits in (0, units):
        holding = int((cells[1] > 0).sum())
        return bootstrap.Estimate(hits / units, clopper_pearson(holding if hits else 0, holding))
    drawn = np.concatenate([rows @ cells.T for rows in bootstrap.multiplicities(num_groups, resamples, seed, 100)])
    shares = np.divide(drawn[:, 0], drawn[:, 1], out=np.full(len(drawn), np.nan), where=drawn[:, 1] > 0)
    return bootstrap.Estimate(hits / units, bootstrap.interval(shares))


def clopper_pearson(hits: int, n: int) -> bootstrap.Interval:
    """Exact 95 % interval of a proportion of independent units (Clopper and Pearson, Biometrika 26:404, 1934).

    Count subjects, not segments: of dependent units it covers far less than 95 %.

    Args:
      hits: how many.
      n: of how many.

    Raises:
      ValueError: `n` is zero, or `hits` not between 0 and `n`.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is no proportion")
    bound = scipy.stats.binomtest(hits, n).proportion_ci(method="exact")
    return float(bound.low), float(bound.high)
