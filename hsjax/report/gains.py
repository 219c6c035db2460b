"""The section on what each stage brought over the one that all of them are compared with."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import scipy.stats
from matplotlib.figure import Figure

from hsjax.config import LearnsFrom
from hsjax.evaluate import hypotheses
from hsjax.evaluate.rows import DIFFERENCE
from hsjax.report import html, members, wording
from hsjax.report.cells import NONE, caption, difference, extents, number, stage
from hsjax.report.figures import COLOURS, STYLE, WIDTH, Picture, svg
from hsjax.report.html import Content, Markup, element
from hsjax.report.run import Run
from hsjax.types import ResultRow

_MINUS = " - "


class Bar(NamedTuple):
    """One line of a forest plot.

    Attributes:
      name: of the stage.
      value: its difference.
      interval: of `value`; None where the run gives none.
    """

    name: str
    value: float
    interval: tuple[float, float] | None


def families(run: Run) -> dict[str, list[str]]:
    """Stages that are compared with one and the same, by this one; only where they are several."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(row.stage for row in run.differences):
        ours, _, baseline = name.partition(_MINUS)
        found.setdefault(baseline, []).append(ours)
    return {baseline: stages for baseline, stages in found.items() if len(stages) > 1}


def section(run: Run) -> html.Section | None:
    """Forest plots and a table per baseline, protocol and unit; None where no stages share a baseline."""
    content: list[Content] = []
    for baseline, stages in families(run).items():
        for protocol in run.protocols:
            for unit in run.units(protocol):
                rows = {(row.stage, row.metric): row for row in run.differences if _is_of(row, protocol, unit)}
                shown = _of_unit(run, baseline, stages, protocol, unit, rows)
                words = f"Over {members.short(baseline)}, protocol {protocol}, per {unit}"
                if shown:
                    content.append([element("h3", words), shown] if unit == run.unit else html.details(words, shown))
    if not content:
        return None
    words = html.paragraph(
        "Differences on the same test units, with paired 95 % intervals that speak of who was recorded. Seeds are "
        "averaged; how far they lie apart is in the table of results. Bold: the interval leaves out zero. The p-values "
        "are those that the intervals stand for (Altman and Bland 2011), after Holm's adjustment for the rows of the "
        "table."
    )
    taught = all(_learns(run, name) != LearnsFrom.CLASSES.value for names in families(run).values() for name in names)
    return html.Section("gains", f"What each {'loss' if taught else 'stage'} brought", [words, *content])


def _learns(run: Run, name: str) -> str:
    # What is no network learns the classes.
    return run.config["stages"][members.sweep_of(name) or name].get("objective", LearnsFrom.CLASSES.value)


def _is_of(row: ResultRow, protocol: str, unit: str) -> bool:
    return (row.protocol, row.unit, row.label) == (protocol, unit, "")


def _of_unit(
    run: Run, baseline: str, stages: list[str], protocol: str, unit: str, rows: Mapping[tuple[str, str], ResultRow]
) -> Content:
    metrics = [
        metric
        for metric in dict.fromkeys((run.headline_metric, "auroc", "accuracy"))
        if any((f"{name}{_MINUS}{baseline}", DIFFERENCE + metric) in rows for name in stages)
    ]
    if not metrics:
        return ""
    found = {
        name: [rows.get((f"{name}{_MINUS}{baseline}", DIFFERENCE + metric)) for metric in metrics] for name in stages
    }
    # The best first; what has no value last.
    ordered = sorted(found, key=lambda name: _worth(found[name][0]), reverse=True)
    where = f"over {members.short(baseline)}, protocol {protocol}, per {unit}"
    pictures = []
    for place, metric in _tested(metrics):
        rows_of = [(name, row) for name in ordered if (row := found[name][place]) is not None]
        bars = [
            Bar(members.short(name), row.value, None if row.low is None or row.high is None else (row.low, row.high))
            for name, row in rows_of
            if not np.isnan(row.value)
        ]
        if bars:
            picture = forest(where, bars, wording.metric(metric))
            words = f"Difference in {wording.metric(metric)} {where}, 95 % intervals"
            pictures.append(html.figure(picture, caption(run, words)))
    return [html.gallery(pictures), _table(run, baseline, ordered, found, metrics, protocol, unit)]


def _worth(row: ResultRow | None) -> float:
    return -np.inf if row is None or np.isnan(row.value) else row.value


