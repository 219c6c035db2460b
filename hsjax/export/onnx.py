"""TFLite to ONNX with a free batch.

JAX reaches ONNX by way of TFLite: its graphs hold only operators that tf2onnx knows, unlike what jax2tf produces.
"""

import pathlib
import tempfile
import types
import warnings
from typing import Any

import numpy as np

from hsjax.export.required import required
from hsjax.runtime import graph as tflite_graph
from hsjax.runtime import quiet
from hsjax.runtime.graph import Graph
from hsjax.types import UserError

OPSET = 17
"""Of the operators; ONNX Runtime 1.12 and later have it."""

_BATCH = "batch"


def opened(path: pathlib.Path) -> Any:
    """The model in an ONNX file, without anything that it asks for outside of it.

    Raises:
      UserError: the file is damaged, or onnx is not installed.
    """
    onnx, message = required("onnx"), required("google.protobuf.message", "protobuf")
    try:
        return onnx.load(path, load_external_data=False)
    except message.DecodeError as error:
        raise UserError(f"{path} is not an ONNX file, or a damaged one: export it again") from error


def from_tflite(model: bytes) -> bytes:
    """A float32 TFLite model with a batch of 1 as an ONNX model for any batch.

    Args:
      model: content of a `.tflite` file whose first axis is the batch throughout.

    Returns:
      Content of the `.onnx` file, checked by `onnx.checker`.

    Raises:
      UserError: tf2onnx or onnx is not installed.
    """
    onnx = required("onnx")
    with tempfile.TemporaryDirectory() as folder, quiet.native_stderr(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"tensorflow|tf2onnx")
        tf2onnx = required("tf2onnx")
        path = pathlib.Path(folder, "model.tflite")
        path.write_bytes(flatten_before_products(model))
        converted, _ = tf2onnx.convert.from_tflite(str(path), opset=OPSET)
    free_batch(onnx, converted)
    rename(converted)
    onnx.checker.check_model(converted, full_check=True)
    return converted.SerializeToString()


def flatten_before_products(model: bytes) -> bytes:
    """A TFLite model in which whatever flattens its own input, a matrix product of maps, has a RESHAPE before it.

    tf2onnx (1.17) forgets the bias of such a product.
    """
    graph = tflite_graph.opened(model)
    tensors, operators = graph.subgraph.tensors, []
    for operator in graph.subgraph.operators:
        if graph.name(operator) == "FULLY_CONNECTED" and not operator.builtinOptions.keepNumDims:
            source, weights, *bias = map(int, operator.inputs)
            if len(tensors[source].shape) != 2:
                operators.append(_reshape(graph, source, int(tensors[weights].shape[1])))
                operator.inputs = [*operators[-1].outputs, weights, *bias]
        operators.append(operator)
    if len(operators) == len(graph.subgraph.operators):
        return model
    graph.subgraph.operators = operators
    return tflite_graph.closed(graph)


def _reshape(graph: Graph, source: int, dims: int) -> Any:
    """An operator that makes a tensor one of rows of `dims` values; it and its output are new to the model."""
    schema, tensors = graph.schema, graph.subgraph.tensors
    tensor = tensors[source]
    shape = [int(np.prod(tensor.shape)) // dims, dims]
    tensors.append(schema.TensorT(shape, tensor.type, name=tensor.name + b"/flat"))
    return schema.OperatorT(
        graph.code("RESHAPE"), [source], [len(tensors) - 1],
        schema.BuiltinOptions.ReshapeOptions, schema.ReshapeOptionsT(shape),
    )  # fmt: skip


def free_batch(onnx: types.ModuleType, model: Any) -> None:
    """Takes the batch of 1 out of inputs, outputs and the constants that repeat it.

    The batch is the first axis, so the first size of every reshape follows from the others, even where frames have
    been merged into it. Slices that end at 1 on the first axis end there because the batch does.
    """
    graph = model.graph
    for end in (*graph.input, *graph.output):
        end.type.tensor_type.shape.dim[0].dim_param = _BATCH
    del graph.value_info[:]  # shapes inferred for a batch of 1
    constants = {constant.name: onnx.numpy_helper.to_array(constant) for constant in graph.initializer}
    for node in graph.node:
        if node.op_type == "Reshape":
            _replace(onnx, graph, node, 1, _free_first_size(constants[node.input[1]]))
        elif node.op_type == "Slice":
            ends, axes = constants[node.input[2]], _axes(node, constants)
            to_the_end = np.where((axes == 0) & (ends == 1), np.iinfo(ends.dtype).max, ends)
            _replace(onnx, graph, node, 2, to_the_end.astype(ends.dtype))


def _free_first_size(shape: np.ndarray) -> np.ndarray:
    if -1 in shape[1:]:
        raise ValueError(f"a reshape to {shape.tolist()} leaves no size free for the batch")
    return np.concatenate([[-1], shape[1:]]).astype(np.int64)


def _axes(node: Any, constants: dict[str, np.ndarray]) -> np.ndarray:
    """Axes of a Slice, which may leave them out to mean all."""
    given = len(node.input) > 3 and node.input[3]
    return constants[node.input[3]] if given else np.arange(len(constants[node.input[2]]))


def _replace(onnx: types.ModuleType, graph: Any, node: Any, position: int, value: np.ndarray) -> None:
    """Gives one input of a node a constant of its own: constants may be shared with other nodes."""
    name = f"{node.name}__{node.input[position]}__free_batch"
    graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    node.input[position] = name


def rename(model: Any) -> None:
    """Names all values after their place in the graph and drops constants that nothing uses.

    tf2onnx numbers names as Python's randomly seeded sets happen to be ordered: without this, two exports of one model
    are different files.
    """
    graph = model.graph
    names = {end.name: name for end, name in ((graph.input[0], "input"), (graph.output[0], "output"))}
    constants = {constant.name: constant for constant in graph.initializer}
    used = []
    for position, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{position}"
        for value in node.input:
            if value in constants and value not in names:
                names[value] = f"constant_{len(used)}"
                used.append(constants[value])
        for index, value in enumerate(node.output):
            names.setdefault(value, f"{node.name}:{index}")
        node.input[:] = [names.get(value, value) for value in node.input]  # an optional input is named ""
        node.output[:] = [names[value] for value in node.output]
    for constant in used:
        constant.name = names[constant.name]
    for end in (graph.input[0], graph.output[0]):
        end.name = names[end.name]
    del graph.initializer[:]
    graph.initializer.extend(used)
