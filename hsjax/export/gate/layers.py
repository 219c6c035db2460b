"""Which layer of a file breaks: the values inside it against those inside a reference, layer by layer.

Rounding accumulates from layer to layer by little; where the signal falls into the noise at once, the file is broken.
"""

import enum
import math
import pathlib
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from hsjax.export.gate.checks import Check
from hsjax.export.onnx import opened
from hsjax.export.required import required
from hsjax.runtime import inside
from hsjax.runtime.inside import Value
from hsjax.types import UserError

MIN_INPUT_DECIBELS = 15.0
"""Of signal to noise of what a file takes in, on its integers: a range of 150 standard deviations leaves as much."""

EXAMPLES = 16
"""Are enough to tell."""


class Expected(enum.Enum):
    """Decibels of signal to noise: what a sound file begins with, and has in every layer.

    Eight bits begin at 40 to 50, and lose one or two with every layer; float32 has 24 bits of mantissa.
    """

    INTEGERS = (45.0, 10.0)
    FLOATS = (140.0, 60.0)


_Pair = tuple[int, int, tuple[int, ...]]  # places of a layer in reference and file, and the order of its axes
_LAYOUTS: tuple[tuple[int, ...], ...] = ((0, 1, 2, 3), (0, 3, 1, 2))  # a map as TFLite and as ONNX lays it out
_MOST = 999.0  # decibels: a number that JSON has, where there is no noise at all
_QUANTISED = "_DequantizeLinear_Output"
_SAME = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast"}


class Layer(NamedTuple):
    """One layer of a file beside its reference.

    Attributes:
      name: of its output.
      operator: that makes it; empty for the input.
      decibels: of signal to noise, 10 log10(sum of squares of the reference over that of the difference), within ±999.
    """

    name: str
    operator: str
    decibels: float


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is noise
def compare(reference: Iterable[list[Value]], measured: Iterable[list[Value]]) -> list[Layer]:
    """The layers of a file that the reference has too, in the order in which the file computes them.

    Those of the same name are compared; where the two share few names, those of the same values as far as there are.

    Args:
      reference: of each example the values inside the reference.
      measured: likewise of the file.
    """
    pairs: list[_Pair] = []
    operators: list[Value] = []
    signal, noise = np.zeros(0), np.zeros(0)
    for example, (wanted, found) in enumerate(zip(reference, measured, strict=True)):
        if not example:
            pairs = _paired(wanted, found)
            operators = [found[position] for _, position, _ in pairs]
            signal, noise = np.zeros(len(pairs)), np.zeros(len(pairs))
        for index, (theirs, ours, axes) in enumerate(pairs):
            want, got = _arranged(wanted[theirs].real, axes), found[ours].real
            signal[index] += np.square(want).sum()
            noise[index] += np.square(want.ravel() - got.ravel()).sum()
    return [
        Layer(short(value.name), value.operator, ratio(*sums))
        for value, sums in zip(operators, zip(signal, noise, strict=True), strict=True)
    ]


