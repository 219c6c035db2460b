"""Percentile bootstrap over independent groups (subjects): one model, a mean over folds, pairs, pairs over seeds.

The units of one group are alike, so groups are drawn with replacement, not units (Field and Welsh 2007). A resample is
a row of multiplicities, how often each group was drawn; all metrics of a chunk of resamples are computed at once.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hsjax.evaluate.panel import Metric, Panel, panel
from hsjax.types import Predictions

# Below this the percentiles of resampled groups say little: intervals are None.
MIN_GROUPS = 10
# Percentiles that bound a 95 % interval.
_BOUNDS = (2.5, 97.5)
# Numbers per array and chunk of resamples: a handful of float64 arrays of this size live at once, some 50 MB.
_CHUNK_NUMBERS = 1_000_000

Interval = tuple[float, float]


def multiplicities(num_groups: int, resamples: int, seed: int, chunk: int) -> Iterator[Int[np.ndarray, "chunk groups"]]:
    """How often each group is drawn in each resample, `chunk` resamples at a time."""
    rng = np.random.default_rng(seed)
    for begin in range(0, resamples, chunk):
        size = min(chunk, resamples - begin)
        drawn = rng.integers(0, num_groups, (size, num_groups)) + num_groups * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * num_groups).reshape(size, num_groups)


def interval(values: Float[np.ndarray, " resamples"]) -> Interval | None:
    """The 95 % percentile interval of the resamples in which the metric is defined; None where it never is."""
    defined = values[~np.isnan(values)]
    if len(defined) == 0:
        return None
    low, high = np.percentile(defined, _BOUNDS)
    return float(low), float(high)


class Estimate(NamedTuple):
    """A metric, or a difference of one, and its 95 % interval.

    `interval` is None with fewer than `MIN_GROUPS` groups, or where no resample defines the metric.
    """

    value: float
    interval: Interval | None


def _estimates(
    statistic: Callable[[np.ndarray], dict[Metric, np.ndarray]],
    num_groups: int,
    num_units: int,
    resamples: int,
    seed: int,
) -> dict[Metric, Estimate]:
    """Estimates of a statistic that maps multiplicities (r, groups) to arrays (r,)."""
    values = {metric: float(value[0]) for metric, value in statistic(np.ones((1, num_groups))).items()}
    if num_groups < MIN_GROUPS:
        return {metric: Estimate(value, None) for metric, value in values.items()}
    chunk = max(1, _CHUNK_NUMBERS // max(num_units, num_groups))
    parts = [statistic(drawn) for drawn in multiplicities(num_groups, resamples, seed, chunk)]
    return {
        metric: Estimate(value, interval(np.concatenate([part[metric] for part in parts])))
        for metric, value in values.items()
    }


def estimates(scored: Panel, *, resamples: int = 1000, seed: int) -> dict[Metric, Estimate]:
    """Every metric of one model with its 95 % interval.

    Args:
      scored: the model's predictions, made into a panel over their own groups.
      resamples: how many.
      seed: of the draws.
    """
    return _estimates(scored.rates, scored.num_groups, scored.num_units, resamples, seed)


class Decided(NamedTuple):
    """Predictions and the threshold they are decided at (see `panel.panel`)."""

    predictions: Predictions
    threshold: float | None


def means(
    folds: Sequence[Decided], *, positive: int | None, resamples: int = 1000, seed: int
) -> dict[Metric, Estimate]:
    """Every metric as the mean over folds, with its 95 % interval.

    In each resample the groups of all folds are drawn together, every fold is scored on those drawn that are its own,
    and the mean is taken over the folds in which the metric is defined: the interval tells of other subjects, not of
    other folds.

    Args:
      folds: one model each, of disjoint test parts or not.
      positive: index of the class to detect, None for multi-class figures.
      resamples: how many.
      seed: of the draws.

    Raises:
      ValueError: no folds, or only some of them are decided at a threshold.
    """
    _require_one_decision(folds)
    groups = np.unique(np.concatenate([fold.predictions.group for fold in folds]))
    panels = [panel(*fold, positive, groups) for fold in folds]

    def statistic(multiplicity: np.ndarray) -> dict[Metric, np.ndarray]:
        values = [one.rates(multiplicity) for one in panels]
        return {metric: _mean_of_defined(np.array([each[metric] for each in values])) for metric in values[0]}

    return _estimates(statistic, len(groups), max(one.num_units for one in panels), resamples, seed)


def _mean_of_defined(values: Float[np.ndarray, "folds resamples"]) -> Float[np.ndarray, " resamples"]:
    defined = ~np.isnan(values)
    count = defined.sum(axis=0)
    total = np.where(defined, values, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(values.shape[1], np.nan), where=count > 0)


def _require_one_decision(sides: Sequence[Decided]) -> None:
    if not sides or len({side.threshold is None for side in sides}) > 1:
        raise ValueError("figures of several models need at least one, and all or none decided at a threshold")


def paired(a: Sequence[Decided], b: Sequence[Decided]) -> list[tuple[Decided, Decided]]:
    """Pairs of equal seed and fold, each of the same units in any order.

    Raises:
      ValueError: seeds or folds differ, or a pair's units (recording and start), labels, groups or classes do.
    """
    by_run = [{(side.predictions.key.seed, side.predictions.key.fold): side for side in sides} for sides in (a, b)]
    if not a or len(by_run[0]) != len(a) or len(by_run[1]) != len(b) or by_run[0].keys() != by_run[1].keys():
        raise ValueError("a paired difference needs the same seeds and folds once on both sides")
    pairs = [(by_run[0][run], by_run[1][run]) for run in sorted(by_run[0])]
    for pair in pairs:
        _require_same_units(*(side.predictions for side in pair))
    return pairs


def _require_same_units(a: Predictions, b: Predictions) -> None:
    same = len(a.label) == len(b.label) and a.classes == b.classes and a.unit == b.unit
    if same:
        orders = [np.lexsort((side.start, side.recording)) for side in (a, b)]
        same = all(
            np.array_equal(getattr(a, column)[orders[0]], getattr(b, column)[orders[1]])
            for column in ("recording", "start", "label", "group")
        )
    if not same:
        raise ValueError(f"{a.key} and {b.key} are not predictions of the same units: they cannot be paired")


def differences(
    a: Sequence[Decided], b: Sequence[Decided], *, positive: int | None, resamples: int = 1000, seed: int
) -> dict[Metric, Estimate]:
    """Every metric of `a` minus that of `b`, the mean over seeds, with paired 95 % intervals.

    In each resample all models of both sides are scored on the same drawn groups, and the mean over seeds is taken
    there: the interval tells of other subjects, not of other seeds. Where test sets differ between seeds, the union of
    their groups is drawn from.

    Args:
      a: one model, or one a seed.
      b: as many, of the same seeds and units.
      positive: index of the class to detect, None for multi-class figures.
      resamples: how many.
      seed: of the draws.

    Raises:
      ValueError: the two sides cannot be paired, or only some of their models are decided at a threshold.
    """
    pairs = paired(a, b)
    _require_one_decision([side for pair in pairs for side in pair])
    groups = np.unique(np.concatenate([side.predictions.group for pair in pairs for side in pair]))
    panels = [[panel(*side, positive, groups) for side in pair] for pair in pairs]

    def statistic(multiplicity: np.ndarray) -> dict[Metric, np.ndarray]:
        by_pair = [[side.rates(multiplicity) for side in pair] for pair in panels]
        return {
            metric: np.mean([ours[metric] - theirs[metric] for ours, theirs in by_pair], axis=0)
            for metric in by_pair[0][0]
        }

    num_units = max(side.num_units for pair in panels for side in pair)
    return _estimates(statistic, len(groups), num_units, resamples, seed)
