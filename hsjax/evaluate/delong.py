"""Variance of an AUROC and of the difference of two, without resampling: DeLong's method, also for grouped units.

DeLong, DeLong and Clarke-Pearson, Biometrics 44:837, 1988, computed from mid-ranks in O(n log n) as in Sun and Xu,
IEEE Signal Process. Lett. 21:1389, 2014. Units of one group (segments of a recording, recordings of a subject) are not
independent, and DeLong's variance is then far too small; with groups it is Obuchowski's (Biometrics 53:567, 1997),
which is DeLong's where every unit is a group of its own. `tests/benchmarks/coverage.py` shows what either covers.
"""

from typing import NamedTuple

import numpy as np
import scipy.special
import scipy.stats
from jaxtyping import Bool, Num, Shaped

_TWO_SIDED_95 = float(scipy.special.ndtri(0.975))

Interval = tuple[float, float]


class Area(NamedTuple):
    """An AUROC.

    Attributes:
      value: nan without both classes.
      standard_error: nan where fewer than two groups hold positives, or negatives, or the estimate of the variance is
        negative, as it can be with few groups.
      interval: 95 %, symmetric on the logit scale, thus inside 0 to 1; the better one. None where the standard error
        is nan or zero (perfect separation, or all scores equal), which says nothing of other units.
      plain_interval: 95 %, value plus and minus 1.96 standard errors, cut at 0 and 1; None likewise.
      n: units.
      n_groups: independent groups; `n` without groups.
    """

    value: float
    standard_error: float
    interval: Interval | None
    plain_interval: Interval | None
    n: int
    n_groups: int


class AreaDifference(NamedTuple):
    """The AUROC of one score minus that of another on the same units.

    Attributes:
      value: nan without both classes.
      standard_error: nan as in `Area`; 0 where both scores rank alike.
      interval: 95 %, value plus and minus 1.96 standard errors; None where the standard error is nan, or 0 although
        the areas differ.
      z: value by standard error; nan where that is nan or zero.
      p: two-sided; 1 where both scores rank alike, nan where `z` is undefined otherwise.
      n: units.
      n_groups: independent groups; `n` without groups.
    """

    value: float
    standard_error: float
    interval: Interval | None
    z: float
    p: float
    n: int
    n_groups: int


def area(
    score: Num[np.ndarray, " n"], positive: Bool[np.ndarray, " n"], group: Shaped[np.ndarray, " n"] | None = None
) -> Area:
    """AUROC with its 95 % interval.

    Without `group` every unit counts as independent. That is true of one recording a subject and of nothing else: for
    segments, or several recordings of one subject, give the groups, or the interval is too narrow.

    Args:
      score: higher means more likely positive; ties count half.
      positive: whether a unit is.
      group: what each unit belongs to (subject); None if every unit stands for itself.

    Raises:
      ValueError: a score is not finite.
    """
    value, components, groups = _components(score, positive, group)
    error = _standard_error(components, positive, groups)
    logit_interval = plain = None
    if error > 0:
        plain = (max(0.0, value - _TWO_SIDED_95 * error), min(1.0, value + _TWO_SIDED_95 * error))
        if 0 < value < 1:
            middle, half = scipy.special.logit(value), _TWO_SIDED_95 * error / (value * (1 - value))
            logit_interval = (float(scipy.special.expit(middle - half)), float(scipy.special.expit(middle + half)))
    return Area(value, error, logit_interval, plain, len(score), _number(groups))


def difference(
    a: Num[np.ndarray, " n"],
    b: Num[np.ndarray, " n"],
    positive: Bool[np.ndarray, " n"],
    group: Shaped[np.ndarray, " n"] | None = None,
) -> AreaDifference:
    """AUROC of `a` minus that of `b` for the same units, with a 95 % interval and a test of equality.

    The correlation of the two scores is taken into account. Independence of units is the same matter as in `area`. The
    test is for scores that were fitted on other data than these.

    Args:
      a: one score, higher means more likely positive.
      b: the other, of the same units in the same order.
      positive: whether a unit is.
      group: what each unit belongs to; None if every unit stands for itself.

    Raises:
      ValueError: a score is not finite.
    """
    value_a, components_a, groups = _components(a, positive, group)
    value_b, components_b, _ = _components(b, positive, group)
    value, components = value_a - value_b, components_a - components_b
    # Sums of halves of counts: what is left of equal ones is rounding.
    components[np.abs(components) < 1e-12] = 0.0
    error = _standard_error(components, positive, groups)
    interval, z, p = None, float("nan"), float("nan")
    if error > 0:
        interval = (value - _TWO_SIDED_95 * error, value + _TWO_SIDED_95 * error)
        z = value / error
        p = float(2 * scipy.special.ndtr(-abs(z)))
    elif error == 0 and not components.any():
        value, interval, p = 0.0, (0.0, 0.0), 1.0
    return AreaDifference(value, error, interval, z, p, len(a), _number(groups))


def _components(
    score: np.ndarray, positive: np.ndarray, group: np.ndarray | None
) -> tuple[float, np.ndarray, np.ndarray]:
    """The area, each unit's structural component, and the index of its group.

    A positive's component is the part of the negatives that it outranks, a negative's the part of the positives that
    outrank it: rank among all minus rank in the own class, by the number of the other class.
    """
    if not np.isfinite(score).all():
        raise ValueError("scores must be finite to be ranked")
    groups = np.arange(len(score)) if group is None else np.unique(group, return_inverse=True)[1].reshape(-1)
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    components = np.full(len(score), np.nan)
    if num_positive == 0 or num_negative == 0:
        return float("nan"), components, groups
    outranked = scipy.stats.rankdata(score).astype(np.float64)
    for side in (positive, ~positive):
        outranked[side] -= scipy.stats.rankdata(score[side])
    components[positive] = outranked[positive] / num_negative
    components[~positive] = 1 - outranked[~positive] / num_positive
    return float(components[positive].mean()), components, groups


def _standard_error(components: np.ndarray, positive: np.ndarray, groups: np.ndarray) -> float:
    """Of the mean component, from the sums of each group's centred components (Obuchowski's S10, S01 and S11)."""
    variance, sums = 0.0, []
    num_groups = _number(groups)
    for side in (positive, ~positive):
        holding = len(np.unique(groups[side]))
        if holding < 2:
            return float("nan")
        centred = components[side] - components[side].mean()
        # Sums by group of what adds up to the area's error.
        sums.append(np.bincount(groups[side], centred / side.sum(), minlength=num_groups))
        variance += holding / (holding - 1) * float((sums[-1] ** 2).sum())
    variance += 2 * num_groups / (num_groups - 1) * float((sums[0] * sums[1]).sum())
    # Rounding may leave a tiny negative number where it is zero.
    if -1e-15 < variance < 1e-15:
        return 0.0
    return float(np.sqrt(variance)) if variance > 0 else float("nan")


def _number(groups: np.ndarray) -> int:
    return len(np.unique(groups))
