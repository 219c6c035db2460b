"""What the network of a file with calibrated ranges takes in, on its integers: wrong calibration shows there first."""

import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from hsjax.export import onnx
from hsjax.export.gate import layers
from hsjax.export.gate.checks import Check, broken
from hsjax.export.required import required
from hsjax.runtime import Session, inside
from hsjax.runtime.graph import Graph, opened
from hsjax.runtime.litert import LiteRTSession, Quantisation

CHECK = "signal to noise of its input, dB"


class _Rounded(NamedTuple):
    """What comes to the integers of a file, and what these make of it.

    Attributes:
      real: float64.
      rounded: likewise, the real numbers that the integers stand for.
      low: the smallest number that the integers can stand for.
      high: the largest.
    """

    real: np.ndarray
    rounded: np.ndarray
    low: float
    high: float


def check(path: pathlib.Path, session: Session, inputs: Float[np.ndarray, "n ..."]) -> Check:
    """Whether what comes to a network's input fits the range that calibration has found for it.

    The input of a file may be it; in a file from samples it is what the front end makes of them, and in an ONNX file
    what goes into the first QuantizeLinear.

    Args:
      path: a file with ranges of activations.
      session: of it.
      inputs: what the file takes; some of them are enough where the file has to compute what its network takes in.

    Raises:
      UserError: the file cannot be run.
    """
    found = _of_the_file(path, session, inputs) if len(inputs) else None
    if found is None:
        return broken(path.name, CHECK, f"of {len(inputs)} examples nothing is rounded to integers")
    signal, noise = (float(np.square(values).sum()) for values in (found.real, found.real - found.rounded))
    decibels = layers.ratio(signal, noise)
    detail = (
        f"the file's range is {found.low:.3g} to {found.high:.3g} by its calibration, test inputs lie within "
        f"{found.real.min():.3g} to {found.real.max():.3g}"
    )
    limit = layers.MIN_INPUT_DECIBELS
    return Check(path.name, CHECK, decibels, limit, decibels >= limit, detail)


def _of_the_file(path: pathlib.Path, session: Session, inputs: Float[np.ndarray, "n ..."]) -> _Rounded | None:
    if isinstance(session, LiteRTSession) and session.input_quantisation is not None:
        return _on(session.input_quantisation, inputs)
    return _of_tflite(path, inputs) if path.suffix == ".tflite" else _of_onnx(path, inputs)


def _few(inputs: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "m ..."]:
    """Of all recordings, not of the first alone."""
    return inputs[:: -(-len(inputs) // layers.EXAMPLES)]


def _on(quantisation: Quantisation, real: np.ndarray) -> _Rounded:
    ends = np.iinfo(quantisation.dtype)
    low, high = quantisation.dequantise(np.array([ends.min, ends.max], quantisation.dtype))
    rounded = quantisation.dequantise(quantisation.quantise(real.astype(np.float32)))
    return _Rounded(real.astype(np.float64), rounded.astype(np.float64), float(low), float(high))


def _of_tflite(path: pathlib.Path, inputs: Float[np.ndarray, "n ..."]) -> _Rounded | None:
    """By the first QUANTIZE of real numbers."""
    graph = opened(path.read_bytes())
    tensors, kinds = graph.subgraph.tensors, graph.schema.TensorType
    for operator in graph.subgraph.operators:
        source, target = int(operator.inputs[0]), int(operator.outputs[0])
        if graph.name(operator) != "QUANTIZE" or tensors[source].type != kinds.FLOAT32:
            continue
        name = "input" if source in graph.subgraph.inputs else tensors[source].name.decode()
        real = _named(inside.tflite(path, _few(inputs)), name)
        return None if real is None else _on(_grid(graph, tensors[target]), real)
    return None


def _grid(graph: Graph, tensor: Any) -> Quantisation:
    """Of a tensor of integers; one scale."""
    (scale,), (zero_point,) = tensor.quantization.scale, tensor.quantization.zeroPoint
    wide = tensor.type == graph.schema.TensorType.INT16
    return Quantisation(float(scale), int(zero_point), np.int16 if wide else np.int8)


def _of_onnx(path: pathlib.Path, inputs: Float[np.ndarray, "n ..."]) -> _Rounded | None:
    """By the first QuantizeLinear of what is no constant."""
    library, model = required("onnx"), onnx.opened(path)
    constants = {constant.name: constant for constant in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants:
            break
    else:
        return None
    source = node.input[0]
    scale, zero_point = (library.numpy_helper.to_array(constants[name]) for name in node.input[1:])
    quantisation = Quantisation(float(scale.item()), int(zero_point.item()), zero_point.dtype.type)
    if source == model.graph.input[0].name:
        return _on(quantisation, inputs)
    model.graph.output.append(library.helper.make_tensor_value_info(source, library.TensorProto.FLOAT, None))
    real = _named(inside.onnx(model.SerializeToString(), {source: ""}, _few(inputs)), source)
    return None if real is None else _on(quantisation, real)


def _named(examples: Iterator[list[inside.Value]], name: str) -> np.ndarray | None:
    """The values of one name, of all examples."""
    found = [value.real for values in examples for value in values if value.name == name]
    return np.concatenate(found) if found else None
