"""TFLite files in LiteRT."""

import contextlib
import dataclasses
import pathlib
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hsjax.runtime import matrix_tiles, quiet
from hsjax.runtime.session import Kernels, Session
from hsjax.types import UserError

OBJECTIONS = (IndexError, OverflowError, RuntimeError, ValueError)
"""As which LiteRT's own errors, and what its C++ library throws, arrive in Python."""

CUSTOM = "CUSTOM"
"""First part of the name that `operators` gives to an operator that is not one of TFLite's own."""


@dataclasses.dataclass(frozen=True)
class Quantisation:
    """int8 or int16 for real numbers: `real = scale * (integer - zero_point)` (TFLite's quantisation specification).

    Attributes:
      scale: of one step.
      zero_point: the integer that stands for 0.
      dtype: of the integers.
    """

    scale: float
    zero_point: int
    dtype: type[np.integer] = np.int8

    def quantise(self, real: Float[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
        """The nearest integer, halves away from zero as in TFLite's own QUANTIZE, saturating at both ends."""
        with np.errstate(over="ignore"):  # beyond all numbers is beyond the last step, too
            steps = real / np.float32(self.scale)
        rounded = np.trunc(steps + np.copysign(np.float32(0.5), steps)) + np.float32(self.zero_point)
        ends = np.iinfo(self.dtype)
        return np.clip(rounded, ends.min, ends.max).astype(self.dtype)

    def dequantise(self, quantised: Int[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """The real numbers that the integers stand for, float32."""
        return np.float32(self.scale) * (quantised.astype(np.float32) - np.float32(self.zero_point))


class LiteRTSession(Session):
    """A `.tflite` file.

    Attributes:
      input_quantisation: how the integers of its input stand for real numbers, None for float32.
      output_quantisation: likewise.
    """

    def __init__(
        self, path: pathlib.Path, threads: int, kernels: Kernels, library: types.ModuleType, batch: int | None = None
    ):
        """Loads a file.

        Args:
          path: the file.
          threads: how many LiteRT may use.
          kernels: see there.
          library: LiteRT.
          batch: resizes the input of a file for one example; None leaves it.
        """
        self._loading = threads, kernels, library
        try:
            self._interpreter = _interpreter(path, threads, kernels, library, batch)
            source = _only(self._interpreter.get_input_details(), path, "inputs")
            target = _only(self._interpreter.get_output_details(), path, "outputs")
        except OBJECTIONS as error:
            raise refusal(path, error) from error
        self._input, self._output = source["index"], target["index"]
        self.input_quantisation = _quantisation(source, path)
        self.output_quantisation = _quantisation(target, path)
        inputs, outputs = source["shape"].tolist(), target["shape"].tolist()
        if batch is not None:
            if not inputs[:1] == outputs[:1] == [batch]:
                raise UserError(f"{path} cannot be resized to {batch} examples")
            inputs[0] = outputs[0] = 1
        super().__init__(path, inputs, outputs, np.dtype(source["dtype"]))
        self.batch = batch or self.batch

    def resized(self, batch: int) -> Session | None:
        """As in Session."""
        try:
            return LiteRTSession(self.path, *self._loading, batch)
        except UserError:  # this file was loaded before, so that it is the size that it does not take
            return None

    def _set(self, batch: Float[np.ndarray, "n ..."]) -> None:
        quantisation = self.input_quantisation
        self._interpreter.set_tensor(self._input, quantisation.quantise(batch) if quantisation else batch)

    def _run(self, batch: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
        try:
            self._set(batch)
            self._interpreter.invoke()
            output = self._interpreter.get_tensor(self._output)
        except OBJECTIONS as error:
            raise refusal(self.path, error) from error
        return self.output_quantisation.dequantise(output) if self.output_quantisation else output

    def bind(self, batch: Float[np.ndarray, "n ..."]) -> Callable[[], None]:
        """As in Session."""
        self._set(batch)
        return self._interpreter.invoke


def _interpreter(
    path: pathlib.Path, threads: int, kernels: Kernels, library: types.ModuleType, batch: int | None
) -> Any:
    resolvers = library.OpResolverType
    resolver = resolvers.BUILTIN_REF if kernels is Kernels.REFERENCE else resolvers.AUTO
    tiles = contextlib.nullcontext() if kernels is Kernels.AUTO else matrix_tiles.refused()
    with tiles, quiet.native_stderr():
        interpreter = library.Interpreter(
            model_path=str(path), num_threads=threads, experimental_op_resolver_type=resolver
        )
        if batch is not None:
            source = _only(interpreter.get_input_details(), path, "inputs")
            interpreter.resize_tensor_input(source["index"], [batch, *source["shape"][1:]])
        interpreter.allocate_tensors()
    return interpreter


def refusal(path: pathlib.Path, error: Exception) -> UserError:
    """What LiteRT objects to in a file, as an error that a user can read."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return UserError(f"{path} cannot be run by LiteRT, export it again: {reason}")


def _only(details: list[dict[str, Any]], path: pathlib.Path, what: str) -> dict[str, Any]:
    if len(details) != 1:
        raise UserError(f"{path} has {len(details)} {what}; only models with one input and one output are run")
    return details[0]


def _quantisation(detail: dict[str, Any], path: pathlib.Path) -> Quantisation | None:
    """How integers stand for real numbers, None for float32."""
    dtype = np.dtype(detail["dtype"])
    if dtype == np.float32:
        return None
    scale, zero_point = detail["quantization"]
    if dtype not in (np.int8, np.int16) or not 0 < scale < np.inf:
        raise UserError(f"{path} has a {dtype} input or output; only float32, int8 and int16 are run")
    return Quantisation(float(scale), int(zero_point), dtype.type)


def operators(model: bytes) -> tuple[str, ...]:
    """Names of the operators in a TFLite file, in order of execution, over all its subgraphs.

    Args:
      model: content of the file.

    Returns:
      TFLite's names (`CONV_2D`); `CUSTOM:name` for what is not builtin, TensorFlow's `Flex` operators included.

    Raises:
      UserError: the file is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    try:
        graph: Any = schema.ModelT.InitFromPackedBuf(model, 0)
        found = []
        for subgraph in graph.subgraphs:
            for operator in subgraph.operators:
                code = graph.operatorCodes[operator.opcodeIndex]
                # Codes up to 127 once lived in a byte that old files still use (schema.fbs, OperatorCode).
                name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
                found.append(f"{CUSTOM}:{code.customCode.decode()}" if name == CUSTOM else name)
    except Exception as error:  # the generated reader checks nothing: damage shows as any kind of error
        raise UserError("the model is not a TFLite file, or a damaged one: export it again") from error
    return tuple(found)
