"""Do events happen as often as their probabilities say? Reliability curve, expected calibration error, Brier score.

Guo et al., On calibration of modern neural networks, ICML 2017. Either of one class (the probability of the positive
one against what is) or of the top label (the largest probability against whether it is right, `top_label`).
"""

import enum
from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Bool, Float, Int, Num, Shaped

from hsjax.evaluate import bootstrap


class Binning(enum.Enum):
    """How probabilities are put into bins: by equal steps of probability, or into equal shares of the units."""

    EQUAL_WIDTH = enum.auto()
    EQUAL_MASS = enum.auto()


class Curve(NamedTuple):
    """Reliability by bin, empty bins left out, probabilities rising.

    Attributes:
      probability: float64 (bins,), mean over the units of each bin.
      frequency: float64 (bins,), part of them with the event.
      n: int (bins,), units.
      low: float64 (bins,), lower end of the frequency's 95 % interval (Wilson). It takes units for independent: with
        several from one subject it is too narrow.
      high: float64 (bins,), upper end.
    """

    probability: np.ndarray
    frequency: np.ndarray
    n: np.ndarray
    low: np.ndarray
    high: np.ndarray


def top_label(
    probabilities: Float[np.ndarray, "n classes"], label: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """The largest probability of each unit and whether its class is right: what `curve` and the error take."""
    predicted = probabilities.argmax(axis=1) if len(label) else np.zeros(0, int)
    return np.take_along_axis(probabilities, predicted[:, None], axis=1)[:, 0].astype(np.float64), predicted == label


def curve(
    probability: Float[np.ndarray, " n"],
    event: Bool[np.ndarray, " n"],
    *,
    bins: int = 10,
    binning: Binning = Binning.EQUAL_WIDTH,
) -> Curve:
    """Mean probability and observed frequency in each bin that holds units.

    Args:
      probability: said of the event, 0 to 1.
      event: whether it is so.
      bins: at most so many. A bin holds its upper edge; equal probabilities always share one.
      binning: how the edges are laid.

    Raises:
      ValueError: probabilities are not between 0 and 1, or bins fewer than one.
    """
    index = _bin(probability, bins, binning)
    n = np.bincount(index, minlength=bins)
    kept = n > 0
    n = n[kept]
    sums = [np.bincount(index, value.astype(np.float64), minlength=bins)[kept] for value in (probability, event)]
    counted = zip(sums[1].astype(int).tolist(), n.tolist(), strict=True)
    bounds = [scipy.stats.binomtest(hits, units).proportion_ci(method="wilson") for hits, units in counted]
    low, high = np.array([(bound.low, bound.high) for bound in bounds]).reshape(-1, 2).T
    return Curve(sums[0] / n, sums[1] / n, n, low, high)


def _bin(probability: np.ndarray, bins: int, binning: Binning) -> np.ndarray:
    if bins < 1:
        raise ValueError(f"{bins} bins")
    probability = probability.astype(np.float64)
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("probabilities lie between 0 and 1")
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    if binning is Binning.EQUAL_MASS and len(probability):
        inner = np.quantile(probability, inner)
    return np.searchsorted(inner, probability)


def expected_calibration_error(
    probability: Float[np.ndarray, " n"],
    event: Bool[np.ndarray, " n"],
    *,
    bins: int = 10,
    binning: Binning = Binning.EQUAL_WIDTH,
) -> float:
    """Mean over units of the gap between probability and frequency in their bin (ECE); nan without units.

    It is biased upwards: a perfectly calibrated model has an error above zero, of the order of sqrt(bins / n), and more
    where units are dependent. Compare only with the same bins and like n.

    Args:
      probability: said of the event, 0 to 1.
      event: whether it is so.
      bins: as in `curve`.
      binning: as in `curve`.

    Raises:
      ValueError: as in `curve`.
    """
    drawn = curve(probability, event, bins=bins, binning=binning)
    if len(drawn.n) == 0:
        return float("nan")
    return float((drawn.n * np.abs(drawn.probability - drawn.frequency)).sum() / drawn.n.sum())


def brier_score(probabilities: Num[np.ndarray, "n classes"], label: Int[np.ndarray, " n"]) -> float:
    """Mean of half the squared distance between probabilities and truth, 0 to 1; nan without units.

    With two classes this is the mean squared error of the positive one's probability. Brier's own (Mon. Weather Rev.
    78:1, 1950) is twice this.

    Args:
      probabilities: of each class.
      label: true classes.
    """
    return float(_squared_errors(probabilities, label).mean()) if len(label) else float("nan")


def _squared_errors(probabilities: np.ndarray, label: np.ndarray) -> np.ndarray:
    truth = label[:, None] == np.arange(probabilities.shape[1])
    return ((probabilities.astype(np.float64) - truth) ** 2).sum(axis=1) / 2


class Calibration(NamedTuple):
    """Calibration of one model.

    Attributes:
      error: expected calibration error and its 95 % interval.
      noise: the mean error that a perfectly calibrated model would show with as many units, as dependent; nan below
        `bootstrap.MIN_GROUPS` groups.
      brier: Brier score and its 95 % interval.
      n: units.
      n_groups: independent groups.
    """

    error: bootstrap.Estimate
    noise: float
    brier: bootstrap.Estimate
    n: int
    n_groups: int


def estimates(
    probabilities: Float[np.ndarray, "n classes"],
    label: Int[np.ndarray, " n"],
    group: Shaped[np.ndarray, " n"],
    *,
    positive: int | None,
    bins: int = 10,
    binning: Binning = Binning.EQUAL_WIDTH,
    resamples: int = 1000,
    seed: int,
) -> Calibration:
    """Expected calibration error and Brier score with intervals from resampled groups.

    A resample is further from calibrated than the sample it is drawn from, as that one is than the truth: plain
    percentiles of the error lie above the truth, even above the estimate. So they are reflected at the estimate (basic
    bootstrap), and the interval begins at 0 where the error is within what calibrated models show: the 97.5 % point of
    the resampled gaps minus the observed ones. Bins are those of the whole sample.

    Args:
      probabilities: `(n, classes)`.
      label: true classes.
      group: what each unit belongs to.
      positive: index of the class whose probability is judged; None judges the top label.
      bins: as in `curve`.
      binning: as in `curve`.
      resamples: of the groups.
      seed: of the draws.

    Returns:
      No intervals below `bootstrap.MIN_GROUPS` groups.

    Raises:
      ValueError: there is no unit, or as in `curve`.
    """
    if len(label) == 0:
        raise ValueError("no unit to score")
    probability, event = top_label(probabilities, label)
    if positive is not None:
        probability, event = probabilities[:, positive].astype(np.float64), label == positive
    names, owner = np.unique(group, return_inverse=True)
    # Per group: the gap summed in each bin, the squared errors, the number of units.
    columns = np.zeros((len(names), bins + 2))
    np.add.at(columns, (owner, _bin(probability, bins, binning)), probability - event)
    columns[:, -2] = np.bincount(owner, _squared_errors(probabilities, label))
    columns[:, -1] = np.bincount(owner)
    *gaps, brier = columns.sum(axis=0)[:-1] / len(label)
    error = float(np.abs(gaps).sum())
    if len(names) < bootstrap.MIN_GROUPS:
        without = (bootstrap.Estimate(value, None) for value in (error, float(brier)))
        return Calibration(next(without), float("nan"), next(without), len(label), len(names))
    drawn = np.concatenate([rows @ columns for rows in bootstrap.multiplicities(len(names), resamples, seed, 100)])
    drawn = drawn[:, :-1] / drawn[:, -1:]
    null = np.abs(drawn[:, :-1] - np.array(gaps)).sum(axis=1)
    low, high = 2 * error - np.percentile(np.abs(drawn[:, :-1]).sum(axis=1), (97.5, 2.5))
    if error <= np.percentile(null, 97.5):
        low = 0.0
    return Calibration(
        bootstrap.Estimate(error, (max(0.0, float(low)), max(0.0, float(high)))),
        float(null.mean()),
        bootstrap.Estimate(float(brier), bootstrap.interval(drawn[:, -1])),
        len(label),
        len(names),
    )
