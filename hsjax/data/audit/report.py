"""The audit of a dataset as a whole: what is alike, what a split leaks, what the label can be told from; as tables."""

import collections
import csv
import dataclasses
import io
import math
import pathlib
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from hsjax.data.audit import grouping, leakage, metadata, twins
from hsjax.types import Dataset, Recording

COLUMNS = ("dataset", "table", "item", "other", "label", "metric", "value", "low", "high", "n", "n_groups")

SHARES = (0.7, 0.2, 0.1)
"""Of training, validation and test in the random split that every audit measures: the most common one."""

_WIDTH = 80
_UNLABELLED = "(no label)"


@dataclasses.dataclass(frozen=True)
class ClassTwins:
    """How many recordings of a class have a near-copy.

    Attributes:
      label: name of the class, empty for recordings without a label.
      n: recordings.
      with_twin: of these, that have a twin in the same class.
      groups: known groups among them; recordings without one do not count.
      no_group: recordings without a known group.
      sources: connected components of pairs that are alike, see `grouping`.
    """

    label: str
    n: int
    with_twin: int
    groups: int
    no_group: int
    sources: int


@dataclasses.dataclass(frozen=True)
class Audit:
    """What the audit of a dataset has found.

    Attributes:
      dataset: its name; `synthetic` says itself.
      grouping: where its groups come from.
      classes: of each class.
      twins: number of pairs that are twins.
      contradicting: twins with two labels.
      across: twins with two known groups.
      leakage: of each split.
      predictability: of the label from metadata.
    """

    dataset: str
    grouping: str
    classes: tuple[ClassTwins, ...]
    twins: int
    contradicting: tuple[twins.Pair, ...]
    across: tuple[twins.Pair, ...]
    leakage: tuple[leakage.Leakage, ...]
    predictability: tuple[metadata.Predictability, ...]
    labels: dict[str, str] = dataclasses.field(repr=False)
    groups: dict[str, str] = dataclasses.field(repr=False)


def audit(
    dataset: Dataset,
    cache_dir: pathlib.Path | None = None,
    parts: Sequence[leakage.Parts] = (),
    seed: int = 0,
) -> Audit:
    """Audits a dataset as its reader gives it.

    Where a recording has no group, leakage and metadata are judged by the groups that `grouping.fill` finds.

    Args:
      dataset: before or after `grouping.fill`; before, the tables can tell known groups from found ones.
      cache_dir: see `twins.search`.
      parts: splits to measure besides the random one.
      seed: of the random split, of folds and of intervals.

    Raises:
      UserError: a recording cannot be read, or `cache_dir` cannot be written to.
    """
    recordings = (*dataset.recordings, *dataset.unlabelled)
    pairs = twins.search(recordings, cache_dir)
    filled = grouping.fill(dataset, cache_dir, pairs)
    by_id = {recording.id: recording for recording in recordings}
    near = [(pair, by_id[pair.first], by_id[pair.second]) for pair in pairs if pair.twins]
    random = leakage.random_parts(dataset.recordings, SHARES, seed)
    grouped = (*filled.recordings, *filled.unlabelled)
    return Audit(
        dataset=dataset.name,
        grouping=filled.grouping or "as the distribution says",
        classes=_classes(recordings, pairs),
        twins=len(near),
        contradicting=tuple(
            pair for pair, one, other in near if one.label and other.label and one.label != other.label
        ),
        across=tuple(
            pair for pair, one, other in near if None not in (one.group, other.group) and one.group != other.group
        ),
        leakage=tuple(row for each in (random, *parts) for row in leakage.measure(grouped, each, pairs)),
        predictability=metadata.predictability(filled, seed),
        labels={recording.id: recording.label for recording in recordings},
        groups={recording.id: recording.group or "" for recording in recordings},
    )


def text(audit: Audit, listed: int = 20) -> str:
    """Tables for a terminal of 80 columns.

    Args:
      audit: of a dataset.
      listed: pairs that are listed of each kind at most; all of them are in `table`.
    """
    total = sum(row.n for row in audit.classes)
    sections = [
        f"Audit of {audit.dataset}: {total} recordings\n"
        + textwrap.fill(f"Where groups come from: {audit.grouping}", _WIDTH),
        f"Twins: {audit.twins} pairs with a correlation of at least {twins.TWIN:g}\n"
        + _aligned(
            ("class", "n", "with a twin in the class", "known groups", "sources"),
            [
                (
                    row.label or _UNLABELLED,
                    row.n,
                    f"{row.with_twin} ({100 * row.with_twin / row.n:.0f} %)",
                    row.groups,
                    row.sources,
                )
                for row in audit.classes
            ],
        ),
        f"Twins with two labels: {len(audit.contradicting)} pairs\n"
        + _pairs(audit.contradicting, audit.labels, listed),
        f"Twins across known groups: {len(audit.across)} pairs\n" + _pairs(audit.across, audit.groups, listed),
        "Leakage: tested recordings that training knows\n" + _leakage(audit.leakage),
        "Label from metadata alone, over groups; 95 % intervals\n" + _metadata(audit.predictability),
    ]
    return "\n\n".join(section.rstrip() for section in sections) + "\n"


def table(audit: Audit) -> str:
    """All of it as CSV with the header `COLUMNS`."""
    stream = io.StringIO()
    rows = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    rows.writeheader()
    rows.writerows({"dataset": audit.dataset, **row} for row in _rows(audit))
    return stream.getvalue()


