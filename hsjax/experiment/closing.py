"""What a run says last: a table that fits 80 columns, and what to keep in mind about it."""

from typing import NamedTuple

from hsjax import evaluate
from hsjax.evaluate import coverage
from hsjax.experiment import evidence
from hsjax.experiment.context import Context
from hsjax.report import members, tables
from hsjax.types import ResultRow

# Columns by metric: the first two that there are, as much as 80 characters hold with their intervals.
_HEADLINES = {"macc": "MAcc", "auroc": "AUROC", "macro_recall": "recall", "accuracy": "accuracy"}
_MOST_HEADLINES = 2
_NETWORK = "network"
# Columns that are left out where all lines have the same in them.
_SEED, _EXTENT = "seed", "n (groups)"


class Summary(NamedTuple):
    """A table.

    Attributes:
      title: what it shows, and what all its lines have in common.
      lines: header first.
    """

    title: str
    lines: list[tuple[str, ...]]


def summary(context: Context, protocol: str) -> Summary:
    """Per model, what to look at first with its 95 % interval, of several folds the mean.

    Of several seeds each and the mean; of members of a sweep the mean alone.
    """
    folds = context.folds(protocol)
    fold = folds[0] if len(folds) == 1 else evaluate.MEAN
    models: dict[tuple[str, ...], dict[str, ResultRow]] = {}
    for row in tables.read_results(context.workdir / "report" / tables.RESULTS):
        place = (row.protocol, row.unit, row.split, row.fold)
        if place == (protocol, context.unit, "test", fold) and row.metric in _HEADLINES:
            file = _NETWORK if row.variant == "jax" else f"{row.variant}-{row.input}"
            models.setdefault((row.stage, str(row.seed), file), {})[row.metric] = row
    known = {metric for rows in models.values() for metric in rows}
    headlines = [metric for metric in _HEADLINES if metric in known][:_MOST_HEADLINES]
    lines: list[tuple[str, ...]] = [("stage", "file", _SEED, _EXTENT, *(_HEADLINES[metric] for metric in headlines))]
    means = {stage for stage, seed, _ in models if seed == evaluate.MEAN}
    for (stage, seed, file), rows in models.items():
        if members.sweep_of(stage) is not None and file == _NETWORK and stage in means and seed != evaluate.MEAN:
            continue  # of a sweep, a line a member
        first = next(iter(rows.values()))
        size = "" if first.n is None else f"{first.n} ({first.n_groups})"
        figures = (_figure(rows.get(metric)) for metric in headlines)
        lines.append((members.short(stage), file, seed, size, *figures))
    count = len(folds)
    title = [context.config.data.name, f"protocol {protocol}", f"per test {context.unit}"]
    title += [] if count == 1 else [f"mean of {count} folds"]
    return _said_once(title, lines)


def _said_once(title: list[str], lines: list[tuple[str, ...]]) -> Summary:
    """Seed and n in the title, where they are the same in every line: a terminal has 80 columns."""
    words = {_SEED: "seed {}", _EXTENT: "n = {} groups"}
    for name, words_of in words.items():
        column = lines[0].index(name)
        values = {line[column] for line in lines[1:]}
        if len(values) == 1:
            title.append(words_of.format(values.pop().removesuffix(")").replace("(", "of ")))
            lines = [(*line[:column], *line[column + 1 :]) for line in lines]
    return Summary(", ".join(title), lines)


def _figure(row: ResultRow | None) -> str:
    if row is None:
        return ""
    if row.low is None or row.high is None:
        return f"{row.value:.3f}"
    low, high = (f"{bound:.2f}".removeprefix("0") for bound in (row.low, row.high))  # three digits would not fit
    return f"{row.value:.3f} {low}-{high}"


def remarks(context: Context, protocol: str) -> list[str]:
    """One sentence each: what the parts are, and whether intervals can be believed with so few groups."""
    found = []
    for split in context.splits(protocol).values():
        found.append(f"{protocol}: {split.note}." if split.note else "")
        test = evidence.parts(context, split)["test"]
        found.append(coverage.warning(test["groups"], test["groups_by_class"]) or "")
    return list(dict.fromkeys(filter(None, found)))
