"""Pictures of a sweep: a metric over its constants, on validation above and on the test part below."""

import dataclasses
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hsjax.report import members
from hsjax.report.figures import COLOURS, DASHES, MARKERS, STYLE, WIDTH, Picture, svg

# A constant that spans as much is drawn on a logarithmic axis.
_DECADES = 100
# From where on a cell is too dark for black letters.
_DARK = 0.6


@dataclasses.dataclass(frozen=True)
class Level:
    """A metric at one point of a sweep.

    Attributes:
      constants: of the point, all that vary.
      value: the metric, over seeds where there are several.
      interval: of `value`; None where the run gives none.
      seeds: the metric of each seed; one only where there are not several.
    """

    constants: Mapping[str, float]
    value: float
    interval: tuple[float, float] | None
    seeds: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One part of the data.

    Attributes:
      name: `validation` or `test`.
      levels: every point of the sweep.
      plain: name and value of the stage without what is swept over; None where there is none.
    """

    name: str
    levels: Sequence[Level]
    plain: tuple[str, float] | None


def fills_grid(points: Sequence[Mapping[str, float]]) -> bool:
    """Whether points vary in just two constants, and every combination of their values is there once."""
    if len(points[0]) != 2:
        return False
    first, second = ({point[constant] for point in points} for constant in points[0])
    return len(points) == len(first) * len(second) > max(len(first), len(second))


def heat_map(title: str, panels: Sequence[Panel], metric: str, chosen: Mapping[str, float] | None) -> Picture:
    """Values in the cells of a grid, shaded alike in all panels; a frame around what validation prefers.

    Args:
      title: of the sweep, for the alternative text.
      panels: whose points fill a grid (see `fills_grid`).
      metric: name of what is shown.
      chosen: the point that validation prefers; None frames none.
    """
    levels = panels[0].levels
    down, across = sorted(levels[0].constants, key=lambda constant: len(_values(levels, constant)))
    rows, columns = (_values(levels, constant) for constant in (down, across))
    shade = Normalize(*_span([level.value for panel in panels for level in panel.levels]))
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        height = (0.9 + 0.42 * len(rows)) * len(panels)
        figure = Figure((WIDTH, height), layout="constrained")
        for axes, panel in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
            cells = np.full((len(rows), len(columns)), np.nan)
            for level in panel.levels:
                cells[rows.index(level.constants[down]), columns.index(level.constants[across])] = level.value
            axes.imshow(cells, cmap="Blues", norm=shade, aspect="auto")
            for (row, column), value in np.ndenumerate(cells):
                ink = "white" if shade(value) > _DARK else "black"
                axes.text(column, row, f"{value:.3f}", ha="center", va="center", color=ink, fontsize=8)
            if chosen is not None:
                corner = columns.index(chosen[across]) - 0.5, rows.index(chosen[down]) - 0.5
                axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=COLOURS[1], linewidth=2.2, clip_on=False))
            plain = "" if panel.plain is None else f"; {panel.plain[0]} {panel.plain[1]:.3f}"
            axes.set_title(f"{metric}, {panel.name}{plain}", fontsize=9)
            axes.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
            axes.set_yticks(range(len(rows)), [f"{value:g}" for value in rows])
            axes.set(xlabel=members.sign(across), ylabel=members.sign(down))
        return svg(figure, _said(title, panels, metric, chosen))


def lines(
    title: str, panels: Sequence[Panel], metric: str, constant: str, chosen: Mapping[str, float] | None
) -> Picture:
    """A metric over one constant: a line through points that share all others, a faint point a seed.

    Args:
      title: of the sweep, for the alternative text.
      panels: share their axis of values.
      metric: name of what is shown.
      constant: along the axis.
      chosen: the point that validation prefers, marked by a ring; None marks none.
    """
    known = _values(panels[0].levels, constant)
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 0.6 + 2.1 * len(panels)), layout="constrained")
        all_axes = figure.subplots(len(panels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, panel in zip(all_axes, panels, strict=True):
            for index, (others, group) in enumerate(_groups(panel.levels, constant).items()):
                _line(axes, constant, index, others, group)
            for level in panel.levels:
                if level.constants == chosen and _drawn(panel.levels, constant, level):
                    ring = {"markersize": 13, "markerfacecolor": "none", "markeredgewidth": 1.6}
                    axes.plot(level.constants[constant], level.value, "o", color=COLOURS[6], **ring)
            if panel.plain is not None:
                axes.axhline(panel.plain[1], color="#666666", linestyle="--", linewidth=1.0, label=panel.plain[0])
            axes.set(ylabel=f"{metric}, {panel.name}")
        if known[0] > 0 and known[-1] / known[0] >= _DECADES:
            all_axes[-1].set(xscale="log")
        all_axes[-1].set(xlabel=members.sign(constant))
        handles = {
            label: handle for axes in all_axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        if handles:
            figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2)
        return svg(figure, _said(f"{title}, over {members.sign(constant)}", panels, metric, chosen))


def _line(axes: Axes, constant: str, index: int, others: tuple, group: list[Level]) -> None:
    colour = COLOURS[index % len(COLOURS)]
    x, y = [level.constants[constant] for level in group], [level.value for level in group]
    axes.plot(
        x, y, color=colour, linestyle=DASHES[index % len(DASHES)], marker=MARKERS[index % len(MARKERS)], markersize=5,
        linewidth=1.4, label=members.point(dict(others)) or None,
    )  # fmt: skip
    for level in group:
        if len(level.seeds) > 1:
            at = [level.constants[constant]] * len(level.seeds)
            axes.plot(at, level.seeds, ".", color=colour, alpha=0.5, markersize=8, markeredgewidth=0)
        if level.interval is not None:
            # An interval's bounds are not bound to leave the value between them.
            reach = np.abs(np.array(level.interval) - level.value)[:, None]
            axes.errorbar(level.constants[constant], level.value, reach, color=colour, linewidth=0.9, capsize=2)


def _groups(levels: Sequence[Level], constant: str) -> dict[tuple, list[Level]]:
    """Points that share all other constants, by these; single points only where there is no line at all."""
    groups: dict[tuple, list[Level]] = {}
    for level in sorted(levels, key=lambda level: level.constants[constant]):
        others = tuple((name, value) for name, value in level.constants.items() if name != constant)
        groups.setdefault(others, []).append(level)
    together = {others: group for others, group in groups.items() if len(group) > 1}
    return together or groups


def _drawn(levels: Sequence[Level], constant: str, level: Level) -> bool:
    return any(level in group for group in _groups(levels, constant).values())


def _values(levels: Sequence[Level], constant: str) -> list[float]:
    return sorted({level.constants[constant] for level in levels})


def _span(values: list[float]) -> tuple[float, float]:
    known = [value for value in values if not np.isnan(value)]
    return (min(known), max(known)) if known else (0.0, 1.0)


def _said(title: str, panels: Sequence[Panel], metric: str, chosen: Mapping[str, float] | None) -> str:
    parts = []
    for panel in panels:
        values = "; ".join(f"{members.point(level.constants)}: {level.value:.3f}" for level in panel.levels)
        plain = "" if panel.plain is None else f"; {panel.plain[0]}: {panel.plain[1]:.3f}"
        parts.append(f"{panel.name}: {values}{plain}.")
    marked = "" if chosen is None else f" Marked: {members.point(chosen)}, preferred on validation."
    return f"{metric} of {title}. {' '.join(parts)}{marked}"
