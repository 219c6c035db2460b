"""What a model file is made of: its operators with the shapes that go in and come out, as its runtime sees them."""

import json
import pathlib
import tempfile
from typing import Any, NamedTuple

import numpy as np

from hsjax.runtime import quiet
from hsjax.runtime.litert import OBJECTIONS, refusal
from hsjax.runtime.session import library, load
from hsjax.types import UserError

Shape = tuple[int, ...]

_RAN = "_kernel_time"
"""How ONNX Runtime ends the name of a node in its profile."""


class Operation(NamedTuple):
    """One operator of a graph, for a batch of 1.

    Attributes:
      name: of its first output (TFLite) or its own (ONNX); as the file has it.
      kind: `CONV_2D`, `Conv`: TFLite's or ONNX's name.
      inputs: shapes of what goes in, constants included; of an optional one that is left out None in TFLite, nothing in
        ONNX, where such come last.
      outputs: shapes of what comes out.
    """

    name: str
    kind: str
    inputs: tuple[Shape | None, ...]
    outputs: tuple[Shape, ...]


def operations(path: pathlib.Path) -> list[Operation]:
    """The operators of a file in their order, none of them fused or left out by the runtime.

    A TFLite file is loaded, of an ONNX file one example of zeros is run: its graph does not say all shapes. Of a file
    with several graphs (loops, conditions) it is the main one.

    Args:
      path: a `.tflite` or `.onnx` file.

    Raises:
      UserError: as `load`.
    """
    return _onnx(path) if path.suffix == ".onnx" else _tflite(path)


def _tflite(path: pathlib.Path) -> list[Operation]:
    litert = library(path)
    try:
        with quiet.native_stderr():
            plain = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            interpreter: Any = litert.Interpreter(model_path=str(path), experimental_op_resolver_type=plain)
            interpreter.allocate_tensors()
    except OBJECTIONS as error:
        raise refusal(path, error) from error
    tensors = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    shapes = {index: tuple(detail["shape"].tolist()) for index, detail in tensors.items()}
    return [
        Operation(
            next((tensors[index]["name"] for index in operator["outputs"] if index in tensors), ""),
            operator["op_name"],
            tuple(shapes.get(index) for index in operator["inputs"]),
            tuple(shapes[index] for index in operator["outputs"] if index in shapes),
        )
        for operator in interpreter._get_ops_details()  # there is no public way to ask for them
    ]


def _onnx(path: pathlib.Path) -> list[Operation]:
    session = load(path)  # which says in our words what is wrong with a file
    onnxruntime = library(path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")  # packed weights are in no profile
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(pathlib.Path(folder, "profile"))
        try:
            bare = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], enable_fallback=False
            )
            bare.run(None, {bare.get_inputs()[0].name: np.zeros((1, *session.input_shape), np.float32)})
            events = json.loads(pathlib.Path(bare.end_profiling()).read_text())
        except Exception as error:  # its errors share no base class of their own
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(f"{path} cannot be run by ONNX Runtime, export it again: {reason}") from error
    return [
        Operation(
            event["name"].removesuffix(_RAN),
            event["args"]["op_name"],
            _shapes(event["args"]["input_type_shape"]),
            _shapes(event["args"]["output_type_shape"]),
        )
        for event in events
        if event["cat"] == "Node" and event["name"].endswith(_RAN)
    ]


def _shapes(ends: list[dict[str, list[int]]]) -> tuple[Shape, ...]:
    """Of `[{"float": [1, 2]}]`."""
    return tuple(tuple(shape) for end in ends for shape in end.values())
