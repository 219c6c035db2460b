"""Size against quality of many models, and the ones that nothing beats in both: the Pareto front."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from hsjax.report.figures import COLOURS, STYLE, WIDTH, Picture, svg

_ON, _OFF = COLOURS[1], "#666666"


class Point(NamedTuple):
    """A model.

    Attributes:
      name: of it.
      size: bytes.
      value: more is better.
      low: of its interval; None without one.
      high: of it.
    """

    name: str
    size: float
    value: float
    low: float | None = None
    high: float | None = None


def pareto(points: Iterable[Point]) -> list[Point]:
    """The points that no other beats in size or value without losing in the other, from small to large.

    Of equals the first one.
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda one: (one.size, -one.value)):
        if not front or point.value > front[-1].value:
            front.append(point)
    return front


def picture(title: str, points: Sequence[Point], value_name: str) -> Picture:
    """Value over size in bytes, on a logarithmic axis; names of those on the front, which a line joins.

    Args:
      title: for the alternative text.
      points: one or more.
      value_name: of the vertical axis.
    """
    front = pareto(points)
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, 4.2), layout="constrained")
        axes = figure.subplots()
        for point in points:
            colour = _ON if point in front else _OFF
            if point.low is not None and point.high is not None:
                axes.plot([point.size] * 2, [point.low, point.high], color=colour, linewidth=0.8, alpha=0.5)
            axes.plot(point.size, point.value, "o", color=colour, markersize=5)
        axes.plot([p.size for p in front], [p.value for p in front], color=_ON, linewidth=1.2, drawstyle="steps-post")
        for number, point in enumerate(front):
            above = number % 2 == 0
            axes.annotate(
                point.name, (point.size, point.value), xytext=(3, 6 if above else -12), textcoords="offset points",
                fontsize=8, color=_ON,
            )  # fmt: skip
        axes.set(xscale="log", xlabel="size in kilobytes", ylabel=value_name)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size / 1000:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.15)
        said = [f"{p.name}: {p.size:,.0f} bytes, {p.value:.3f}{', on the front' if p in front else ''}" for p in points]
        return svg(figure, f"{title}: " + "; ".join(said) + ".")
