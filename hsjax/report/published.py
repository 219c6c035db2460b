"""Sections that hold a run against the paper: its figures beside ours, what its split gives away, what differs."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from hsjax.evaluate.rows import DIFFERENCE, SPREAD
from hsjax.report import html, wording
from hsjax.report.cells import (
    NONE,
    amount,
    caption,
    difference,
    mebibytes,
    number,
    rate,
    rates,
    signed,
    size,
    stage,
)
from hsjax.report.html import Content, Markup, element
from hsjax.report.run import MODEL, Run
from hsjax.types import ResultRow

# What is better when it is less; of all other figures of a model itself neither is better.
_COSTS = ("bytes", "zipped_bytes", "raw_bytes", "arena_bytes", "latency_ms")
# `variant` of what a text says without a table: a bound (`value`), or a range (`low` to `high`).
CLAIMED = "claimed"
# Published figures have three decimals.
_ROUNDING = 5e-4


def section(run: Run) -> html.Section | None:
    """Ours beside a paper's figures, in its own protocol and in the others; None where no paper has such stages."""
    rows = [row for row in run.published if str(row.seed) == run.config["published"]]
    known = {*run.stages, *run.combined}
    ours = [row for row in rows if row.stage in known]
    further = [row for row in rows if row.stage not in known]
    if not ours:
        return None
    content: list[Content] = []
    if others := sorted({row.dataset for row in rows} - {run.dataset}):
        content.append(
            html.paragraph(
                f"The published figures were made on other data ({', '.join(others)}) than ours ({run.dataset}): they "
                "tell what the paper reports and cannot be compared with ours."
            )
        )
    notes = dict.fromkeys(wording.SOURCE_NOTES.get(str(row.seed), "") for row in ours)
    content += [html.paragraph(note) for note in notes if note]
    content += [html.paragraph(sentence) for sentence in verdicts(run)]
    content.append(_table(run, ours, comparable=not others))
    if unmatched := _unmatched(run, ours):
        content.append(html.paragraph(f"Published, but not computed by this run: {'; '.join(unmatched)}."))
    if further:
        content.append(html.details("Other settings in the paper", _further(further)))
    return html.Section("published", "Published and ours", content)


def verdicts(run: Run) -> list[str]:
    """A sentence for each fold: how much of what is tested was known from training."""
    folds = [] if run.data is None else run.data["folds"]
    return [_verdict(one["protocol"], one["fold"], one["known"]) for one in folds]


def _verdict(protocol: str, fold: int | str, known: Mapping[str, Any]) -> str:
    where = f"Audit of protocol {protocol}" if fold == 0 else f"Audit of protocol {protocol}, fold {fold}"
    leaks = {
        "are of a recording that was trained on": known["of_trained_recording"],
        "of a group (people, or sources) that was trained on": known["of_trained_group"],
    }
    if known["of_trained_twin"] is not None:
        leaks["of a recording with a near-copy in training"] = known["of_trained_twin"]
    if not any(leaks.values()):
        twins = ", near-copies looked for" if known["of_trained_twin"] is not None else ", near-copies not looked for"
        return f"{where}: none of {known['examples']:,} tested examples is of a recording or group in training{twins}."
    counted = "; ".join(f"{count:,} of {known['examples']:,} {words}" for words, count in leaks.items())
    return f"{where}, tested examples: {counted}."


def differs(run: Run) -> html.Section | None:
    """What of the paper could not be matched, and why; None where there is nothing to say."""
    notes = list(run.config["notes"])
    if run.data is not None and (missing := _missing(run.data["distribution"], run.data["subsets"])):
        notes.insert(0, missing)
    if not notes:
        return None
    return html.Section("differs", "What differs from the paper", element("ul", [element("li", one) for one in notes]))


def _missing(distribution: Mapping[str, int], subsets: Mapping[str, int]) -> str:
    """How many recordings of the official distribution the run has; empty where it has all, or nobody knows."""
    there = {name: subsets.get(name, 0) for name in distribution}
    if not distribution or all(there[name] >= count for name, count in distribution.items()):
        return ""
    used, official = sum(there.values()), sum(distribution.values())
    words = f"{used:,} of {official:,} recordings of the official distribution are used"
    if len(distribution) == 1:
        return f"{words}."
    parts = ", ".join(f"{name} {there[name]:,} of {count:,}" for name, count in distribution.items())
    return f"{words}: {parts}."


def _table(run: Run, rows: list[ResultRow], comparable: bool) -> Markup:
    scored = [row for row in rows if row.unit != MODEL]
    theirs = dict.fromkeys(_extent(row) for row in scored)
    papers = {row.protocol for row in rows}
    header = [f"ours, {name} (the paper's)" if name in papers else f"ours, {name}" for name in run.protocols]
    lines: list[list[Content]] = []
    for name in dict.fromkeys(row.stage for row in rows):
        of_stage = [row for row in rows if row.stage == name]
        for unit in dict.fromkeys(row.unit for row in of_stage if row.unit != MODEL):
            its = next(row for row in of_stage if row.unit == unit)
            lines.append(
                [stage(name), f"{unit}s (groups)", size(its), *(_size(run, name, unit, one) for one in run.protocols)]
            )
        lines += [
            [
                stage(name),
                _figure(row),
                _published(row),
                *(_ours(run, row, protocol, comparable) for protocol in run.protocols),
            ]
            for row in of_stage
        ]
    words = (
        f"Published figures ({'; '.join(theirs)}), and ours of the same unit under each of our protocols, with 95 % "
        "intervals, or the standard deviation over seeds where there are several."
    )
    return html.table(caption(run, words), ["stage", "figure", "published", *header], lines)


