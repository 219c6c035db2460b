"""Figures as table cells: rounded for readers, every digit for machines."""

import math
from collections.abc import Iterable

from hsjax.config import AT
from hsjax.evaluate.rows import SPREAD
from hsjax.report import members
from hsjax.report.html import Content, Markup, element, markup
from hsjax.report.run import File, Run
from hsjax.report.tables import text
from hsjax.types import ResultRow

NONE = Markup("&ndash;")


def stage(name: str) -> Markup:
    """A stage's name, which may break between the constants of a member."""
    return Markup(markup(members.short(name)).replace(",", ",<wbr>") if AT in name else markup(name))


def number(value: float) -> Markup:
    """A rate, three decimals; a dash where it is not defined."""
    return element("data", NONE if math.isnan(value) else f"{value:.3f}", value=text(value))


def signed(value: float) -> Markup:
    """A difference, three decimals and its sign."""
    return element("data", f"{value:+.3f}", value=text(value))


def difference(row: ResultRow | None) -> Content:
    """The cell of a difference, bold where its interval leaves out zero."""
    if row is None:
        return NONE
    value = signed(row.value)
    if row.low is None or row.high is None:
        return value
    clear = row.low > 0 or row.high < 0
    bounds = element("span", [signed(row.low), " to ", signed(row.high)], class_="interval")
    return [element("strong", value) if clear else value, bounds]


def amount(value: int | float) -> Markup:
    """A count in full, or a measured quantity with three significant digits."""
    written = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.3g}"
    return element("data", written, value=text(value))


def mebibytes(count: float) -> Markup:
    """A size, two decimals."""
    return element("data", f"{count / 2**20:.2f}", value=text(count))


def rate(row: ResultRow | None, spread: ResultRow | None = None) -> Content:
    """A rate with its interval below it, or with its standard deviation over seeds."""
    if row is None:
        return NONE
    if spread is not None:
        return [number(row.value), Markup("&nbsp;&plusmn;&nbsp;"), number(spread.value)]
    if row.low is None or row.high is None:
        return number(row.value)
    bounds = element("span", [number(row.low), " to ", number(row.high)], class_="interval")
    return [number(row.value), bounds]


def rates(run: Run, file: File, unit: str, metrics: Iterable[str]) -> list[Content]:
    """Cells of one model's metrics."""
    return [rate(run.find(file, unit, name), run.find(file, unit, SPREAD + name)) for name in metrics]


def amounts(run: Run, files: Iterable[File], metric: str) -> Content:
    """The cell of a count that all of these models share; the first that has it."""
    found = (run.find(file, "model", metric) for file in files)
    return next((amount(row.value) for row in found if row is not None), NONE)


def size(row: ResultRow | None) -> Content:
    """What a figure comes from: units, and groups in brackets."""
    if row is None or row.n is None:
        return NONE
    words = f"{row.n:,}" if row.n_groups is None else f"{row.n:,} ({row.n_groups:,})"
    return element("span", words, class_="unbroken")


def extents(run: Run, settings: Iterable[tuple[str, str]]) -> str:
    """What the figures of each protocol and unit come from, as a sentence."""
    parts = []
    for protocol, unit in settings:
        found = (run.find(file, unit, "accuracy") for file in run.networks(protocol) if isinstance(file.seed, int))
        row = next((row for row in found if row is not None), None)
        if row is not None:
            parts.append(f"{protocol}: {row.n:,} {unit}s of {row.n_groups:,} groups")
    return f"n, {'; '.join(parts)}." if parts else ""


def caption(run: Run, words: str) -> str:
    """A caption, which says so if the figures are of synthetic data."""
    return f"Synthetic data. {words}" if run.synthetic else words
