"""Every metric of one set of predictions, under any weights of its groups."""

import dataclasses

import numpy as np
from jaxtyping import Float, Num, Shaped

from hsjax.evaluate import metrics
from hsjax.types import Predictions

# A metric and the class it is of, empty where it is of all: the columns `metric` and `label` of results.csv.
Metric = tuple[str, str]

# Suffix of the metrics decided at probability 0.5, the likelier of two classes, as most papers do; without it they
# are decided at the threshold chosen on validation.
AT_HALF = "@0.5"


@dataclasses.dataclass(frozen=True)
class Panel:
    """Predictions reduced to what their metrics need, once, so that thousands of resamples are cheap.

    Attributes:
      classes: names.
      positive: index of the class to detect; None for multi-class figures.
      num_units: rows of the predictions.
      num_groups: groups that can be weighted, of these predictions or also of others.
      decisions: per suffix (see `AT_HALF`) the confusion matrix of every group, (groups, classes, classes).
      rankings: of the positive class, or of each class against the rest.
      claims: of multi-class figures `metrics.claims` of every group, (groups, 3); None with a class to detect.
    """

    classes: tuple[str, ...]
    positive: int | None
    num_units: int
    num_groups: int
    decisions: dict[str, np.ndarray]
    rankings: tuple[metrics.Ranking, ...]
    claims: np.ndarray | None

    def rates(self, multiplicity: Num[np.ndarray, "resamples groups"]) -> dict[Metric, np.ndarray]:
        """All rates, each (resamples,), with every group counted `multiplicity` times."""
        values: dict[Metric, np.ndarray] = {}
        for suffix, by_group in self.decisions.items():
            confusion = np.tensordot(multiplicity, by_group, axes=1)
            values |= {(name + suffix, label): value for (name, label), value in self._decided(confusion).items()}
        if self.claims is not None:
            counts = np.tensordot(multiplicity, self.claims, axes=1)
            values[("micro_precision", "")] = metrics.micro_precision(counts)
            values[("micro_recall", "")] = metrics.micro_recall(counts)
        # One ranking's cumulative counts are the largest arrays here: reduced before the next is made.
        areas = [self._areas(ranking, multiplicity) for ranking in self.rankings]
        values[("auroc", "")], values[("auprc", "")] = np.mean(areas, axis=0)
        return values

    def confusion(self, suffix: str) -> Float[np.ndarray, "classes classes"]:
        """Counts over all groups, true classes in rows."""
        return self.decisions[suffix].sum(0)

    def _decided(self, confusion: np.ndarray) -> dict[Metric, np.ndarray]:
        recall, precision, f1 = metrics.recall(confusion), metrics.precision(confusion), metrics.f1(confusion)
        values = {("accuracy", ""): metrics.accuracy(confusion)}
        if self.positive is not None:
            values |= {
                ("sensitivity", ""): metrics.sensitivity(confusion, self.positive),
                ("specificity", ""): metrics.specificity(confusion, self.positive),
                ("macc", ""): metrics.macc(confusion, self.positive),
                ("precision", ""): precision[..., self.positive],
                ("f1", ""): f1[..., self.positive],
            }
        per_class = {"recall": recall, "precision": precision, "f1": f1}
        values |= {(f"macro_{name}", ""): metrics.macro(value) for name, value in per_class.items()}
        for index, label in enumerate(self.classes):
            values |= {(name, label): value[..., index] for name, value in per_class.items()}
        return values

    @staticmethod
    def _areas(ranking: metrics.Ranking, multiplicity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts = metrics.count(ranking, multiplicity)
        return metrics.auroc(counts), metrics.auprc(counts)


def panel(
    predictions: Predictions, threshold: float | None, positive: int | None, groups: Shaped[np.ndarray, " groups"]
) -> Panel:
    """Sorts the units and counts the decisions of every group.

    Args:
      predictions: of one model.
      threshold: for the plain metrics; metrics at 0.5 then come too. None decides for the likeliest class alone.
      positive: index of the class to detect, None for multi-class figures.
      groups: sorted names, among them all of the predictions'; the order of multiplicities.

    Raises:
      ValueError: there is nothing to score, or a group is missing.
    """
    if len(predictions.label) == 0:
        raise ValueError("no unit to score")
    # Bounded, so that a name beyond the last one fails the comparison below and not the look-up.
    group = np.minimum(np.searchsorted(groups, predictions.group), len(groups) - 1)
    if (groups[group] != predictions.group).any():
        raise ValueError("predictions of groups that are not among those resampled")
    num_classes = len(predictions.classes)
    decisions = {}
    for suffix in ("",) if threshold is None else ("", AT_HALF):
        at = 0.5 if suffix == AT_HALF else threshold
        predicted = metrics.decide(predictions.probabilities, at, positive)
        cells = np.zeros((len(groups), num_classes, num_classes))
        np.add.at(cells, (group, predictions.label, predicted), 1)
        decisions[suffix] = cells
    detected = range(num_classes) if positive is None else (positive,)
    rankings = tuple(
        metrics.rank(predictions.probabilities[:, index], predictions.label == index, group) for index in detected
    )
    claims = None
    if positive is None:
        claims = np.zeros((len(groups), 3))
        np.add.at(claims, group, metrics.claims(predictions.probabilities, predictions.label))
    return Panel(predictions.classes, positive, len(predictions.label), len(groups), decisions, rankings, claims)
