"""The same training repeated with other seeds: every single value, their mean and their spread."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import scipy.stats

from hsjax.evaluate.rows import MEAN
from hsjax.types import ResultRow

Interval = tuple[float, float]


class Repeats(NamedTuple):
    """A figure over seeds.

    Attributes:
      seeds: ascending.
      values: of each seed, none left out; nan where a seed has none.
      mean: nan as soon as one value is.
      sd: standard deviation with n - 1; nan with fewer than two seeds.
      lowest: smallest value.
      highest: largest value.
      interval: 95 %, of the mean that ever more seeds would have (Student's t, values taken for normal); None with
        fewer than two seeds, or where one has no value. It is about seeds on these recordings and says nothing about
        other subjects: with many seeds it shrinks to a point, while the subjects stay as few as they are. The interval
        for those is the bootstrap's, of `rows.score` or `rows.difference`.
    """

    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float
    sd: float
    lowest: float
    highest: float
    interval: Interval | None


def repeats(by_seed: Mapping[int, float]) -> Repeats:
    """Mean, spread and every value of one figure.

    Args:
      by_seed: the figure of each seed, at least one.

    Raises:
      ValueError: there is no seed.
    """
    if not by_seed:
        raise ValueError("no seed to summarise")
    seeds = tuple(sorted(by_seed))
    values = np.array([by_seed[seed] for seed in seeds], np.float64)
    mean, sd, interval = float(values.mean()), float("nan"), None
    if len(values) > 1:
        sd = float(values.std(ddof=1))
        half = float(scipy.stats.t.ppf(0.975, len(values) - 1)) * sd / np.sqrt(len(values))
        interval = None if np.isnan(half) else (mean - float(half), mean + float(half))
    return Repeats(seeds, tuple(values.tolist()), mean, sd, float(values.min()), float(values.max()), interval)


def by_figure(rows: Iterable[ResultRow]) -> dict[ResultRow, Repeats]:
    """Every figure of some results over its seeds.

    Args:
      rows: of any models; those that are not of one seed are left out.

    Returns:
      Keyed by the row without what belongs to a seed: its `seed` is `mean` and its `value` the mean, its interval and
      numbers of units are None. Figures of a single seed are there too.

    Raises:
      ValueError: two rows give the same figure of the same seed.
    """
    found: dict[ResultRow, dict[int, float]] = {}
    for row in rows:
        if not isinstance(row.seed, int):
            continue
        key = dataclasses.replace(row, seed=MEAN, value=0.0, low=None, high=None, n=None, n_groups=None)
        values = found.setdefault(key, {})
        if row.seed in values:
            raise ValueError(f"{row.metric} {row.label} of {row.stage}, seed {row.seed}, is there twice")
        values[row.seed] = row.value
    summaries = {key: repeats(values) for key, values in found.items()}
    return {dataclasses.replace(key, value=summary.mean): summary for key, summary in summaries.items()}