def _extent(row: ResultRow) -> str:
    source = f"{wording.SOURCES.get(str(row.seed), str(row.seed))}, protocol {row.protocol}"
    return source if row.n is None else f"{source}, {row.n:,} {row.unit}s"


def _figure(row: ResultRow) -> str:
    name = wording.metric(row.metric)
    name = f"{name} of {row.label}" if row.label else name
    return f"{name}, {row.split}" if row.split not in ("", "test") else name


def _unmatched(run: Run, rows: Iterable[ResultRow]) -> list[str]:
    lacking: dict[str, list[str]] = {}
    for row in rows:
        if all(_found(run, row, protocol) is None for protocol in run.protocols):
            lacking.setdefault(row.stage, []).append(_figure(row))
    return [f"{name}: {', '.join(dict.fromkeys(figures))}" for name, figures in lacking.items()]


def _further(rows: list[ResultRow]) -> Markup:
    metrics = dict.fromkeys(_figure(row) for row in rows)
    by_figure = {(row.stage, _figure(row)): row for row in rows}
    return html.table(
        "Published figures of settings that this run does not train.",
        ["stage", *metrics],
        [
            [stage(of), *(_published(by_figure[of, name]) if (of, name) in by_figure else NONE for name in metrics)]
            for of in dict.fromkeys(row.stage for row in rows)
        ],
    )


def _published(row: ResultRow) -> Content:
    if row.variant == CLAIMED:
        bounds = [row.value] if row.low is None or row.high is None else [row.low, row.high]
        written = [(signed if row.metric.startswith(DIFFERENCE) else number)(bound) for bound in bounds]
        return ["claimed: more than ", *written] if len(written) == 1 else ["claimed: ", written[0], " to ", written[1]]
    return _cost(row, row.value) if row.unit == MODEL else rate(row)


def _cost(theirs: ResultRow, value: float) -> Content:
    """A figure of a model itself; sizes of files, which papers give so, in MiB."""
    return mebibytes(value) if theirs.metric.startswith(wording.SIZE_OF_FILE) else amount(value)


def _found(run: Run, theirs: ResultRow, protocol: str) -> ResultRow | None:
    """Our row of a published figure: of the network, else of the first file that has it; the mean over seeds first.

    Of a file of some form its figures have the form's name behind: `bytes:onnx-float32`.
    """
    if theirs.stage in run.combined:
        return next(iter(run.of_combined(theirs.stage, protocol, theirs.unit, theirs.metric)), None)
    files = [file for file in run.files if (file.protocol, file.stage) == (protocol, theirs.stage)]
    if theirs.unit != MODEL:
        files = [file for file in files if not file.exported][:1]
    metric, _, variant = theirs.metric.partition(":")
    if theirs.unit == MODEL and variant:
        files = [file for file in files if file.variant == variant]
        theirs = dataclasses.replace(theirs, metric=metric)
    if theirs.split == "validation":
        found = (run.find_on_validation(file, theirs.unit, theirs.metric) for file in files if not theirs.label)
    else:
        found = (run.find(file, theirs.unit, theirs.metric, theirs.label) for file in files)
    return next((row for row in found if row is not None), None)


def _size(run: Run, name: str, unit: str, protocol: str) -> Content:
    if name in run.combined:
        rows = [row for row in run.results if (row.stage, row.protocol, row.unit) == (name, protocol, unit)]
        return size(next((row for row in rows if row.n is not None), None))
    file = run.leading(protocol, name)
    return NONE if file is None else size(run.find(file, unit, "accuracy"))


def _ours(run: Run, theirs: ResultRow, protocol: str, comparable: bool) -> Content:
    ours = _found(run, theirs, protocol)
    if ours is None:
        return NONE
    file = run.leading(protocol, theirs.stage)
    if theirs.unit == MODEL:
        cell: Content = _cost(theirs, ours.value)
    elif theirs.stage in run.combined:
        spread = run.of_combined(theirs.stage, protocol, theirs.unit, SPREAD + theirs.metric)
        cell = difference(ours) if theirs.metric.startswith(DIFFERENCE) else rate(ours, next(iter(spread), None))
    elif theirs.split == "validation" or theirs.label or file is None:
        cell = rate(ours)
    else:
        cell = rates(run, file, theirs.unit, [theirs.metric])[0]
    if not comparable or (theirs.unit == MODEL and theirs.metric.partition(":")[0] not in _COSTS):
        return cell
    if theirs.unit == MODEL:
        reached = ours.value <= theirs.value
    elif theirs.variant == CLAIMED:
        reached = ours.value > theirs.value if theirs.low is None else ours.value >= theirs.low
    else:
        reached = ours.value >= theirs.value - _ROUNDING
    mark = element("span", " reached" if reached else " not reached", class_="passed" if reached else "interval")
    return [cell, mark]