def _arranged(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return values.transpose(axes) if values.ndim == len(axes) else values


def _paired(wanted: list[Value], found: list[Value]) -> list[_Pair]:
    """Places of the same layer in reference and file, and how the reference's axes have to be ordered."""
    places = {value.name: place for place, value in enumerate(wanted)}
    named: list[_Pair] = [
        (places[value.name], place, _LAYOUTS[0])
        for place, value in enumerate(found)
        if value.name in places and wanted[places[value.name]].real.size == value.real.size
    ]
    if 2 * len(named) > min(len(wanted), len(found)):
        return named
    return _alike(wanted, found)


def _alike(wanted: list[Value], found: list[Value]) -> list[_Pair]:
    """Of each value of the reference the one of the file that is most like it, as far as one is like it at all.

    Where those end, the next is kept too: what is not computed any more as it should be. Layers in between that are
    computed in another way (a product by another of the same outcome) have no value that is like theirs.
    """
    places: dict[int, list[int]] = {}
    for place, value in enumerate(found):
        places.setdefault(value.real.size, []).append(place)
    stacks = {size: np.stack([found[place].real.ravel() for place in of_size]) for size, of_size in places.items()}
    pairs: list[tuple[float, _Pair]] = []
    for place, value in enumerate(wanted):
        size = value.real.size
        candidates = []
        for axes in _LAYOUTS if size in stacks else ():
            want = _arranged(value.real, axes).ravel()
            noise = np.square(stacks[size] - want).sum(axis=1)
            likest = int(noise.argmin())
            candidates.append((ratio(np.square(want).sum(), noise[likest]), (place, places[size][likest], axes)))
        pairs += [max(candidates)] if candidates else []
    sound = [decibels >= Expected.INTEGERS.value[1] for decibels, _ in pairs]
    end = len(sound) - sound[::-1].index(True) if True in sound else 0
    alike = [pair for like, (_, pair) in zip(sound, pairs, strict=True) if like]
    return alike + [pair for _, pair in pairs[end : end + 1]]


def ratio(signal: float, noise: float) -> float:
    """Of sums of squares, in decibels within ±999; the least of noise without a signal, or that is not finite."""
    if not noise:
        return _MOST
    quotient = float(signal) / float(noise)
    return max(-_MOST, min(10 * math.log10(quotient), _MOST)) if 0 < quotient < math.inf else -_MOST


def culprit(layers: list[Layer], expected: Expected) -> tuple[Layer, float]:
    """The layer at which the signal falls furthest below what it was before, and what it was."""
    before, fallen = expected.value[0], []
    for layer in layers:
        fallen.append((before - min(layer.decibels, before), before))
        before = min(before, layer.decibels)
    worst = max(range(len(layers)), key=lambda index: fallen[index][0])
    return layers[worst], fallen[worst][1]


def verdict(model: str, layers: list[Layer], expected: Expected) -> Check:
    """The layer to look at, as a check that fails where its signal is in the noise.

    Args:
      model: name of the file.
      layers: of it.
      expected: of such a file.
    """
    check, (best, limit) = "signal to noise of the layer that loses most, dB", expected.value
    if not layers:
        return Check(model, check, 0.0, limit, False, "no layer of the reference is in the file")
    layer, before = culprit(layers, expected)
    first = before == best
    limit = max(limit, MIN_INPUT_DECIBELS) if first else limit
    lowest = min(layers, key=lambda one: one.decibels)
    detail = f"{layer.operator} {layer.name}".strip() + f", where {before:.1f} can be expected up to there"
    if first and layer.decibels < limit:
        detail += "; nothing is lost before: the range of its input does not fit, as after calibration with other data"
    if lowest is not layer:
        detail += f"; the lowest is {lowest.decibels:.1f} at {lowest.name}"
    return Check(model, check, layer.decibels, limit, layer.decibels >= limit, detail)


def short(name: str) -> str:
    """A tensor's name for people: of what a converter fused, the part that says most."""
    longest = max(name.split(";"), key=lambda part: (part.count("/"), len(part)))
    return longest.replace("Identity", "output")


def values(path: pathlib.Path, inputs: Float[np.ndarray, "n ..."]) -> Iterator[list[Value]]:
    """The values inside a file, of each example.

    Args:
      path: a `.tflite` or `.onnx` file.
      inputs: examples.

    Raises:
      UserError: it cannot be run.
    """
    return inside.tflite(path, inputs) if path.suffix == ".tflite" else _of_onnx(path, inputs)


def _of_onnx(path: pathlib.Path, inputs: Float[np.ndarray, "n ..."]) -> Iterator[list[Value]]:
    """With the outputs of all operators as outputs of the file, under the names they have in the float32 file."""
    onnx = required("onnx")
    model = opened(path)
    floats = _floats(onnx, model)
    constants = {constant.name for constant in model.graph.initializer}
    names: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type not in _SAME and not set(node.input) <= constants:
            names |= {output: node.op_type for output in node.output if output in floats}
    # What a layer puts out is what the next one takes in: rounded, where the file rounds it.
    outputs = {f"{name}{_QUANTISED}" if f"{name}{_QUANTISED}" in floats else name: kind for name, kind in names.items()}
    existing = {end.name for end in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in outputs
        if name not in existing
    )
    for found in inside.onnx(model.SerializeToString(), outputs, inputs):
        yield [value._replace(name=value.name.removesuffix(_QUANTISED)) for value in found]


def _floats(onnx: types.ModuleType, model: Any) -> set[str]:
    """Names of the float32 values in a graph."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError as error:
        raise UserError(f"the shapes in the graph contradict each other: {error}") from error
    ends = [*inferred.graph.value_info, *inferred.graph.output]
    return {end.name for end in ends if end.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}


def of_taps(taps: Mapping[str, Float[np.ndarray, "n ..."]], count: int) -> Iterator[list[Value]]:
    """What a network in JAX has inside, as values of each example.

    Args:
      taps: by name, in the order in which they are computed.
      count: of examples.
    """
    for example in range(count):
        yield [Value(name, "", values[example : example + 1].astype(np.float64)) for name, values in taps.items()]