def _classes(recordings: Sequence[Recording], pairs: Sequence[twins.Pair]) -> tuple[ClassTwins, ...]:
    label = {recording.id: recording.label for recording in recordings}
    number = grouping.components(list(label), pairs)
    with_twin = {
        each
        for pair in pairs
        if pair.twins and label[pair.first] == label[pair.second]
        for each in (pair.first, pair.second)
    }
    members = collections.defaultdict(list)
    for recording in recordings:
        members[recording.label].append(recording)
    return tuple(
        ClassTwins(
            label=name,
            n=len(some),
            with_twin=sum(recording.id in with_twin for recording in some),
            groups=len({recording.group for recording in some} - {None}),
            no_group=sum(recording.group is None for recording in some),
            sources=len({number[recording.id] for recording in some}),
        )
        for name, some in sorted(members.items())
    )


def _pairs(pairs: Sequence[twins.Pair], names: dict[str, str], listed: int) -> str:
    """The most alike first."""
    ordered = sorted(pairs, key=lambda pair: (-pair.correlation, pair))
    lines = []
    for pair in ordered[:listed]:
        line = f"{pair.first} ({names[pair.first]}) = {pair.second} ({names[pair.second]}), {pair.correlation:.3f}"
        lines.append(textwrap.fill(line, _WIDTH, initial_indent="  ", subsequent_indent="    "))
    if len(ordered) > listed:
        lines.append(f"  and {len(ordered) - listed} more")
    return "\n".join(lines)


def _leakage(rows: Sequence[leakage.Leakage]) -> str:
    if not rows:
        return "  no split was given"
    cells = []
    for row in rows:
        counts = (row.recording, row.twin, row.group, row.subject if row.no_subject < row.n else "unknown")
        cells.append((f"  {row.label}" if row.label else row.parts, row.n, *counts, row.verdict))
    notes = {
        row.parts: f"Of {row.parts}, {row.no_subject} of {row.n} tested recordings have no known subject."
        for row in rows
        if not row.label and 0 < row.no_subject < row.n
    }
    header = ("split, class", "tested", "itself", "twin", "group", "subject", "verdict")
    return "\n".join([_aligned(header, cells), *(textwrap.fill(note, _WIDTH) for note in notes.values())])


def _metadata(rows: Sequence[metadata.Predictability]) -> str:
    if not rows:
        return textwrap.fill(
            f"  cannot be measured: recordings have no labels, nothing is known about them, or a class has fewer than "
            f"{metadata.MIN_GROUPS} groups",
            _WIDTH,
            subsequent_indent="  ",
        )
    header = ("feature", "values", "n (groups)", "balanced accuracy", "AUROC")
    cells = [
        (
            row.feature,
            row.values,
            f"{row.n} ({row.n_groups})",
            _between(row.balanced_accuracy, row.balanced_accuracy_low, row.balanced_accuracy_high),
            _between(row.auroc, row.auroc_low, row.auroc_high),
        )
        for row in rows
    ]
    chance = f"chance: {rows[0].chance:.2f} and 0.50"
    return f"{_aligned(header, cells)}\n{chance}"


def _between(value: float, low: float, high: float) -> str:
    return f"{value:.2f}" if math.isnan(low) else f"{value:.2f} ({low:.2f} to {high:.2f})"


def _aligned(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Text on the left, numbers on the right; the first column gives way where a line would be too long."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    widths[0] = max(8, min(widths[0], _WIDTH - 2 * (len(header) - 1) - sum(widths[1:])))
    lines = []
    for row in cells:
        first = row[0] if len(row[0]) <= widths[0] else row[0][: widths[0] - 1] + "…"
        lines.append(
            "  ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        )
    return "\n".join(lines)


def _rows(audit: Audit) -> Iterable[Mapping[str, object]]:
    for row in audit.classes:
        label = row.label or _UNLABELLED
        for metric in ("with_twin", "groups", "no_group", "sources"):
            yield {"table": "twins", "label": label, "metric": metric, "value": getattr(row, metric), "n": row.n}
    for kind, pairs, names in (
        ("contradicting", audit.contradicting, audit.labels),
        ("across groups", audit.across, audit.groups),
    ):
        for pair in pairs:
            label = f"{names[pair.first]} / {names[pair.second]}"
            both = {"table": kind, "item": pair.first, "other": pair.second, "label": label}
            yield both | {"metric": "correlation", "value": f"{pair.correlation:.4f}"}
    for row in audit.leakage:
        for metric in ("recording", "twin", "group", "subject", "any"):
            if metric == "subject" and row.no_subject == row.n:
                continue
            value = getattr(row, metric)
            yield {
                "table": "leakage",
                "item": row.parts,
                "label": row.label,
                "metric": metric,
                "value": value,
                "n": row.n,
            }
    for row in audit.predictability:
        for metric in ("balanced_accuracy", "auroc"):
            ends = {end: f"{getattr(row, f'{metric}_{end}'):.4f}" for end in ("low", "high")}
            value = f"{getattr(row, metric):.4f}"
            yield {
                "table": "metadata",
                "item": row.feature,
                "metric": metric,
                "value": value,
                "n": row.n,
                "n_groups": row.n_groups,
            } | ends
