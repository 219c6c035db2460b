"""The section that draws every network layer by layer."""

import html as text
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hsjax.report import html, members
from hsjax.report.cells import NONE, caption
from hsjax.report.figures import Picture
from hsjax.report.html import Content
from hsjax.report.run import Run

# Pixels of the drawing; as wide as a phone.
_WIDTH, _BOX, _GAP, _MARGIN = 390, 40, 12, 6
_BLUE, _VERMILION = "#0072B2", "#D55E00"
_WORDS = (
    "As traced, in the order in which layers are first called; where a network branches, the branches follow each "
    "other. The bars are a layer's part of all parameters (blue) and of all multiply-accumulates of one example (red)."
)


def section(run: Run) -> html.Section | None:
    """A drawing and a table of each network; None for runs that do not say what their networks are made of."""
    if not run.networks_drawn:
        return None
    pictures, tables = [], []
    for one in run.networks_drawn:
        title = _title(one)
        pictures.append(html.figure(drawing(one), caption(run, title)))
        rows: list[list[Content]] = [
            [layer["path"] or "(network)", layer["type"], _by(layer["shape"]), _count(layer["parameters"]),
             _count(layer["macs"])]
            for layer in one["layers"]
        ]  # fmt: skip
        header = ["layer", "type", "output", "parameters", "multiply-accumulates"]
        tables.append(
            html.details(f"Layers of {one['model']} as a table", html.table(caption(run, title), header, rows))
        )
    content: list[Content] = [html.paragraph(_WORDS), html.folded_gallery("Networks", pictures), *tables]
    return html.Section("networks", "Networks layer by layer", content)


def _title(one: Mapping[str, Any]) -> str:
    parameters, macs = (sum(layer[name] for layer in one["layers"]) for name in ("parameters", "macs"))
    stages = ", ".join(members.short(name) for name in one["stages"])
    costs = f"{parameters:,} parameters, {macs:,} multiply-accumulates"
    return f"{one['model']} ({stages}), input {_by(one['input'])}: {costs}"


def drawing(one: Mapping[str, Any]) -> Picture:
    """Boxes from the input to the logits.

    Args:
      one: an entry of report/layers.json: model, stages, input and layers.
    """
    layers: Sequence[Mapping[str, Any]] = one["layers"]
    totals = {name: max(sum(layer[name] for layer in layers), 1) for name in ("parameters", "macs")}
    boxes = [_box(0, "input", "", _by(one["input"]), {})]
    for place, layer in enumerate(layers, 1):
        parts = {name: layer[name] / total for name, total in totals.items()}
        costs = ", ".join(
            f"{layer[name]:,} {word}" for name, word in (("parameters", "parameters"), ("macs", "MACs")) if layer[name]
        )
        shape = _by(layer["shape"]) + (f"; {costs}" if costs else "")
        boxes.append(_box(place, layer["path"] or "(network)", layer["type"], shape, parts))
    height = len(boxes) * (_BOX + _GAP) - _GAP + 2 * _MARGIN
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="11">{"".join(boxes)}</svg>'
    )
    return Picture("image/svg+xml", drawn.encode(), _alt(one))


def _box(place: int, name: str, kind: str, figures: str, parts: Mapping[str, float]) -> str:
    """One layer, and the arrow that leads to it."""
    top = _MARGIN + place * (_BOX + _GAP)
    left, right = _MARGIN, _WIDTH - _MARGIN
    middle = _WIDTH / 2
    arrow = f'<path d="M{middle} {top - _GAP}V{top - 1}m-3 -4l3 4l3 -4" fill="none" stroke="#666666"/>' if place else ""
    bars = "".join(
        f'<rect x="{left + 1}" y="{top + _BOX - bottom}" width="{math.ceil((right - left - 2) * parts[name])}" '
        f'height="2" fill="{colour}"/>'
        for name, bottom, colour in (("parameters", 7, _BLUE), ("macs", 4, _VERMILION))
        if parts.get(name)
    )
    return (
        f'{arrow}<rect x="{left}" y="{top}" width="{right - left}" height="{_BOX}" rx="4" fill="#f5f6f8" '
        f'stroke="#999999"/><text x="{left + 8}" y="{top + 14}" font-weight="bold">{text.escape(name)}</text>'
        f'<text x="{right - 8}" y="{top + 14}" text-anchor="end">{text.escape(kind)}</text>'
        f'<text x="{left + 8}" y="{top + 28}" fill="#444444">{text.escape(figures)}</text>{bars}'
    )


def _alt(one: Mapping[str, Any]) -> str:
    chain = ", ".join(f"{layer['path'] or 'network'} {_by(layer['shape'])}" for layer in one["layers"])
    return f"Layers of {_title(one)}. In order, with the shape of what each makes: {chain}."


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "-"


def _count(number: int) -> Content:
    return f"{number:,}" if number else NONE
