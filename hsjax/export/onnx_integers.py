"""ONNX models whose convolutions have int8 weights with a scale per channel, as ONNX Runtime's quantisers have not.

These give `ConvInteger` one scale for all channels. It takes no more, but puts out integers, which a scale per channel
can be multiplied to. Names of values stay those of the float32 file.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int8

from hsjax.export import onnx_forms
from hsjax.export.required import required

_LARGEST = 127
_ZERO = 128
"""What stands for 0 in weights of uint8, with which ONNX Runtime's kernel is twice as fast on x86 as with int8."""

_ZERO_NAME = "zero_of_weights"


def int8_weights(model: bytes) -> bytes:
    """Weights of convolutions and products int8 with a scale per channel, for a quarter of the size.

    They are made float32 again when the file is loaded: time and memory are a float32 file's, and no activation is
    rounded. Not by DequantizeLinear, which ONNX Runtime (1.31) computes anew in every run.

    Args:
      model: content of a float32 file.
    """
    onnx = required("onnx")
    whole = onnx.load_from_string(model)
    constants = {constant.name: constant for constant in whole.graph.initializer}
    nodes, kept = [], {}
    for node in whole.graph.node:
        axis = _channels(onnx, node, constants)
        if axis is not None and node.input[1] not in kept:
            name = node.input[1]
            kept[name] = _stored(onnx, name, onnx.numpy_helper.to_array(constants[name]), axis)
            nodes += kept[name].nodes
        nodes.append(node)
    return _rebuilt(onnx, whole, nodes, [one for stored in kept.values() for one in stored.constants])


def int8_dynamic(model: bytes) -> bytes:
    """Convolutions and products in integers: weights uint8, activations uint8 with the range that they have in a batch.

    Convolutions in groups (depthwise ones) are stored as integers, too, and computed in float32: ONNX Runtime (1.31)
    would make one small product a channel of each, which takes several times as long.

    Args:
      model: content of a float32 file for any batch.
    """
    onnx = required("onnx")
    whole = onnx.load_from_string(model)
    constants = {constant.name: constant for constant in whole.graph.initializer}
    nodes, new, rounded = [], [], set()
    for node in whole.graph.node:
        if node.op_type != "Conv" or node.input[1] not in constants:
            nodes.append(node)
            continue
        weights = onnx.numpy_helper.to_array(constants[node.input[1]])
        if _attribute(onnx, node, "group", 1) > 1:
            stored = _stored(onnx, f"{node.name}_weights", weights, 0)
            node.input[1] = f"{node.name}_weights"
            nodes += [*stored.nodes, node]
            new += stored.constants
            continue
        if node.input[0] not in rounded:
            rounded.add(node.input[0])
            nodes.append(_rounding(onnx, node.input[0]))
        bias = onnx.numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 else None
        part = _in_integers(onnx, node, weights, bias)
        nodes += part.nodes
        new += part.constants
    if rounded:
        new.append(onnx.numpy_helper.from_array(np.uint8(_ZERO), _ZERO_NAME))
    return onnx_forms.int8_dynamic(_rebuilt(onnx, whole, nodes, new))


class _Part(NamedTuple):
    """What takes a node's place.

    Attributes:
      nodes: in order.
      constants: that they need.
    """

    nodes: list[Any]
    constants: list[Any]


def _channels(onnx: Any, node: Any, constants: Mapping[str, Any]) -> int | None:
    """The axis of the channels in the constant weights of a node; None where it has none."""
    if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in constants:
        return None
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if _attribute(onnx, node, "transB", 0) else 1
    return len(constants[node.input[1]].dims) - 1


def _attribute(onnx: Any, node: Any, name: str, default: int) -> int:
    found = (onnx.helper.get_attribute_value(one) for one in node.attribute if one.name == name)
    return next(found, default)


