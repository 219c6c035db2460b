"""What a file consists of: operators that its runtime has, and a scale for every channel of a convolution."""

import itertools
import math
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hsjax.export import onnx
from hsjax.export.gate.checks import Check, none_of
from hsjax.export.required import required
from hsjax.runtime import litert
from hsjax.runtime.graph import opened

_ONNX_DOMAINS = ("", "ai.onnx")

# Axis of the output channels in the weights (TFLite's quantisation specification).
_CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}


def builtin(path: pathlib.Path) -> Check:
    """Only operators that every build of LiteRT (of ONNX Runtime) has."""
    if path.suffix == ".tflite":
        foreign = [name for name in litert.operators(path.read_bytes()) if name.startswith(litert.CUSTOM)]
    else:
        foreign = _foreign(onnx.opened(path))
    return none_of(path.name, "operators that are not builtin", foreign, "all builtin")


def _foreign(model: Any) -> list[str]:
    """Operators of other domains in the graph of an ONNX model, in its branches and loops, and in its own functions."""
    own = {(function.domain, function.name) for function in model.functions}
    nodes = itertools.chain(_nodes(model.graph.node), *(_nodes(function.node) for function in model.functions))
    return [
        f"{node.domain}:{node.op_type}"
        for node in nodes
        if node.domain not in _ONNX_DOMAINS and (node.domain, node.op_type) not in own
    ]


def _nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    """With those of the graphs in their attributes."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph.node)


def valid(path: pathlib.Path) -> Check:
    """What `onnx.checker` finds wrong."""
    library = required("onnx")
    try:
        library.checker.check_model(str(path), full_check=True)
        problems = []
    except (library.checker.ValidationError, library.shape_inference.InferenceError) as error:
        problems = [str(error)]
    return none_of(path.name, "onnx.checker problems", problems, "valid")


def scales(path: pathlib.Path) -> Check:
    """A scale for every output channel of convolutions whose weights are integers: one for all ruins depthwise ones."""
    found = _scales_of_tflite(path) if path.suffix == ".tflite" else _scales_of_onnx(path)
    few = [f"{name} has {count} for {channels} channels" for name, channels, count in found if count != channels]
    return none_of(path.name, "convolutions without a scale per channel", few, "one per channel")


def _scales_of_tflite(path: pathlib.Path) -> Iterator[tuple[str, int, int]]:
    """Of each convolution its name, channels and scales."""
    graph = opened(path.read_bytes())
    kinds = graph.schema.TensorType
    for operator in graph.subgraph.operators:
        kind = graph.name(operator)
        if kind in _CHANNELS:
            weights = graph.subgraph.tensors[operator.inputs[1]]
            if weights.type in (kinds.INT8, kinds.INT4):
                output = graph.subgraph.tensors[operator.outputs[0]]
                scale = getattr(weights.quantization, "scale", None)
                count = 0 if scale is None else len(scale)
                yield f"{kind} {output.name.decode()}", int(weights.shape[_CHANNELS[kind]]), count


def _scales_of_onnx(path: pathlib.Path) -> Iterator[tuple[str, int, int]]:
    graph = onnx.opened(path).graph
    sizes = {constant.name: tuple(constant.dims) for constant in graph.initializer}
    made = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        name = f"{node.op_type} {node.output[0]}"
        if node.op_type == "ConvInteger":  # has one itself; more are multiplied to what it puts out
            yield name, sizes[node.input[1]][0], _scales_behind(graph, node.output[0], sizes, made)
        weights = made.get(node.input[1]) if node.op_type == "Conv" else None
        if weights is not None and weights.op_type == "DequantizeLinear":
            integers, scale = weights.input[:2]
            yield name, sizes[integers][0], math.prod(sizes.get(scale, (0,)))
        elif weights is not None and weights.op_type == "Mul":  # of what is real by a Cast
            cast = made.get(weights.input[0])
            if cast is not None and cast.op_type == "Cast":
                yield name, sizes[cast.input[0]][0], math.prod(sizes.get(weights.input[1], (0,)))


def _scales_behind(graph: Any, output: str, sizes: Mapping[str, tuple[int, ...]], made: Mapping[str, Any]) -> int:
    """How many numbers sums of integers are multiplied by, once they are real: one, or one for each channel."""
    real = {node.output[0] for node in graph.node if node.op_type == "Cast" and output in node.input}
    factors = [node.input[1] for node in graph.node if node.op_type == "Mul" and node.input[0] in real]
    of = [name for factor in factors if factor in made for name in made[factor].input]
    return max((math.prod(sizes[name]) for name in of if name in sizes), default=1)
