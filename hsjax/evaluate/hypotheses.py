"""Tests of hypotheses as the papers of the field use them, and what each assumes.

A p-value says how surprising the data would be if there were no difference, not how large the difference is: print the
difference and its interval (`bootstrap.differences`, `delong.difference`) beside it.
"""

import enum
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Bool, Float, Num


class Alternative(enum.Enum):
    """What is to be shown of the first, compared with the second."""

    DIFFERENT = enum.auto()
    GREATER = enum.auto()
    LESS = enum.auto()


_STATSMODELS = {Alternative.DIFFERENT: "two-sided", Alternative.GREATER: "larger", Alternative.LESS: "smaller"}
_SCIPY = {Alternative.DIFFERENT: "two-sided", Alternative.GREATER: "greater", Alternative.LESS: "less"}


class Significance(NamedTuple):
    """Outcome of a test.

    Attributes:
      statistic: of the test.
      p: chance of such a statistic, or one further out, if there were no difference; nan where it is undefined.
      n: units compared; pairs in a paired test.
    """

    statistic: float
    p: float
    n: int


class Disagreement(NamedTuple):
    """Outcome of McNemar's test.

    Attributes:
      statistic: the smaller of `only_a` and `only_b`.
      p: exact, two-sided.
      n: units that both decided.
      only_a: units that only the first got right.
      only_b: units that only the second got right.
    """

    statistic: float
    p: float
    n: int
    only_a: int
    only_b: int


def mcnemar(right_a: Bool[np.ndarray, " n"], right_b: Bool[np.ndarray, " n"]) -> Disagreement:
    """Do two classifiers get equally many of the same units right? McNemar's exact test (Psychometrika 12:153, 1947).

    Only the units on which they disagree count: `only_a` of them is binomial with 1/2 if the classifiers are equal.
    Without disagreement p is 1. The units must be independent, so it misleads on segments of one recording and on
    recordings of one subject, whose errors come together: p is then far too small. Give one decision a subject.

    Args:
      right_a: whether the first is right about each unit.
      right_b: whether the second is right about the same one.
    """
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p = float(scipy.stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return Disagreement(float(min(only_a, only_b)), p, len(right_a), only_a, only_b)


class Pair(NamedTuple):
    """McNemar's test of two models among several.

    Attributes:
      a: name of the first.
      b: name of the second.
      test: its outcome, p as if it were the only test.
      p_holm: the same, adjusted for the number of pairs.
    """

    a: str
    b: str
    test: Disagreement
    p_holm: float


def mcnemar_pairs(right: Mapping[str, Bool[np.ndarray, " n"]]) -> list[Pair]:
    """McNemar's exact test of every pair of models on the same units, with Holm's correction for their number.

    The caution about dependent units of `mcnemar` holds for each.

    Args:
      right: by name of the model, whether it is right about each unit, in the same order of units for all.

    Returns:
      Pairs in the order of the names; none for a single model.
    """
    pairs = list(itertools.combinations(right, 2))
    tests = [mcnemar(right[a], right[b]) for a, b in pairs]
    adjusted = holm(np.array([test.p for test in tests]))
    return [Pair(a, b, test, float(p)) for (a, b), test, p in zip(pairs, tests, adjusted, strict=True)]


def two_proportions(
    right_a: int, n_a: int, right_b: int, n_b: int, alternative: Alternative = Alternative.GREATER
) -> Significance:
    """Is one rate above another? z-test of two proportions, variance pooled, by default one-tailed as in Song et al.

    It takes the two rates to come from different, independent units. For two models tested on the same units it ignores
    that they are paired (use `mcnemar`), and with segments as units it also takes what comes from one recording for
    independent, so that p is far too small. A one-tailed p is half the two-tailed one: the direction must have been
    fixed beforehand.

    Args:
      right_a: how many of the first units are right.
      n_a: of how many.
      right_b: how many of the second units are right.
      n_b: of how many.
      alternative: what is to be shown of the first rate.

    Returns:
      z, p and `n_a + n_b`. z and p are nan where all units are right, or all wrong, on both sides.

    Raises:
      ValueError: a side has no unit, or not between none and all of them right.
    """
    from statsmodels.stats import proportion  # takes more than a second

    for right, n in ((right_a, n_a), (right_b, n_b)):
        if n < 1 or not 0 <= right <= n:
            raise ValueError(f"{right} of {n} is no proportion")
    if right_a + right_b in (0, n_a + n_b):
        return Significance(float("nan"), float("nan"), n_a + n_b)
    z, p = proportion.proportions_ztest(
        np.array([right_a, right_b]), np.array([n_a, n_b]), alternative=_STATSMODELS[alternative]
    )
    return Significance(float(z), float(p), n_a + n_b)


def wilcoxon(
    a: Num[np.ndarray, " pairs"], b: Num[np.ndarray, " pairs"], alternative: Alternative = Alternative.DIFFERENT
) -> Significance:
    """Is one figure above another over folds, seeds or data sets? Wilcoxon's signed-rank test (Biom. Bull. 1:80, 1945).

    Exact up to 50 pairs, 13 where differences are tied or zero. Equal pairs are left out; if all are equal p is 1. The
    differences are rounded to 12 decimals, so that equal ones tie.

    Folds share most of their training data and seeds share all data, so their differences are not independent: p speaks
    of repeating the training on these recordings, not of other subjects, and is too small even for that. It cannot be
    below 2^(1-n): .0625 with five pairs, two-sided.

    Args:
      a: the figure of one model on each fold or seed.
      b: of the other, on the same ones.
      alternative: what is to be shown of the first.

    Returns:
      The statistic is scipy's: the smaller rank sum two-sided, else that of the pairs in which `a` is above.

    Raises:
      ValueError: a figure is not finite.
    """
    gain = np.round(np.asarray(a, np.float64) - np.asarray(b, np.float64), 12)
    if not np.isfinite(gain).all():
        raise ValueError("the figures to compare must be finite")
    unequal = gain[gain != 0]
    if len(unequal) == 0:
        return Significance(0.0, 1.0, len(gain))
    outcome = scipy.stats.wilcoxon(unequal, alternative=_SCIPY[alternative])
    return Significance(float(outcome.statistic), float(outcome.pvalue), len(gain))


def holm(p: Float[np.ndarray, " tests"] | Sequence[float]) -> Float[np.ndarray, " tests"]:
    """P-values adjusted for how many there are, step down (Holm, Scand. J. Stat. 6:65, 1979).

    To be compared with the level itself, say .05. It needs all tests that were made, also those left out of a table.

    Args:
      p: of each test.

    Raises:
      ValueError: one is not between 0 and 1 (an undefined test cannot be adjusted; leave it out of all tables).
    """
    p = np.asarray(p, np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values lie between 0 and 1")
    if len(p) == 0:
        return p
    from statsmodels.stats import multitest  # takes more than a second

    return np.asarray(multitest.multipletests(p, method="holm")[1])