def rounded(
    weights: Float32[np.ndarray, "..."], axis: int
) -> tuple[Int8[np.ndarray, "..."], Float[np.ndarray, " channels"]]:
    """Weights as int8 from -127 to 127, and what each channel's are to be multiplied by.

    Args:
      weights: of a layer.
      axis: of its channels.
    """
    largest = np.abs(weights).max(axis=tuple(other for other in range(weights.ndim) if other != axis))
    scale = np.where(largest == 0, 1, largest).astype(np.float32) / _LARGEST
    return np.rint(weights / _along(scale, axis, weights.ndim)).astype(np.int8), scale.astype(np.float32)


def _along(values: np.ndarray, axis: int, ndim: int) -> np.ndarray:
    return values.reshape([-1 if other == axis else 1 for other in range(ndim)])


def _stored(onnx: Any, name: str, weights: np.ndarray, axis: int) -> _Part:
    """Weights under their name, from int8."""
    integers, scale = rounded(weights, axis)
    make = onnx.helper.make_node
    return _Part(
        [
            make("Cast", [f"{name}_int8"], [f"{name}_real"], f"{name}_cast", to=onnx.TensorProto.FLOAT),
            make("Mul", [f"{name}_real", f"{name}_scale"], [name], f"{name}_scaled"),
        ],
        [
            onnx.numpy_helper.from_array(integers, f"{name}_int8"),
            onnx.numpy_helper.from_array(_along(scale, axis, weights.ndim), f"{name}_scale"),
        ],
    )


def _rounding(onnx: Any, name: str) -> Any:
    """Rounds a value to uint8 by the range that it has."""
    outputs = [f"{name}_uint8", f"{name}_step", f"{name}_zero"]
    return onnx.helper.make_node("DynamicQuantizeLinear", [name], outputs, f"{name}_rounded")


def _in_integers(onnx: Any, node: Any, weights: np.ndarray, bias: np.ndarray | None) -> _Part:
    """A convolution of what `_rounding` puts out."""
    integers, scale = rounded(weights, 0)
    source, name, output = node.input[0], node.name, node.output[0]
    make, array = onnx.helper.make_node, onnx.numpy_helper.from_array
    unsigned = (integers.astype(np.int16) + _ZERO).astype(np.uint8)
    per_channel = (-1, *[1] * (weights.ndim - 2))
    constants = [array(unsigned, f"{name}_weights"), array(scale.reshape(per_channel), f"{name}_scale")]
    inputs = [f"{source}_uint8", f"{name}_weights", f"{source}_zero", _ZERO_NAME]
    convolution = make("ConvInteger", inputs, [f"{name}_sum"], f"{name}_integer")
    convolution.attribute.extend(node.attribute)
    scaled = output if bias is None else f"{name}_scaled"
    nodes = [
        convolution,
        make("Cast", [f"{name}_sum"], [f"{name}_real"], f"{name}_cast", to=onnx.TensorProto.FLOAT),
        make("Mul", [f"{source}_step", f"{name}_scale"], [f"{name}_steps"], f"{name}_steps"),
        make("Mul", [f"{name}_real", f"{name}_steps"], [scaled], f"{name}_scaled"),
    ]
    if bias is not None:
        constants.append(array(bias.reshape(per_channel), f"{name}_bias"))
        nodes.append(make("Add", [scaled, f"{name}_bias"], [output], f"{name}_biased"))
    return _Part(nodes, constants)


def _rebuilt(onnx: Any, whole: Any, nodes: list[Any], new: list[Any]) -> bytes:
    """The model of these nodes, with what they need of the constants it had, and the new ones."""
    graph = whole.graph
    needed = {name for node in nodes for name in node.input}
    made = {name for node in nodes for name in node.output}
    constants = [one for one in graph.initializer if one.name in needed - made] + new
    model = onnx.ModelProto()
    model.CopyFrom(whole)
    for field, values in ((model.graph.node, nodes), (model.graph.initializer, constants)):
        del field[:]
        field.extend(values)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()
