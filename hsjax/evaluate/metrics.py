"""Metrics as formulae: of confusion matrices for decisions, of cumulative counts for rankings.

Everything takes leading batch axes, one entry a resample, so that the bootstrap is the same formula on more numbers.
Weights are counts or importance, non-negative. What is undefined (no positives, a class never predicted) is nan.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int, Num

# ---- decisions


def decide(
    probabilities: Float[np.ndarray, "n classes"], threshold: float | None, positive: int | None
) -> Int[np.ndarray, " n"]:
    """The predicted class of each unit.

    Args:
      probabilities: `(n, classes)`.
      threshold: `positive` is predicted where its probability is at least this; None predicts the likeliest class.
      positive: index of the class to detect, among two.

    Raises:
      ValueError: a threshold without two classes and a positive one.
    """
    if threshold is None:
        return np.argmax(probabilities, axis=1)
    if positive is None or probabilities.shape[1] != 2:
        raise ValueError("a threshold decides between two classes, one of them positive")
    # float64: a threshold halfway between two neighbouring float32 probabilities must not round onto one of them.
    return np.where(probabilities[:, positive].astype(np.float64) >= threshold, positive, 1 - positive)


def confusion_matrix(
    label: Int[np.ndarray, " n"],
    predicted: Int[np.ndarray, " n"],
    num_classes: int,
    weight: Num[np.ndarray, " n"] | None = None,
) -> Float[np.ndarray, "{num_classes} {num_classes}"]:
    """Weighted counts, true classes in rows and predicted ones in columns."""
    cells = np.bincount(label * num_classes + predicted, weights=weight, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.float64)


def claims(probabilities: Float[np.ndarray, "n classes"], label: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n 3"]:
    """Of each unit three counts: itself (1), the classes that it is claimed to be of, and the claims that are right.

    A class is claimed where its probability is above 0.5, as Keras decides for its metrics `Precision` and `Recall`:
    a unit may be claimed by none.
    """
    claimed = probabilities > 0.5
    right = np.take_along_axis(claimed, label[:, None].astype(np.int64), 1)[:, 0]
    return np.stack([np.ones(len(label), np.int64), claimed.sum(1), right], 1)


def micro_precision(counts: Num[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch"]:
    """Of all claims of units (sums of `claims`), the part that is right."""
    return _ratio(counts[..., 2], counts[..., 1])


def micro_recall(counts: Num[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch"]:
    """Of all units (sums of `claims`), the part that is rightly claimed."""
    return _ratio(counts[..., 2], counts[..., 0])


def _ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> np.ndarray:
    """The quotient, nan where the denominator is zero; an array even where it is one number."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def _diagonal(confusion: np.ndarray) -> np.ndarray:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def support(confusion: Num[np.ndarray, "*batch classes classes"]) -> Num[np.ndarray, "*batch classes"]:
    """How many units each class truly has."""
    return confusion.sum(-1)


def recall(confusion: Num[np.ndarray, "*batch classes classes"]) -> Float[np.ndarray, "*batch classes"]:
    """Per class: of its units, the part that is found."""
    return _ratio(_diagonal(confusion), confusion.sum(-1))


def precision(confusion: Num[np.ndarray, "*batch classes classes"]) -> Float[np.ndarray, "*batch classes"]:
    """Per class: of the units predicted as it, the part that is right; nan for a class that is never predicted."""
    return _ratio(_diagonal(confusion), confusion.sum(-2))


def f1(confusion: Num[np.ndarray, "*batch classes classes"]) -> Float[np.ndarray, "*batch classes"]:
    """Per class: harmonic mean of precision and recall, as 2 TP / (2 TP + FP + FN)."""
    return _ratio(2 * _diagonal(confusion), confusion.sum(-1) + confusion.sum(-2))


def accuracy(confusion: Num[np.ndarray, "*batch classes classes"]) -> Float[np.ndarray, "*batch"]:
    """The part of all units that is right."""
    return _ratio(_diagonal(confusion).sum(-1), confusion.sum((-2, -1)))


def sensitivity(confusion: Num[np.ndarray, "*batch classes classes"], positive: int) -> Float[np.ndarray, "*batch"]:
    """Recall of the positive class."""
    return np.asarray(recall(confusion)[..., positive])


def specificity(confusion: Num[np.ndarray, "*batch 2 2"], positive: int) -> Float[np.ndarray, "*batch"]:
    """Recall of the negative class, of two."""
    return np.asarray(recall(confusion)[..., 1 - positive])


