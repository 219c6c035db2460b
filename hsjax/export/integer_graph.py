"""A float TFLite graph as one of integers, on grids that are given: nothing is measured here.

TFLite's own converter has no way in for ranges from elsewhere but calibration, so this writes the integer graph itself.
Operators stay what and where they are; a QUANTIZE comes between two only where one tensor is wanted on two grids.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from hsjax.export.integer_tensors import Grid, Kernel, Tensors, bias, folded
from hsjax.runtime.graph import Graph, closed, opened
from hsjax.types import UserError

# Outputs have the scale of the inputs: these operators move levels and do not compute with them.
_MOVES = {
    "RESHAPE", "PAD", "SLICE", "STRIDED_SLICE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "MAX_POOL_2D", "AVERAGE_POOL_2D",
    "CONCATENATION",
}  # fmt: skip

# TFLite's specification of quantisation prescribes the outputs' scale.
_PRESCRIBED = {
    "LOGISTIC": {8: Grid(1 / 256, -128), 16: Grid(1 / 32768, 0, 16)},
    "TANH": {8: Grid(1 / 128, 0), 16: Grid(1 / 32768, 0, 16)},
}

_WEIGHTED = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""And the axis of the output channels in their weights."""

_COMPUTE = {"ADD", "MUL", "MEAN", "LEAKY_RELU", "HARD_SWISH", *_WEIGHTED, *_PRESCRIBED}

_EIGHT_ONLY = {"HARD_SWISH"}
"""Have no int16 kernel in LiteRT."""

# Versions that TFLite gives to operators on int8 and on int16 (tensorflow/lite/tools/versioning/op_version.cc).
_VERSIONS = {
    "CONV_2D": (3, 4), "DEPTHWISE_CONV_2D": (3, 5), "FULLY_CONNECTED": (5, 7), "ADD": (2, 4), "MUL": (2, 4),
    "MEAN": (2, 3), "LEAKY_RELU": (2, 2), "HARD_SWISH": (1, 1), "LOGISTIC": (2, 3), "TANH": (2, 3), "PAD": (2, 3),
    "SLICE": (2, 4), "TRANSPOSE": (2, 4), "MAX_POOL_2D": (2, 3), "AVERAGE_POOL_2D": (2, 3), "CONCATENATION": (2, 3),
    "STRIDED_SLICE": (2, 4), "RESHAPE": (1, 1), "QUANTIZE": (2, 3), "DEQUANTIZE": (2, 3),
}  # fmt: skip
_OF_FOUR_BIT_WEIGHTS = {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 10}


class _Node:
    """An operator of the float graph."""

    def __init__(self, graph: Graph, operator: Any):
        self.name, self.operator, self.gain = graph.name(operator), operator, 1.0
        self.inputs = [int(tensor) for tensor in operator.inputs]
        self.sources = [tensor for tensor in self.inputs if tensor >= 0 and not _is_constant(graph, tensor)]
        (output,) = operator.outputs
        self.output = int(output)

    def factor(self, graph: Graph) -> float:
        """Of a product the only constant, if it is one number; 0 if it is not."""
        values = [graph.constant(tensor) for tensor in self.inputs if tensor not in self.sources]
        return float(values[0].item()) if len(values) == 1 and values[0] is not None and values[0].size == 1 else 0.0


def _is_constant(graph: Graph, tensor: int) -> bool:
    data = graph.model.buffers[graph.subgraph.tensors[tensor].buffer].data
    return data is not None and len(data) > 0


