"""Rows of report/results.csv from predictions: every figure with its n, its number of groups and its interval."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from hsjax.evaluate import bootstrap, metrics
from hsjax.evaluate.panel import Metric, Panel, panel
from hsjax.types import Predictions, ResultRow, RunKey

# `seed` or `fold` of a row that is the mean over several, and `seed` of one whose interval was resampled over several.
MEAN, ALL = "mean", "all"
# Prefixes of `metric`.
SPREAD, DIFFERENCE = "sd:", "difference:"
# Between the true and the predicted class in the `label` of a row of metric `confusion`.
PREDICTED = ">"


def _row(template: ResultRow, metric: Metric, value: float, interval: bootstrap.Interval | None = None) -> ResultRow:
    low, high = (None, None) if interval is None else interval
    return dataclasses.replace(template, metric=metric[0], label=metric[1], value=value, low=low, high=high)


def template(key: RunKey, unit: str, n: int, n_groups: int | None) -> ResultRow:
    """A row that lacks its metric and value."""
    return ResultRow(**dataclasses.asdict(key), unit=unit, metric="", label="", value=np.nan, n=n, n_groups=n_groups)


def score(
    predictions: Predictions, *, threshold: float | None, positive: int | None, resamples: int = 1000, seed: int
) -> list[ResultRow]:
    """Everything results.csv says about one model's predictions.

    Rates with 95 % intervals over groups, under plain names as decided at `threshold` and with the suffix `@0.5` as
    decided at 0.5; AUROC and AUPRC; without intervals the `support` of each class, each cell of the `confusion` matrix
    (its `label` is `true>predicted`) and the `threshold` itself (its `label` is the positive class).

    Args:
      predictions: of one model, unit segment or recording.
      threshold: chosen on validation data of the same unit; None decides for the likeliest class.
      positive: index of the class to detect, None for multi-class figures.
      resamples: of the bootstrap.
      seed: of the bootstrap.
    """
    groups = np.unique(predictions.group)
    scored = panel(predictions, threshold, positive, groups)
    blank = template(predictions.key, predictions.unit, scored.num_units, scored.num_groups)
    estimates = bootstrap.estimates(scored, resamples=resamples, seed=seed)
    rows = [_row(blank, metric, *estimate) for metric, estimate in estimates.items()]
    rows += [_row(blank, metric, value) for metric, value in _counts(scored).items()]
    if threshold is not None and positive is not None:
        rows.append(_row(blank, ("threshold", predictions.classes[positive]), threshold))
    return rows


def _counts(scored: Panel) -> dict[Metric, float]:
    support = metrics.support(scored.confusion(""))
    counts = {("support", name): float(value) for name, value in zip(scored.classes, support, strict=True)}
    for suffix in scored.decisions:
        for true, row in zip(scored.classes, scored.confusion(suffix), strict=True):
            for predicted, cell in zip(scored.classes, row, strict=True):
                counts[(f"confusion{suffix}", f"{true}{PREDICTED}{predicted}")] = float(cell)
    return counts


def over_folds(
    folds: Sequence[bootstrap.Decided], *, positive: int | None, resamples: int = 1000, seed: int
) -> list[ResultRow]:
    """Rows of one model's means over its folds (`fold` is `mean`).

    Rates and areas with 95 % intervals (see `bootstrap.means`); `support` and `confusion` are sums over the folds. `n`
    and `n_groups` count all units and groups that were tested.

    Args:
      folds: predictions of one stage, seed and unit, each with the threshold of its own validation part.
      positive: index of the class to detect, None for multi-class figures.
      resamples: of the bootstrap.
      seed: of the bootstrap.
    """
    sides = [fold.predictions for fold in folds]
    groups = np.unique(np.concatenate([side.group for side in sides]))
    blank = template(sides[0].key, sides[0].unit, sum(len(side.label) for side in sides), len(groups))
    blank = dataclasses.replace(blank, fold=MEAN)
    estimates = bootstrap.means(folds, positive=positive, resamples=resamples, seed=seed)
    rows = [_row(blank, metric, *estimate) for metric, estimate in estimates.items()]
    counts = [_counts(panel(*fold, positive, groups)) for fold in folds]
    return rows + [_row(blank, metric, sum(each[metric] for each in counts)) for metric in counts[0]]


def average(
    models: Sequence[bootstrap.Decided], name: str, *, positive: int | None, resamples: int = 1000, seed: int
) -> list[ResultRow]:
    """Rows of the mean over several models of the same test units, with 95 % intervals (see `bootstrap.means`).

    Args:
      models: of one protocol, seed, fold and unit.
      name: becomes the rows' stage.
      positive: index of the class to detect, None for multi-class figures.
      resamples: of the bootstrap.
      seed: of the bootstrap.
    """
    first = models[0].predictions
    groups = np.unique(np.concatenate([model.predictions.group for model in models]))
    blank = dataclasses.replace(template(first.key, first.unit, len(first.label), len(groups)), stage=name)
    estimates = bootstrap.means(models, positive=positive, resamples=resamples, seed=seed)
    return [_row(blank, metric, *estimate) for metric, estimate in estimates.items()]


def difference(
    a: Sequence[bootstrap.Decided],
    b: Sequence[bootstrap.Decided],
    name: str,
    *,
    positive: int | None,
    resamples: int = 1000,
    seed: int,
) -> list[ResultRow]:
    """Rows `difference:METRIC` of `a` minus `b` with paired intervals (see `bootstrap.differences`).

    Args:
      a: one model, or one a seed.
      b: of the same seeds and units.
      name: becomes the rows' stage: `kd - student` between stages; the name of the stage itself between a file exported
        from it and the network.
      positive: index of the class to detect, None for multi-class figures.
      resamples: of the bootstrap.
      seed: of the bootstrap.

    Returns:
      Rows with the other keys of `a`; `seed` is `all` and `fold` is `mean` when there are several. `n` counts the
      distinct units.
    """
    sides = [side.predictions for side in a]
    units = {unit for side in sides for unit in zip(side.recording.tolist(), side.start.tolist(), strict=True)}
    groups = {group for side in sides for group in side.group.tolist()}
    blank = template(sides[0].key, sides[0].unit, len(units), len(groups))
    seeds = {side.key.seed for side in sides}
    fold = MEAN if len({side.key.fold for side in sides}) > 1 else blank.fold
    blank = dataclasses.replace(blank, stage=name, seed=ALL if len(seeds) > 1 else blank.seed, fold=fold)
    estimates = bootstrap.differences(a, b, positive=positive, resamples=resamples, seed=seed)
    return [_row(blank, (DIFFERENCE + metric, label), *estimate) for (metric, label), estimate in estimates.items()]


def over_seeds(rows: Iterable[ResultRow]) -> list[ResultRow]:
    """Per figure that several seeds have: its mean (`seed` is `mean`) and standard deviation (`sd:METRIC`).

    No interval: seeds say nothing about other subjects. `n` and `n_groups` are kept where all seeds share them. Rows
    that are already over seeds are left out.

    Args:
      rows: of any models.
    """
    by_figure: dict[ResultRow, list[ResultRow]] = {}
    for row in rows:
        if isinstance(row.seed, int):
            figure = dataclasses.replace(row, seed=MEAN, value=0.0, low=None, high=None, n=None, n_groups=None)
            by_figure.setdefault(figure, []).append(row)
    result = []
    for figure, members in by_figure.items():
        if len({row.seed for row in members}) < 2:
            continue
        n, n_groups = (_shared([getattr(row, name) for row in members]) for name in ("n", "n_groups"))
        blank = dataclasses.replace(figure, n=n, n_groups=n_groups)
        values = [row.value for row in members]
        result.append(_row(blank, (figure.metric, figure.label), float(np.mean(values))))
        result.append(_row(blank, (SPREAD + figure.metric, figure.label), float(np.std(values, ddof=1))))
    return result


def _shared(values: list[int | None]) -> int | None:
    return values[0] if len(set(values)) == 1 else None
