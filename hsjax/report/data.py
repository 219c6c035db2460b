"""Sections that show what the figures rest on: recordings, groups, parts, and what else tells the label."""

from typing import Any

from hsjax.report import html, wording
from hsjax.report.cells import NONE, caption, rate, size, stage
from hsjax.report.html import Content, element
from hsjax.report.run import Run

_PARTS = ("train", "validation", "test")
_PRETRAIN = "pretrain"


def recordings(run: Run) -> html.Section | None:
    """How many recordings and groups there are, and how every fold divides them; None for runs that do not say."""
    if run.data is None:
        return None
    data = run.data
    groups = "groups unknown" if data["groups"] is None else f"{data['groups']:,} groups"
    words = [f"{data['recordings']:,} recordings, {data['hours']:.1f} hours, {groups}."]
    if data["grouping"]:
        words.append(f"Where groups come from: {data['grouping']}")
    content: list[Content] = [html.paragraph(" ".join(words))]
    shown = (*([_PRETRAIN] if any(_PRETRAIN in one["parts"] for one in data["folds"]) else []), *_PARTS)
    header = ["protocol", "fold", *shown, "groups by class, test"]
    rows: list[list[Content]] = [
        [one["protocol"], str(one["fold"]), *_sizes(one["parts"], shown), _classes(one["parts"]["test"])]
        for one in data["folds"]
    ]
    how = "How each fold divides the dataset: examples / recordings / groups."
    content.append(html.table(caption(run, how), header, rows))
    notes = dict.fromkeys(f"{one['protocol']}: {one['note']}." for one in data["folds"] if one["note"])
    content += [html.paragraph(note) for note in notes]
    return html.Section("data", "Data and parts", content)


def _sizes(parts: dict[str, Any], shown: tuple[str, ...]) -> list[Content]:
    """Of each part examples, recordings and groups; a dash for one that a fold does not have."""
    return [_size(parts[name]) if name in parts else NONE for name in shown]


def _size(part: dict[str, Any]) -> Content:
    words = " / ".join(f"{part[what]:,}" for what in ("examples", "recordings", "groups"))
    return element("span", words, class_="unbroken")


def _classes(part: dict[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in part["groups_by_class"].items())


def folds(run: Run) -> html.Section | None:
    """Every fold by itself, where a protocol has several; None where none has."""
    if not run.folds:
        return None
    content: list[Content] = []
    for protocol in dict.fromkeys(row.protocol for row in run.folds):
        unit = run.units(protocol)[0]
        rows = [row for row in run.folds if (row.protocol, row.unit, row.label) == (protocol, unit, "")]
        found = {(row.stage, row.seed, row.variant, row.input, row.fold): {} for row in rows}
        for row in rows:
            found[row.stage, row.seed, row.variant, row.input, row.fold][row.metric] = row
        metrics = [name for name in wording.METRICS if any(name in of for of in found.values())]
        header = ["stage", "seed", "fold", "n (groups)", *map(wording.metric, metrics)]
        lines: list[list[Content]] = [
            [stage(key[0]), str(key[1]), str(key[-1]), size(of["accuracy"]), *(rate(of.get(name)) for name in metrics)]
            for key, of in found.items()
        ]
        words = f"Protocol {protocol}, per {unit}, each fold's model at the threshold of its own validation part."
        content += [
            element("h3", f"Protocol {protocol}"),
            html.folded_table(f"Folds of protocol {protocol}", caption(run, words), header, lines),
        ]
    return html.Section("folds", "Folds", content)


def controls(run: Run) -> html.Section | None:
    """How far the label could be told without the disease; None for runs without such rows."""
    if not run.controls:
        return None
    words = (
        "Controls, per recording, in cross-validation by group. If the audio tells the sub-dataset, and the "
        "sub-dataset tells the label, then a model can score well without having heard the disease."
    )
    rows: list[list[Content]] = [
        [wording.metric(row.metric), row.label or NONE, rate(row), size(row)] for row in run.controls
    ]
    table = html.table(caption(run, words), ["control", "of", "value", "n (groups)"], rows)
    return html.Section("controls", "Controls", table)
