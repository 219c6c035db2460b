"""Rows of report/results.csv beyond rates and areas: calibration, operating points, tests of significance."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from hsjax.evaluate import calibration, delong, hypotheses, metrics, operating_points
from hsjax.evaluate.bootstrap import Decided, Estimate, paired
from hsjax.evaluate.panel import AT_HALF
from hsjax.evaluate.rows import ALL, MEAN, template
from hsjax.types import Predictions, ResultRow

# Prefix of `metric` of rows whose value is a p-value.
P_VALUE = "p:"
Z_TEST = P_VALUE + "z-one-tailed:accuracy"
_MCNEMAR = f"{P_VALUE}mcnemar"
HOLM = ":holm"
"""Ends `metric` of a p-value adjusted for the pairs of stages that one protocol, seed and fold compares."""
# Sensitivity is reported where so many of the negatives are left alone, decided on validation.
SPECIFICITY = 0.9
# Fewer pairs of folds and seeds cannot reach p < .05 in Wilcoxon's test, whatever they are.
_MIN_PAIRS = 6


def calibration_rows(
    predictions: Predictions, *, positive: int | None, resamples: int = 1000, seed: int
) -> Iterator[ResultRow]:
    """Expected calibration error (10 bins of equal width), what noise alone would make of it, and the Brier score.

    Args:
      predictions: of one model.
      positive: index of the class whose probability is judged; None judges the likeliest class's.
      resamples: of the bootstrap.
      seed: of the bootstrap.
    """
    found = calibration.estimates(
        predictions.probabilities, predictions.label, predictions.group,
        positive=positive, resamples=resamples, seed=seed,
    )  # fmt: skip
    blank = template(predictions.key, predictions.unit, found.n, found.n_groups)
    noise = Estimate(found.noise, None)
    for metric, (value, interval) in {"ece": found.error, "ece_of_noise": noise, "brier": found.brier}.items():
        low, high = interval or (None, None)
        yield dataclasses.replace(blank, metric=metric, value=value, low=low, high=high)


def operating_rows(
    validation: Predictions, test: Predictions, *, positive: int, resamples: int = 1000, seed: int
) -> Iterator[ResultRow]:
    """Sensitivity and specificity of the test part at the threshold that leaves 90 % of validation's negatives alone.

    Args:
      validation: chooses the threshold.
      test: of the same model and unit.
      positive: index of the class to detect.
      resamples: of the bootstrap.
      seed: of the bootstrap.
    """
    point = operating_points.on_curve(
        validation.probabilities[:, positive], validation.label == positive,
        operating_points.Fixed.SPECIFICITY, SPECIFICITY,
    )  # fmt: skip
    found = operating_points.applied(
        test.probabilities[:, positive], test.label == positive, test.group, point.threshold,
        resamples=resamples, seed=seed,
    )  # fmt: skip
    blank = template(test.key, test.unit, len(test.label), len(np.unique(test.group)))
    suffix = f"@specificity{SPECIFICITY:g}"
    for name, (value, interval) in {"sensitivity": found.sensitivity, "specificity": found.specificity}.items():
        low, high = interval or (None, None)
        yield dataclasses.replace(blank, metric=name + suffix, value=value, low=low, high=high)
    yield dataclasses.replace(
        blank, metric="threshold" + suffix, label=test.classes[positive], value=float(found.threshold)
    )


def significance_rows(
    a: Sequence[Decided], b: Sequence[Decided], name: str, *, positive: int | None
) -> Iterator[ResultRow]:
    """P-values of the difference of two stages on the same test units.

    Of each seed and fold McNemar's exact test of the decisions and, with a class to detect, the test of the two AUROCs
    with variances by group (Obuchowski 1997); over six or more seeds and folds together Wilcoxon's signed-rank test of
    accuracy. McNemar's takes units for independent: with several of one group its p is too small.

    Args:
      a: one model, or one a seed and fold.
      b: of the same seeds, folds and units.
      name: becomes the rows' stage.
      positive: index of the class to detect, None for multi-class figures.

    Raises:
      ValueError: the two sides cannot be paired.
    """
    pairs = paired(a, b)
    accuracies = []
    for one, other in pairs:
        ours, theirs = (_ordered(side.predictions) for side in (one, other))
        right = [_right(side, positive) for side in (one, other)]
        blank = template(ours.key, ours.unit, len(ours.label), len(np.unique(ours.group)))
        blank = dataclasses.replace(blank, stage=name)
        yield dataclasses.replace(blank, metric=_MCNEMAR, value=hypotheses.mcnemar(*right).p)
        if positive is not None:
            score_a, score_b = ours.probabilities[:, positive], theirs.probabilities[:, positive]
            areas = delong.difference(score_a, score_b, ours.label == positive, ours.group)
            yield dataclasses.replace(blank, metric=P_VALUE + "delong", value=areas.p)
        accuracies.append([values.mean() for values in right])
    if len(pairs) >= _MIN_PAIRS:
        found = hypotheses.wilcoxon(*np.array(accuracies).T)
        blank = template(pairs[0][0].predictions.key, pairs[0][0].predictions.unit, found.n, None)
        yield dataclasses.replace(
            blank, stage=name, seed=ALL, fold=MEAN, metric=P_VALUE + "wilcoxon:accuracy", value=found.p
        )


def proportion_rows(
    a: Sequence[Decided], b: Sequence[Decided], name: str, *, positive: int | None
) -> Iterator[ResultRow]:
    """Is the first stage more often right than the second? One-tailed z-test of each seed and fold, as in Song et al.

    To be held against a paper's p and for nothing else: the test takes the two stages for tested on different units,
    and units of one recording for independent, so its p is far too small (`hypotheses.two_proportions`).

    Args:
      a: the model that should be better, or one a seed and fold; decided for the likelier class, as papers do.
      b: of the same seeds, folds and units.
      name: becomes the rows' stage.
      positive: index of the class to detect, None for multi-class figures.

    Raises:
      ValueError: the two sides cannot be paired.
    """
    threshold, suffix = (None, "") if positive is None else (0.5, AT_HALF)
    for pair in paired(a, b):
        ours = pair[0].predictions
        right = [_right(side._replace(threshold=threshold), positive) for side in pair]
        found = hypotheses.two_proportions(int(right[0].sum()), len(right[0]), int(right[1].sum()), len(right[1]))
        blank = template(ours.key, ours.unit, len(ours.label), len(np.unique(ours.group)))
        yield dataclasses.replace(blank, stage=name, metric=Z_TEST + suffix, value=found.p)


def holm_rows(rows: Iterable[ResultRow]) -> Iterator[ResultRow]:
    """McNemar's p-values adjusted by Holm's method, each among those of the same protocol, seed and fold.

    Args:
      rows: p-values of one or several pairs of stages; those of other tests are passed over.
    """
    families: dict[tuple, list[ResultRow]] = {}
    for row in rows:
        if row.metric == _MCNEMAR:
            families.setdefault((row.protocol, row.seed, row.fold), []).append(row)
    for family in families.values():
        adjusted = hypotheses.holm([row.value for row in family])
        for row, value in zip(family, adjusted, strict=True):
            yield dataclasses.replace(row, metric=_MCNEMAR + HOLM, value=float(value))


def _order(predictions: Predictions) -> np.ndarray:
    return np.lexsort((predictions.start, predictions.recording))


def _ordered(predictions: Predictions) -> Predictions:
    order = _order(predictions)
    return dataclasses.replace(
        predictions,
        group=predictions.group[order], label=predictions.label[order], probabilities=predictions.probabilities[order],
    )  # fmt: skip


def _right(side: Decided, positive: int | None) -> np.ndarray:
    """Whether each unit is decided right, units in the order of `_ordered`."""
    predictions = side.predictions
    decided = metrics.decide(predictions.probabilities, side.threshold, positive)
    return (decided == predictions.label)[_order(predictions)]
