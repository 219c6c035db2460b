"""The section on compressed networks: how small each one's file is, how good, how fast, and which are worth having."""

from collections.abc import Sequence
from typing import NamedTuple

from hsjax.report import fronts, html, wording
from hsjax.report.cells import amounts, caption, difference, rate, stage
from hsjax.report.html import Content, element
from hsjax.report.run import MODEL, NETWORK, RECORDING, SEGMENT, File, Run

_INTEGERS, _FLOATS = "tflite-int8", "tflite-float32"
_ONNX_INTEGERS, _ONNX_FLOATS = "onnx-int8-static", "onnx-float32"
_FEATURES = "features"
_LATENCY = "median_microseconds"
_COSTS = ("bytes", "zipped_bytes", "arena_bytes", "nonzero", "macs")
_LEAST = 2
"""Networks that a comparison takes."""


class _Slower(NamedTuple):
    """A network whose file of integers takes longer than its float file."""

    stage: str
    runtime: str
    integers: float
    floats: float


def section(run: Run) -> html.Section | None:
    """All exported networks side by side; None unless there are several, of which one is compressed."""
    files = [file for file in run.files if (file.variant, file.input) == (_INTEGERS, _FEATURES)]
    if len(files) < _LEAST or not any(run.find(_of(file), MODEL, "nonzero") for file in files):
        return None
    unit = RECORDING if run.find(files[0], RECORDING, "accuracy") else SEGMENT
    metric = "auroc" if run.find(files[0], unit, "auroc") else "accuracy"
    name, first = wording.metric(metric), run.stages[0]
    header = [
        "stage", f"{name}, int8 file", f"{name}, network minus {first}", f"{name}, int8 file minus {first}",
        "emulated windows",
        *(wording.metric(cost) for cost in _COSTS), "LiteRT float, int8", "ONNX Runtime float, int8",
    ]  # fmt: skip
    rows: list[list[Content]] = [
        [
            stage(file.stage),
            rate(run.find(file, unit, metric)),
            *(difference(run.between(f"{file.stage} - {first}", one, unit, metric)) for one in (_of(file), file)),
            rate(run.find(file, SEGMENT, "emulation-agreement")),
            *(amounts(run, [file, _of(file)], cost) for cost in _COSTS),
            _times(run, file, _FLOATS, _INTEGERS),
            _times(run, file, _ONNX_FLOATS, _ONNX_INTEGERS),
        ]
        for file in files
    ]
    words = (
        f"Every exported network as an int8 TFLite file that takes features, per {unit} of the test part: what was "
        "trained with a quantiser has trained ranges, all others calibrated ones. Bytes are those that are flashed, "
        "zipped ones those that are sent; the arena is TFLite Micro's memory at work. Times are medians in "
        "microseconds of one run of one example on the machine that made this page."
    )
    parts: list[Content] = [html.table(caption(run, words), header, rows), *_told(_slower(run, files))]
    if picture := _front(run, files, unit, metric):
        parts.append(picture)
    return html.Section("compression", "Compression", parts)


def _front(run: Run, files: Sequence[File], unit: str, metric: str) -> Content:
    points = []
    for file in files:
        size, value = run.find(file, MODEL, "bytes"), run.find(file, unit, metric)
        if size is not None and value is not None:
            points.append(fronts.Point(file.stage, size.value, value.value, value.low, value.high))
    if not points:
        return ""
    name = wording.metric(metric)
    picture = fronts.picture(f"Bytes of the int8 file and {name}", points, name)
    best = ", ".join(point.name for point in fronts.pareto(points))
    words = (
        f"The Pareto front, from small to large: {best}. Of every other file one on the front is smaller and as good, "
        "or as small and better; intervals overlap, so that what lies close to the front is not shown to be worse."
    )
    return html.gallery([html.figure(picture, caption(run, words))])


def _slower(run: Run, files: Sequence[File]) -> list[_Slower]:
    """All networks and runtimes for which integers cost time."""
    found = []
    pairs = (("LiteRT", _FLOATS, _INTEGERS), ("ONNX Runtime", _ONNX_FLOATS, _ONNX_INTEGERS))
    for file in files:
        for runtime, floats, integers in pairs:
            before, after = (_latency(run, file, variant) for variant in (floats, integers))
            if before is not None and after is not None and after > before:
                found.append(_Slower(file.stage, runtime, after, before))
    return found


def _told(slower: Sequence[_Slower]) -> list[Content]:
    if not slower:
        return [html.paragraph("No int8 file is slower here than the float file of the same network.")]
    items = [f"{one.stage} in {one.runtime}: {one.integers:.0f} µs instead of {one.floats:.0f} µs" for one in slower]
    return [
        html.paragraph("Integers are slower than float32 here for:"),
        element("ul", [element("li", item) for item in items]),
    ]


def _times(run: Run, file: File, floats: str, integers: str) -> Content:
    values = [_latency(run, file, variant) for variant in (floats, integers)]
    return ", ".join("none" if value is None else f"{value:.0f}" for value in values)


def _latency(run: Run, file: File, variant: str) -> float | None:
    row = run.find(File(file.protocol, file.stage, file.seed, variant, _FEATURES), MODEL, _LATENCY)
    return None if row is None else row.value


def _of(file: File) -> File:
    """The network of a file."""
    return File(file.protocol, file.stage, file.seed, NETWORK, _FEATURES)
