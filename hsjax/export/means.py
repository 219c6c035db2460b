"""Means in files of integers.

TensorFlow's converter makes of a mean over axes a SUM and a product with one over their size, or it folds that into the
weights that follow. The int8 SUM of LiteRT's reference kernels, which are TFLite Micro's too, is wrong (ai-edge-litert
2.3: 8 dB of signal to noise where there should be 44), and to an int16 SUM the converter gives the range of a single
summand (1 dB). MEAN has neither fault.
"""

import math
from typing import Any

import numpy as np

from hsjax.runtime.graph import Graph, closed, opened

# How far a factor in int8 or int16 may be from one over the number of summands.
_TOLERANCE = 0.01

_MEAN_VERSION = {"INT8": 2, "INT16": 3}
"""tensorflow/lite/tools/versioning/op_version.cc"""


def with_means(model: bytes) -> bytes:
    """The same file with every SUM of integers as a MEAN on the same steps.

    Args:
      model: content of a TFLite file.
    """
    graph = opened(model)
    changed = [_as_mean(graph, one) for one in list(graph.subgraph.operators) if graph.name(one) == "SUM"]
    return closed(graph) if any(changed) else model


def _as_mean(graph: Graph, operator: Any) -> bool:
    source, target = int(operator.inputs[0]), int(operator.outputs[0])
    kinds = {getattr(graph.schema.TensorType, name): name for name in _MEAN_VERSION}
    tensors = graph.subgraph.tensors
    kind, users = kinds.get(tensors[target].type), graph.users(target)
    if kind is None or not users:
        return False
    count = math.prod(tensors[source].shape) / math.prod(tensors[target].shape)
    if len(users) == 1 and graph.name(users[0]) == "MUL" and _is_factor(graph, users[0], target, 1 / count):
        operator.outputs = users[0].outputs
        graph.subgraph.operators.remove(users[0])
    elif all(graph.name(user) == "FULLY_CONNECTED" and user.inputs[0] == target for user in users):
        _fold(graph, target, users, count, kind)
    else:
        return False
    operator.opcodeIndex = graph.code("MEAN", _MEAN_VERSION[kind])
    return True


def _fold(graph: Graph, target: int, users: list[Any], count: float, kind: str) -> None:
    """Makes a sum's tensor one of means: each weight of the products that follow counts for as many more."""
    tensors = graph.subgraph.tensors
    # The steps of int8 mean less each and keep their numbers; those of int16 fit a summand, so they fit a mean.
    less, biases = (count, 1.0) if kind == "INT8" else (1.0, count)
    _scale(tensors[target], 1 / less)
    tensors[target].name += b"/mean"  # it is not any more what has this name in the float file
    for weights in {int(user.inputs[1]) for user in users}:
        _scale(tensors[weights], count)
    for bias in {int(user.inputs[2]) for user in users if len(user.inputs) > 2 and user.inputs[2] >= 0}:
        _scale(tensors[bias], biases)
        buffer = graph.model.buffers[tensors[bias].buffer]
        steps = np.asarray(buffer.data, np.uint8).view(np.int32 if kind == "INT8" else np.int64)
        buffer.data = np.rint(steps / biases).astype(steps.dtype).view(np.uint8)


def _is_factor(graph: Graph, product: Any, operand: int, factor: float) -> bool:
    """Whether the other operand of a product is a constant of this value."""
    others = [int(index) for index in product.inputs if index != operand]
    values = graph.constant(others[0]) if others else None
    if values is None or values.size != 1:
        return False
    quantisation = graph.subgraph.tensors[others[0]].quantization
    value = (int(values.item()) - int(quantisation.zeroPoint[0])) * float(quantisation.scale[0])
    return math.isclose(value, factor, rel_tol=_TOLERANCE)


def _scale(tensor: Any, factor: float) -> None:
    quantisation = tensor.quantization
    quantisation.scale = (np.asarray(quantisation.scale, np.float64) * factor).astype(np.float32)
