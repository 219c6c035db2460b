"""What happens inside of a file: the values that its operators put out, example by example."""

import pathlib
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from hsjax.runtime import quiet
from hsjax.runtime.litert import OBJECTIONS, Quantisation, refusal
from hsjax.runtime.session import library
from hsjax.types import UserError

# They put out what they take in, in other numbers.
_SAME = {"QUANTIZE", "DEQUANTIZE"}


class Value(NamedTuple):
    """What one operator puts out.

    Attributes:
      name: of the tensor.
      operator: that makes it; empty for the input of the file.
      real: float64, the real numbers that integers stand for.
    """

    name: str
    operator: str
    real: np.ndarray


def tflite(path: pathlib.Path, inputs: Float[np.ndarray, "n ..."]) -> Iterator[list[Value]]:
    """Of each example the input of a TFLite file as it arrives there, and what its operators make, in their order.

    Args:
      path: the file.
      inputs: examples; integers of the file are made here.

    Raises:
      UserError: LiteRT cannot run the file.
    """
    try:
        yield from _run(_interpreter(path), inputs)
    except OBJECTIONS as error:
        raise refusal(path, error) from error


def _interpreter(path: pathlib.Path) -> Any:
    with warnings.catch_warnings(), quiet.native_stderr():
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors")  # that is what it is for
        interpreter = library(path).Interpreter(
            model_path=str(path), num_threads=1, experimental_preserve_all_tensors=True
        )
        interpreter.allocate_tensors()
    return interpreter


def _run(interpreter: Any, inputs: Float[np.ndarray, "n ..."]) -> Iterator[list[Value]]:
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    (source,) = interpreter.get_input_details()
    made = {
        index: operator["op_name"]
        for operator in interpreter._get_ops_details()  # there is no public way to ask for their order
        if operator["op_name"] not in {"DELEGATE", *_SAME}
        for index in operator["outputs"]
    }
    quantisation = _quantisation(source)
    for example in inputs:
        given = quantisation.quantise(example[None]) if quantisation else example[None]
        interpreter.set_tensor(source["index"], given)
        interpreter.invoke()
        values = [Value("input", "", _real(source, given))]
        for index, operator in made.items():
            values.append(Value(details[index]["name"], operator, _real(details[index], interpreter.get_tensor(index))))
        yield values


def _quantisation(detail: dict) -> Quantisation | None:
    scale, zero_point = detail["quantization"]
    return Quantisation(float(scale), int(zero_point), detail["dtype"]) if scale else None


def _real(detail: dict, values: np.ndarray) -> np.ndarray:
    quantisation = _quantisation(detail)
    return (quantisation.dequantise(values) if quantisation else values).astype(np.float64)


def onnx(model: bytes, names: dict[str, str], inputs: Float[np.ndarray, "n ..."]) -> Iterator[list[Value]]:
    """Of each example the input of an ONNX model and some of its outputs, without any of ONNX Runtime's own changes.

    Args:
      model: content of a file whose one input takes float32.
      names: of outputs, and of the operators that make them.
      inputs: examples.

    Raises:
      UserError: ONNX Runtime cannot run it.
    """
    onnxruntime = library(pathlib.Path("model.onnx"))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], enable_fallback=False
        )
        source = session.get_inputs()[0].name
        for example in inputs:
            outputs = session.run(list(names), {source: example[None]})
            made = (Value(name, names[name], out.astype(np.float64)) for name, out in zip(names, outputs, strict=True))
            yield [Value("input", "", example[None].astype(np.float64)), *made]
    except Exception as error:  # its errors share no base class of their own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"ONNX Runtime cannot run the model: {reason}") from error