def integers(
    model: bytes, source: Grid, observed: Sequence[Grid], kernels: Sequence[Kernel], float_ends: bool = False
) -> bytes:
    """The integer model.

    Args:
      model: content of a float32 TFLite file with one input and, as outputs, first what is to be the output and then
        every observed activation.
      source: of the input.
      observed: of each output; where one tensor has several, it is rounded to one after the other.
      kernels: of all layers: weights are recognised by their values, and where several fit by their order.
      float_ends: whether input and output are float32, and QUANTIZE and DEQUANTIZE are in the file.

    Returns:
      Content of the file.

    Raises:
      UserError: the graph has an operator that this cannot write, or an activation without a grid.
      ValueError: weights that are no kernel's.
    """
    graph = opened(model)
    tensors = graph.subgraph
    grids: dict[int, list[Grid]] = {int(tensors.inputs[0]): [source]}
    for tensor, grid in zip(tensors.outputs, observed, strict=True):
        grids.setdefault(int(tensor), []).append(grid)
    nodes = _means(graph, [_Node(graph, operator) for operator in tensors.operators])
    _spread(graph, nodes, grids)
    return closed(_Writer(graph, grids, kernels).write(nodes, float_ends))


def _means(graph: Graph, nodes: list[_Node]) -> list[_Node]:
    """SUM and MUL by one over the number of summands, as which TensorFlow's converter writes a mean, as MEAN.

    It may fold that factor into the weights that follow, too; then they are for the sum.
    """
    kept = []
    for node in nodes:
        kept.append(node)
        if node.name != "SUM":
            continue
        shapes = (graph.subgraph.tensors[tensor].shape for tensor in (node.inputs[0], node.output))
        whole, left = (int(np.prod(shape)) for shape in shapes)
        users = [user for user in nodes if node.output in user.inputs]
        products = [user for user in users if user.name == "MUL" and np.isclose(user.factor(graph) * whole / left, 1)]
        others = [user for user in users if user not in products]
        if len(products) == 1 and all(user.name in _WEIGHTED for user in others):
            for user in others:
                user.inputs[0] = user.sources[0] = products[0].output
                user.gain = whole / left
            node.name, node.output = "MEAN", products[0].output
            nodes = [user for user in nodes if user is not products[0]]
    return [node for node in kept if node in nodes]


def _spread(graph: Graph, nodes: list[_Node], grids: dict[int, list[Grid]]) -> None:
    """Gives grids to what was not observed, where they follow from others.

    Raises:
      UserError: an operator that cannot be written, or a tensor whose grid follows from nothing.
    """
    unknown = sorted({node.name for node in nodes} - _MOVES - _COMPUTE)
    if unknown:
        raise UserError(
            f"trained ranges cannot be written for {', '.join(unknown)}: export this network with calibration instead"
        )
    before = -1
    while before != len(grids):
        before = len(grids)
        for node in nodes:
            known = [grids[tensor][-1] for tensor in node.sources if tensor in grids]
            if node.output in grids or len(known) < len(node.sources):
                continue
            if node.name in _PRESCRIBED:
                grids[node.output] = [_PRESCRIBED[node.name][known[0].bits]]
            elif node.name in _MOVES and len(set(known)) == 1:
                grids[node.output] = [known[0]]
        for node in reversed(nodes):
            missing = [tensor for tensor in node.sources if tensor not in grids]
            if not missing or node.output not in grids:
                continue
            grid = grids[node.output][0]
            if node.name in _MOVES:
                grids.update({tensor: [grid] for tensor in missing})
            elif node.name == "MUL" and node.factor(graph) > 0:  # levels stay what they are
                scale = float(np.float32(grid.scale / node.factor(graph)))
                grids[missing[0]] = [Grid(scale, grid.zero_point, grid.bits)]
    missing = sorted({node.name for node in nodes if node.output not in grids})
    if missing:
        raise UserError(
            f"the quantiser saw no range for what {', '.join(missing)} compute: export this network with calibration "
            "instead"
        )


