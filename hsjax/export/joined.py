"""A front end in float32 and a network in whatever numbers as one file from samples.

The network is, to the bit, the one of the file from features: nothing of the front end is rounded, because log power
does not survive 8 bits, and its ranges are those that the network was calibrated or trained with.
"""

from typing import Any

from hsjax.export.required import required
from hsjax.runtime.graph import Graph, closed, opened

_FRONT_END, _NETWORK = "front-end/", "network/"
"""What names of values begin with; in an ONNX file those of its own input and output stay."""

# Versions of QUANTIZE and DEQUANTIZE by the type of the integers (tensorflow/lite/tools/versioning/op_version.cc).
_VERSIONS = {"INT8": (1, 2), "INT16": (2, 3)}


def tflite(front_end: bytes, network: bytes) -> bytes:
    """One TFLite file; where the network takes and gives integers, QUANTIZE comes before it and DEQUANTIZE after it.

    Args:
      front_end: content of a float32 file, samples to features.
      network: content of a file of any form, features to logits.
    """
    whole, part = opened(front_end), opened(network)
    tensors, operators = whole.subgraph.tensors, whole.subgraph.operators
    offset, first = len(tensors), len(operators)
    _append(whole, part)
    (features,), (logits,) = whole.subgraph.outputs, (int(tensor) + offset for tensor in part.subgraph.outputs)
    (source,) = (int(tensor) + offset for tensor in part.subgraph.inputs)
    kind, result = (_integers(whole, tensors[tensor]) for tensor in (source, logits))
    if kind is None:
        for operator in operators[first:]:
            operator.inputs = [features if tensor == source else tensor for tensor in operator.inputs]
    else:
        operators.insert(first, _conversion(whole, "QUANTIZE", _VERSIONS[kind][0], int(features), source))
    if result is not None:
        like = tensors[logits]
        tensors.append(
            whole.schema.TensorT(shape=like.shape, type=whole.schema.TensorType.FLOAT32, name=b"logits", hasRank=True)
        )
        operators.append(_conversion(whole, "DEQUANTIZE", _VERSIONS[result][1], logits, len(tensors) - 1))
        logits = len(tensors) - 1
    whole.subgraph.outputs = [logits]
    whole.model.signatureDefs = None
    return closed(whole)


def _append(whole: Graph, part: Graph) -> None:
    """Adds buffers, tensors and operators of one graph to those of another, with their numbers changed accordingly."""
    buffers, tensors = len(whole.model.buffers), len(whole.subgraph.tensors)
    for graph, prefix in ((whole, _FRONT_END), (part, _NETWORK)):
        for tensor in graph.subgraph.tensors:
            # Of operators that were fused, each is named.
            tensor.name = b";".join(prefix.encode() + name for name in tensor.name.split(b";"))
    whole.model.buffers.extend(part.model.buffers)
    for tensor in part.subgraph.tensors:
        tensor.buffer += buffers if tensor.buffer else 0  # the first one is everybody's empty one
        whole.subgraph.tensors.append(tensor)
    for operator in part.subgraph.operators:
        version = part.model.operatorCodes[operator.opcodeIndex].version
        operator.opcodeIndex = whole.code(part.name(operator), version)
        operator.inputs, operator.outputs = (
            [int(tensor) + tensors if tensor >= 0 else -1 for tensor in ends]
            for ends in (operator.inputs, operator.outputs)
        )
        whole.subgraph.operators.append(operator)


def _integers(graph: Graph, tensor: Any) -> str | None:
    """Which integers a tensor holds; None for float32."""
    return next((kind for kind in _VERSIONS if tensor.type == getattr(graph.schema.TensorType, kind)), None)


def _conversion(graph: Graph, name: str, version: int, source: int, target: int) -> Any:
    options = f"{name.title()}Options"
    return graph.schema.OperatorT(
        graph.code(name, version), [source], [target],
        getattr(graph.schema.BuiltinOptions, options), getattr(graph.schema, f"{options}T")(),
    )  # fmt: skip


def onnx(front_end: bytes, network: bytes) -> bytes:
    """One ONNX file of two that take and give float32 for any batch.

    Args:
      front_end: content of a float32 file, samples to features.
      network: content of a file of any form, features to logits.
    """
    library = required("onnx")
    first, second = (library.load_from_string(content) for content in (front_end, network))
    (features,), (source,) = first.graph.output, second.graph.input
    whole = library.compose.merge_models(
        first, second, [(features.name, source.name)], prefix1=_FRONT_END, prefix2=_NETWORK, producer_name="hsjax"
    )
    names = {whole.graph.input[0].name: "input", whole.graph.output[0].name: "output"}
    for end in (*whole.graph.input, *whole.graph.output):
        end.name = names[end.name]
    for node in whole.graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(value, value) for value in values]
    library.checker.check_model(whole, full_check=True)
    return whole.SerializeToString()
