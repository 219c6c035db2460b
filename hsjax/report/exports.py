"""Sections on exported files: what they cost, how good they are, whether they equal their network."""

import pathlib

from hsjax.evaluate.rows import DIFFERENCE
from hsjax.report import figures, html, wording
from hsjax.report.cells import NONE, amount, amounts, caption, difference, extents, rates, stage
from hsjax.report.html import Content, Markup, element
from hsjax.report.run import MODEL, RECORDING, Check, File, Run, file_of
from hsjax.types import ResultRow

# Part of the units that a file decides as its network does.
_AGREEMENT = "agreement"
# Shown first, in this order; any other figure of a file follows.
_COSTS = ("bytes", "parameters", "macs")
_FLOAT32_BYTES = 4
# Of a file and a kind of device.
_FITS = "fits"


def models(run: Run) -> html.Section | None:
    """Every exported file beside its network; None where nothing was exported."""
    files = _with_networks(run)
    if not files:
        return None
    exported = {file for file in files if file.exported}
    of_files = [row for row in run.results if row.unit == MODEL and file_of(row) in exported]
    known = dict.fromkeys(row.metric for row in of_files if row.metric != _FITS)
    costs = [*(name for name in _COSTS if name in known), *(name for name in known if name not in _COSTS)]
    metrics = (_AGREEMENT, run.headline_metric, "auroc")
    lost = f"{DIFFERENCE}auroc"
    header = ["stage", "file", "protocol", "gate", *map(wording.metric, metrics), "AUROC, file minus network"]
    rows: list[list[Content]] = [
        [
            stage(file.stage),
            element("span", name_of(file), class_="unbroken"),
            file.protocol,
            _verdict(run, file),
            *rates(run, file, RECORDING, metrics),
            difference(run.find(file, RECORDING, lost)),
            *(amounts(run, [file], name) for name in costs),
        ]
        for file in files
    ]
    settings = dict.fromkeys((file.protocol, RECORDING) for file in files)
    words = (
        "Exported files and the networks they come from, per recording of the test part, at the network's threshold; "
        "agreement is the part of the recordings that a file decides as its network does. "
        "A file that takes features needs the front end beside it, whose size and time come on top; one that takes "
        "samples has it inside, in float32. TFLite files are timed without Intel's AMX units, and those of int8 once "
        "more (auto kernels) as LiteRT runs them by itself. "
        "Times and memory are those of the machine that made this page, and differ a little from run to run. "
        f"{extents(run, settings)}"
    )
    table = html.table(caption(run, words), [*header, *map(wording.metric, costs)], rows)
    return html.Section("exports", "Exported models", [table, _devices(run, files), _size_accuracy(run, files)])


def _devices(run: Run, files: list[File]) -> Content:
    """Which kinds of devices each file fits; nothing where that was not asked."""
    tiers = list(dict.fromkeys(row.label for row in run.results if row.metric == _FITS))
    exported = [file for file in files if file.exported]
    if not tiers:
        return ""
    words = (
        "Kinds of devices that each file fits: by the memory that it adds to a process here (of a microcontroller by "
        "TFLite Micro's arena and the file's size), and by doing its multiply-accumulates before the next window is "
        "there. python -m hsjax.bench FILE says what the devices have, whose numbers these are, and why a file does "
        "not fit."
    )
    rows = [
        [
            stage(file.stage),
            element("span", name_of(file), class_="unbroken"),
            *(_fits(run.find(file, MODEL, _FITS, tier)) for tier in tiers),
        ]
        for file in exported
    ]
    return html.table(caption(run, words), ["stage", "file", *tiers], rows)


def _fits(row: ResultRow | None) -> Content:
    if row is None:
        return NONE
    return element("span", "✓" if row.value else "✗", class_="passed" if row.value else "failed")


def gate(run: Run) -> html.Section | None:
    """Every check of the parity gate; None where there was none."""
    if not run.checks:
        return None
    failed = [check for check in run.checks if not check.passed]
    summary = f"{len(run.checks) - len(failed)} of {len(run.checks)} checks passed."
    rows = [
        [check.model, check.check, _judged(check.passed), _found(check.value), _found(check.limit), check.detail]
        for check in [*failed, *(check for check in run.checks if check.passed)]
    ]
    words = "What each exported file was held against before it counts as the network it comes from."
    table = html.table(caption(run, words), ["file", "check", "verdict", "found", "limit", "detail"], rows)
    return html.Section("gate", "Parity gate", [html.paragraph(summary), table])


def name_of(file: File) -> str:
    """What a file is called in its folder, without suffix; `network` for what it was exported from."""
    return f"{file.variant}-{file.input}" if file.exported else "network"


def _with_networks(run: Run) -> list[File]:
    """Exported files, each stage's network before its files."""
    exported = [file for file in run.files if file.exported]
    origins = {(file.protocol, file.stage, file.seed) for file in exported}
    return sorted(
        (file for file in run.files if (file.protocol, file.stage, file.seed) in origins),
        key=lambda file: (run.protocols.index(file.protocol), run.stages.index(file.stage), file.exported),
    )


def _checks_of(run: Run, file: File) -> list[Check]:
    parts = (pathlib.PurePosixPath(check.model).with_suffix("").parts for check in run.checks)
    return [check for check, last in zip(run.checks, parts, strict=True) if last[-2:] == (file.stage, name_of(file))]


def _verdict(run: Run, file: File) -> Content:
    checks = _checks_of(run, file)
    return _judged(all(check.passed for check in checks)) if checks else NONE


def _judged(passed: bool) -> Markup:
    return element("span", "✓ passed" if passed else "✗ failed", class_="passed" if passed else "failed")


def _found(value: int | float | str | None) -> Content:
    if value is None:
        return NONE
    return value if isinstance(value, str) else amount(value)


def _size_accuracy(run: Run, files: list[File]) -> Content:
    points = []
    for file in files:
        size = run.find(file, MODEL, "bytes" if file.exported else "parameters")
        accuracy = run.find(file, RECORDING, run.headline_metric)
        if size is not None and accuracy is not None:
            scale = 1 if file.exported else _FLOAT32_BYTES
            points.append(figures.Point(file.stage, name_of(file), size.value * scale, accuracy.value))
    if not points:
        return ""
    name = wording.metric(run.headline_metric)
    picture = figures.size_accuracy(f"Size and {name} per recording", points, name)
    words = "Further left is smaller, further up is better. A network's size is four bytes a parameter."
    return html.gallery([html.figure(picture, caption(run, words))])