def macc(confusion: Num[np.ndarray, "*batch 2 2"], positive: int) -> Float[np.ndarray, "*batch"]:
    """Mean of sensitivity and specificity, the score of the PhysioNet/CinC Challenge 2016 (Clifford et al. 2016)."""
    return np.asarray((sensitivity(confusion, positive) + specificity(confusion, positive)) / 2)


def macro(per_class: Float[np.ndarray, "*batch classes"]) -> Float[np.ndarray, "*batch"]:
    """Unweighted mean over classes; nan as soon as one class has no value."""
    return np.asarray(per_class.mean(-1))


# ---- rankings


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Units sorted once by falling score, to be counted under many weights.

    Attributes:
      positive: bool (n,), in ranked order.
      unit: int (n,), where each ranked unit's weight stands in an array of weights.
      last: int (thresholds,), ranked position of the last unit of each distinct score.
      threshold: float (thresholds,), the distinct scores, falling.
    """

    positive: np.ndarray
    unit: np.ndarray
    last: np.ndarray
    threshold: np.ndarray


class Counts(NamedTuple):
    """Weighted numbers of units at or above each distinct score, `(*batch, thresholds)`, scores falling."""

    true_positives: np.ndarray
    false_positives: np.ndarray


def rank(
    score: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"], unit: Int[np.ndarray, " n"] | None = None
) -> Ranking:
    """Sorts by falling score; units of equal score share one threshold.

    Args:
      score: higher means more likely positive.
      positive: whether a unit is.
      unit: where each unit's weight will stand; by default its own position. With the index of its group, weights
        can be given per group.

    Raises:
      ValueError: a score is not finite, so there is no order.
    """
    if not np.isfinite(score).all():
        raise ValueError("scores must be finite to be ranked")
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.append(np.diff(ranked) != 0, np.full(min(len(ranked), 1), True)))
    return Ranking(positive[order], order if unit is None else unit[order], last, ranked[last])


def count(ranking: Ranking, weight: Num[np.ndarray, "*batch units"] | None = None) -> Counts:
    """Counts positives and negatives down the ranking.

    Args:
      ranking: from `rank`.
      weight: per unit, or per what `rank` was told a unit's weight belongs to; by default 1.

    Returns:
      Two arrays `(*batch, thresholds)`.
    """
    if weight is None:
        ranked = np.ones(len(ranking.unit))
    else:
        ranked = weight[..., ranking.unit].astype(np.float64)
    total = np.cumsum(ranked, axis=-1)[..., ranking.last]
    ranked *= ranking.positive
    true_positives = np.cumsum(ranked, axis=-1)[..., ranking.last]
    return Counts(true_positives, total - true_positives)


def _steps(cumulative: np.ndarray) -> np.ndarray:
    return np.diff(cumulative, axis=-1, prepend=0.0)


def auroc(counts: Counts) -> Float[np.ndarray, "*batch"]:
    """Area under the ROC curve: the chance that a positive outranks a negative, ties counting half (Mann-Whitney)."""
    positives, negatives = (_total(part) for part in counts)
    outranked = counts.true_positives - _steps(counts.true_positives) / 2
    return _ratio((_steps(counts.false_positives) * outranked).sum(-1), positives * negatives)


def auprc(counts: Counts) -> Float[np.ndarray, "*batch"]:
    """Average precision: precision at each distinct score, weighted by the recall gained there, not interpolated."""
    predicted = counts.true_positives + counts.false_positives
    # Where nothing is predicted yet (leading weights of zero) no recall is gained either: the term is zero.
    precision_there = counts.true_positives / np.where(predicted > 0, predicted, 1.0)
    return _ratio((_steps(counts.true_positives) * precision_there).sum(-1), _total(counts.true_positives))


def _total(cumulative: np.ndarray) -> npt.NDArray[np.float64] | np.float64:
    if cumulative.shape[-1] == 0:
        return np.zeros(cumulative.shape[:-1])
    return cumulative[..., -1]


def roc_curve(counts: Counts) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """False and true positive rate at each distinct score, from (0, 0) to (1, 1); nan where a class is missing."""
    rates = [_ratio(part, _total(part)) for part in counts]
    true_positive_rate, false_positive_rate = (np.concatenate([[0.0], rate]) for rate in rates)
    return false_positive_rate, true_positive_rate


def pr_curve(counts: Counts) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Recall and precision at each distinct score, recall rising; drawn as steps, its area is `auprc`."""
    found = _ratio(counts.true_positives, _total(counts.true_positives))
    return found, _ratio(counts.true_positives, counts.true_positives + counts.false_positives)