def _table(
    run: Run,
    baseline: str,
    ordered: list[str],
    found: Mapping[str, Sequence[ResultRow | None]],
    metrics: list[str],
    protocol: str,
    unit: str,
) -> Markup:
    adjusted = {metric: _adjusted({name: found[name][place] for name in ordered}) for place, metric in _tested(metrics)}
    header = ["stage", "learns from", *(f"{wording.metric(metric)}, difference" for metric in metrics)]
    header += [f"p, Holm: {wording.metric(metric)}" for metric in adjusted]
    lines: list[list[Content]] = [
        [
            stage(name),
            lesson(run.config["stages"], name),
            *(difference(row) for row in found[name]),
            *(number(of[name]) if name in of else NONE for of in adjusted.values()),
        ]
        for name in ordered
    ]
    words = (
        f"What each stage brought over {members.short(baseline)}, the best first. Protocol {protocol}, per {unit} of "
        f"the test part. {extents(run, [(protocol, unit)])}"
    )
    return html.table(caption(run, words), header, lines)


def _tested(metrics: Sequence[str]) -> list[tuple[int, str]]:
    """Places and names of the metrics that have pictures and p-values; the others are for reference."""
    return list(enumerate(metrics[:2]))


def _adjusted(rows: Mapping[str, ResultRow | None]) -> dict[str, float]:
    """P-values of differences after Holm, by the name of their stage; those without an interval have none."""
    known = {name: p for name, row in rows.items() if row is not None and (p := p_of_interval(row)) is not None}
    return dict(zip(known, hypotheses.holm(list(known.values())), strict=True)) if known else {}


def p_of_interval(row: ResultRow) -> float | None:
    """The two-sided p-value that a difference and its 95 % interval stand for; None without an interval.

    From Altman and Bland, "How to obtain the P value from a confidence interval", BMJ 2011;343:d2304, for a normal
    distribution of the estimate.
    """
    if row.low is None or row.high is None or not row.high > row.low:
        return None
    error = (row.high - row.low) / (2 * scipy.stats.norm.ppf(0.975))
    return 2 * float(scipy.stats.norm.sf(abs(row.value) / error))


def lesson(stages: Mapping[str, Any], name: str) -> str:
    """What a stage learns from, in words: the loss, its constants, and the weights of hints.

    Args:
      stages: settings of every stage, as in the config.
      name: a train stage, or a member of one.
    """
    of = stages[members.sweep_of(name) or name]
    if "objective" not in of:  # no network
        return f"{of['of']}: clusters of its embeddings" if "of" in of else f"the classes, {of['model']}"
    swept = members.constants(name)
    soft = {"T": of["temperature"], "alpha": of["alpha"]} | {members.sign(key): value for key, value in swept.items()}
    constants = ", ".join(f"{key} {value:g}" for key, value in soft.items())
    match LearnsFrom(of["objective"]):
        case LearnsFrom.TEACHER:
            parts = [f"{of['soft']}, {constants}"] if of["soft"] != "none" else []
            parts += [f"{hint} of weight {weight:g}" for hint, weight in of["hints"].items()]
            return f"{of['teacher']}: {'; '.join(parts)}"
        case LearnsFrom.PEER:
            return f"a peer, {of['peer']}: {constants}"
        case LearnsFrom.ITSELF:
            return f"its own average: {constants}"
        case _:
            return "the classes" + (f", after {of['begin']}" if of["begin"] else "")


def forest(title: str, bars: Sequence[Bar], metric: str) -> Picture:
    """Differences with their intervals, one line a stage, around zero.

    Args:
      title: what they are differences to, for the alternative text.
      bars: from above.
      metric: name of what differs.
    """
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure((WIDTH, 0.8 + 0.24 * len(bars)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color="#666666", linewidth=0.8)
        for place, bar in enumerate(bars):
            # An interval that leaves out zero is drawn full.
            clear = bar.interval is not None and (bar.interval[0] > 0 or bar.interval[1] < 0)
            if bar.interval is not None:
                axes.plot(bar.interval, (place, place), color=COLOURS[0], linewidth=1.4)
            axes.plot(
                bar.value, place, "o", color=COLOURS[0], markerfacecolor=COLOURS[0] if clear else "white", markersize=5
            )
        axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
        axes.set(xlabel=f"difference in {metric}", ylim=(len(bars) - 0.5, -0.5))
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        said = []
        for bar in bars:
            bounds = "" if bar.interval is None else f" ({bar.interval[0]:+.3f} to {bar.interval[1]:+.3f})"
            said.append(f"{bar.name} {bar.value:+.3f}{bounds}")
        return svg(figure, f"Difference in {metric} {title}: {'; '.join(said)}.")