class _Writer:
    """Writes the operators in order; remembers on which grids each tensor of the float graph exists by now."""

    def __init__(self, graph: Graph, grids: dict[int, list[Grid]], kernels: Sequence[Kernel]):
        self._tensors, self._grids, self._kernels = Tensors(graph), grids, kernels
        self._used: set[int] = set()
        self._versions: dict[tuple[int, Grid], int] = {}

    def write(self, nodes: list[_Node], float_ends: bool) -> Graph:
        """All operators, the ends and the model."""
        tensors = self._tensors
        source, target = tensors.source, tensors.target
        first, last = self._grids[source][-1], self._grids[target][-1]
        if float_ends:
            given = tensors.real(source)
            self._versions[source, first] = end = tensors.on_grid(source, first)
            tensors.operator("QUANTIZE", _VERSIONS["QUANTIZE"][first.bits == 16], [given], end)
        else:
            self._versions[source, first] = given = tensors.on_grid(source, first)
        for node in nodes:
            self._operator(node)
        result = self._versions[target, last]
        if float_ends:
            levels, result = result, tensors.real(target)
            tensors.operator("DEQUANTIZE", _VERSIONS["DEQUANTIZE"][last.bits == 16], [levels], result)
        return tensors.finished(given, result)

    def _operator(self, node: _Node) -> None:
        """One operator, and the rounding to further grids of its output."""
        first, *others = self._grids[node.output]
        ends = [self._grids[tensor][-1] for tensor in node.sources]
        if node.name in _MOVES:
            grid = first if node.name == "CONCATENATION" else ends[0]
            ends, result = [grid] * len(ends), grid
        else:
            wide = any(grid.bits == 16 for grid in (first, *ends))
            if wide and node.name in _EIGHT_ONLY:
                raise UserError(f"{node.name} cannot have activations of 16 bits: give those before and after it 8")
            ends, result = ([grid.wide() for grid in ends], first.spanned()) if wide else (ends, first)
        inputs = {tensor: self._on(tensor, grid) for tensor, grid in zip(node.sources, ends, strict=True)}
        version = _VERSIONS.get(node.name, (1, 1))[result.bits == 16]
        if node.name in _WEIGHTED:
            _, kernel, *rest = node.inputs
            inputs[kernel], inputs[rest[0] if rest else -1], four = self._weights(node, ends[0], kernel, rest)
            version = _OF_FOUR_BIT_WEIGHTS[node.name] if four else version
        for tensor in node.inputs:
            if tensor not in inputs:
                inputs[tensor] = self._tensors.constant(tensor, result.bits)
        output = self._tensors.on_grid(node.output, result)
        self._tensors.operator(node.name, version, [inputs[tensor] for tensor in node.inputs], output, node.operator)
        self._versions[node.output, result] = output
        for before, grid in itertools.pairwise((result, first, *others)):
            self._rescale(node.output, before, grid)

    def _on(self, tensor: int, grid: Grid) -> int:
        """The number of a tensor on a grid; it is rounded from the last on which it was observed."""
        return self._rescale(tensor, self._grids[tensor][-1], grid)

    def _rescale(self, tensor: int, before: Grid, grid: Grid) -> int:
        if (tensor, grid) not in self._versions:
            self._versions[tensor, grid] = result = self._tensors.on_grid(tensor, grid)
            version = _VERSIONS["QUANTIZE"][16 in (before.bits, grid.bits)]
            self._tensors.operator("QUANTIZE", version, [self._versions[tensor, before]], result)
        return self._versions[tensor, grid]

    def _weights(self, node: _Node, grid: Grid, kernel: int, rest: list[int]) -> tuple[int, int, bool]:
        """Numbers of the new weights and bias, and whether the weights have 4 bits."""
        tensors, axis = self._tensors, _WEIGHTED[node.name]
        real = tensors.values(rest[0]) if rest and rest[0] >= 0 else None
        weights = folded(tensors.values(kernel) * np.float32(node.gain), axis, self._kernels, self._used)
        self._used.add(weights.kernel)
        weights, levels = bias(weights, real, grid)
        scale = np.float32(grid.scale) * weights.scale
        return (
            tensors.levels(kernel, weights.levels, weights.scale, axis, f"int{weights.bits}"),
            -1 if levels is None else tensors.levels(rest[0], levels, scale, 0, str(levels.dtype)),
            weights.bits == 4,
        )
