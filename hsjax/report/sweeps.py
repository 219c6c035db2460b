"""The section on sweeps: what every point of a grid is worth, and the one that validation prefers."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from hsjax.evaluate.rows import SPREAD
from hsjax.report import html, members, sweep_figures, wording
from hsjax.report.cells import NONE, caption, number, rate, rates, size
from hsjax.report.html import Content, Markup, element
from hsjax.report.run import File, Run
from hsjax.types import ResultRow

_VALIDATION, _TEST = "validation", "test"

# The constants that vary, with their values.
Point = tuple[tuple[str, float], ...]


class Sweep(NamedTuple):
    """One stage's members under one protocol, scored on one unit.

    Attributes:
      stage: the stage.
      protocol: the protocol.
      unit: segment or recording.
      files: every member, the mean over seeds where there are several, by the constants that vary.
      plain: the stage that learns the classes alone with the same network; None where there is none.
    """

    stage: str
    protocol: str
    unit: str
    files: Mapping[Point, File]
    plain: File | None


def section(run: Run) -> html.Section | None:
    """Pictures and a table of every sweep, protocol and unit; None for runs without a sweep."""
    content: list[Content] = []
    for stage in run.sweeps:
        for protocol in run.protocols:
            shown = [
                _shown(run, sweep) for unit in run.units(protocol) if (sweep := _sweep(run, stage, protocol, unit))
            ]
            if shown:
                first, *others = shown
                content += [element("h3", f"{stage}, protocol {protocol}, per {run.units(protocol)[0]}"), first]
                content += [
                    html.details(f"{stage}, protocol {protocol}, per {unit}", other)
                    for unit, other in zip(run.units(protocol)[1:], others, strict=True)
                ]
    if not content:
        return None
    words = html.paragraph(
        "A sweep trains one network for every choice of constants. Which choice to use is for the validation part to "
        "say: the best of many figures of the test part is too good, because luck has chosen it. Those of the "
        "validation part are too good themselves, because epochs and thresholds are chosen there, too. Faint points "
        "beside lines are single seeds."
    )
    return html.Section("sweeps", "Sweeps", [words, *content])


def _sweep(run: Run, stage: str, protocol: str, unit: str) -> Sweep | None:
    leading = {name: run.leading(protocol, name) for name in run.sweeps[stage]}
    found = {name: file for name, file in leading.items() if file is not None}
    if len(found) < 2:
        return None
    of_each = {name: members.constants(name) for name in found}
    varying = [
        constant
        for constant in dict.fromkeys(key for of in of_each.values() for key in of)
        if len({of.get(constant) for of in of_each.values()}) > 1 and all(constant in of for of in of_each.values())
    ]
    files = {tuple((key, of_each[name][key]) for key in varying): file for name, file in found.items()}
    if not varying or len(files) < len(found):
        # Points that name different constants lie on no common axes: each is called by all of its own.
        files = {tuple(of_each[name].items()): file for name, file in found.items()}
    plain = members.plain(run.config["stages"], run.plain_stages, stage)
    return Sweep(stage, protocol, unit, files, None if plain is None else run.leading(protocol, plain))


def _metrics(run: Run, sweep: Sweep) -> list[str]:
    """What is shown: the headline metric, AUROC and accuracy, as far as there are such."""
    file = next(iter(sweep.files.values()))
    wanted = dict.fromkeys((run.headline_metric, "auroc", "accuracy"))
    return [metric for metric in wanted if run.find(file, sweep.unit, metric) is not None]


def _shown(run: Run, sweep: Sweep) -> Content:
    metrics = _metrics(run, sweep)
    chosen = _chosen(run, sweep, metrics)
    return [
        _verdict(run, sweep, metrics[0], chosen),
        _pictures(run, sweep, metrics, chosen),
        _table(run, sweep, metrics, chosen),
    ]


def _chosen(run: Run, sweep: Sweep, metrics: list[str]) -> Point | None:
    """The point that validation prefers by the first metric, among equals by the next; None without such figures."""

    def worth(point: Point) -> list[float]:
        rows = [run.find_on_validation(sweep.files[point], sweep.unit, metric) for metric in metrics]
        return [-math.inf if row is None or math.isnan(row.value) else row.value for row in rows]

    best = max(sweep.files, key=worth)
    return None if worth(best)[0] == -math.inf else best


def _verdict(run: Run, sweep: Sweep, metric: str, chosen: Point | None) -> Markup:
    if chosen is None:
        return html.paragraph("There are no figures of the validation part, so no point is selected.")
    name, file = wording.metric(metric), sweep.files[chosen]
    words: list[Content] = [
        "Selected on validation: ", element("strong", members.point(dict(chosen))), f" ({name} there ",
        _brief(run.find_on_validation(file, sweep.unit, metric)), f"). On the test part its {name} is ",
        _brief(run.find(file, sweep.unit, metric)),
    ]  # fmt: skip
    if sweep.plain is not None:
        words += [f", that of {sweep.plain.stage}, which learns the classes alone, "]
        words += [_brief(run.find(sweep.plain, sweep.unit, metric))]
    if not isinstance(file.seed, int):
        words.append(" (means over seeds)")
    return html.paragraph([*words, "."])


def _brief(row: ResultRow | None) -> Content:
    """A rate within a sentence."""
    return NONE if row is None else number(row.value)


def _pictures(run: Run, sweep: Sweep, metrics: list[str], chosen: Point | None) -> Content:
    pictures: list[Markup] = []
    title = f"{sweep.stage}, protocol {sweep.protocol}, per {sweep.unit}"
    preferred = None if chosen is None else dict(chosen)
    points = [dict(point) for point in sweep.files]
    if len({tuple(point) for point in points}) > 1:
        return ""
    for metric in metrics:
        panels, name = _panels(run, sweep, metric), wording.metric(metric)
        if sweep_figures.fills_grid(points):
            picture = sweep_figures.heat_map(title, panels, name, preferred)
            pictures.append(html.figure(picture, caption(run, f"{title}: {name}; framed: preferred on validation")))
            continue
        for constant in points[0]:
            picture = sweep_figures.lines(title, panels, name, constant, preferred)
            words = f"{title}: {name} over {members.sign(constant)}; ringed: preferred on validation"
            pictures.append(html.figure(picture, caption(run, words)))
    return html.gallery(pictures)


def _panels(run: Run, sweep: Sweep, metric: str) -> list[sweep_figures.Panel]:
    panels = []
    for part, find in ((_VALIDATION, run.find_on_validation), (_TEST, run.find)):
        levels = []
        for point, file in sweep.files.items():
            row = find(file, sweep.unit, metric)
            if row is None:
                continue
            seeds = [
                other
                for other in run.networks(sweep.protocol)
                if other.stage == file.stage and isinstance(other.seed, int)
            ]
            values = [found.value for seed in seeds if (found := find(seed, sweep.unit, metric)) is not None]
            interval = None if row.low is None or row.high is None else (row.low, row.high)
            levels.append(sweep_figures.Level(dict(point), row.value, interval, tuple(values)))
        plain = None if sweep.plain is None else find(sweep.plain, sweep.unit, metric)
        if len(levels) == len(sweep.files):
            reference = None if plain is None else (plain.stage, plain.value)
            panels.append(sweep_figures.Panel(part, levels, reference))
    return panels


def _table(run: Run, sweep: Sweep, metrics: list[str], chosen: Point | None) -> Markup:
    lines: dict[str, File] = {members.point(dict(point)): file for point, file in sweep.files.items()}
    selected = None if chosen is None else members.point(dict(chosen))
    if sweep.plain is not None:
        lines[f"{sweep.plain.stage} (plain)"] = sweep.plain
    rows: list[list[Content]] = []
    for name, file in lines.items():
        on_validation = [
            rate(
                run.find_on_validation(file, sweep.unit, metric),
                run.find_on_validation(file, sweep.unit, SPREAD + metric),
            )
            for metric in metrics
        ]
        scored = [find(file, sweep.unit, "accuracy") for find in (run.find_on_validation, run.find)]
        # Breaks come between constants, never within one.
        words = Markup(", ".join(element("span", part, class_="unbroken") for part in name.split(", ")))
        first = [words, Markup("<br>"), element("strong", "selected")] if name == selected else words
        rows.append([first, *on_validation, *rates(run, file, sweep.unit, metrics), *map(size, scored)])
    names = [wording.metric(metric) for metric in metrics]
    header = ["constants"] + [f"{name}, {part}" for part in (_VALIDATION, _TEST) for name in names]
    header += [f"n (groups), {part}" for part in (_VALIDATION, _TEST)]
    words = (
        f"{sweep.stage}, protocol {sweep.protocol}, per {sweep.unit}, {wording.decided(run.positive)}; with the "
        "standard deviation over seeds where there are several, else with the 95 % interval."
    )
    return html.table(caption(run, words), header, rows)
