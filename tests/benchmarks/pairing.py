"""Timing two ways of doing one thing, in turn, so that a busy machine slows both."""

import statistics
import time
from collections.abc import Callable, Sequence


def paired(
    ours: Callable[[], object], theirs: Callable[[], object], repetitions: int = 15, warm_up: int = 2
) -> tuple[float, float, float, float, float]:
    """Wall times of two callables run alternately; which goes first alternates too.

    Args:
      ours: runs to completion (`block_until_ready` inside).
      theirs: likewise.
      repetitions: pairs timed.
      warm_up: pairs run before (compilation, caches).

    Returns:
      Median seconds of ours, of theirs, and of the ratios `theirs / ours` of the pairs (> 1: we are faster) the median
      and the 5 % and 95 % quantiles.
    """
    return summary([_pair(ours, theirs, ours_first=turn % 2 == 0) for turn in range(warm_up + repetitions)][warm_up:])


def summary(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float, float, float]:
    """What `paired` returns, of pairs of ours and theirs."""
    ratios = sorted(theirs_s / ours_s for ours_s, theirs_s in pairs)
    low, high = (_quantile(ratios, share) for share in (0.05, 0.95))
    ours_median, theirs_median = (statistics.median(column) for column in zip(*pairs, strict=True))
    return ours_median, theirs_median, statistics.median(ratios), low, high


def _pair(ours: Callable[[], object], theirs: Callable[[], object], *, ours_first: bool) -> tuple[float, float]:
    first, second = (ours, theirs) if ours_first else (theirs, ours)
    start = time.perf_counter()
    first()
    middle = time.perf_counter()
    second()
    end = time.perf_counter()
    return (middle - start, end - middle) if ours_first else (end - middle, middle - start)


def _quantile(ordered: list[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
