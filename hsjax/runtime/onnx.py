"""ONNX files in ONNX Runtime, on the CPU."""

import pathlib
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from hsjax.runtime.session import Session
from hsjax.types import UserError

_ERRORS_ONLY = 3
_FLOAT = "tensor(float)"


class _End(NamedTuple):
    """An input or output."""

    name: str
    type: str
    shape: list[int | None]


class ONNXSession(Session):
    """An `.onnx` file."""

    def __init__(self, path: pathlib.Path, threads: int, onnxruntime: types.ModuleType):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"],
                enable_fallback=False,  # to the same provider once more, with a message on standard output
            )  # fmt: skip
            inputs, outputs = ([_End(end.name, end.type, _shape(end)) for end in ends]
                               for ends in (session.get_inputs(), session.get_outputs()))  # fmt: skip
        except Exception as error:  # its errors share no base class of their own
            raise _refusal(path, error) from error
        if len(inputs) != 1 or len(outputs) != 1:
            raise UserError(f"{path} has {len(inputs)} inputs and {len(outputs)} outputs; only one of each is run")
        if inputs[0].type != _FLOAT or outputs[0].type != _FLOAT:
            raise UserError(f"{path} maps {inputs[0].type} to {outputs[0].type}; only float32 is run")
        self._session = session
        self._input, self._output = inputs[0].name, outputs[0].name
        super().__init__(path, inputs[0].shape, outputs[0].shape, np.dtype(np.float32))

    def _run(self, batch: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
        try:
            return self._session.run([self._output], {self._input: batch})[0]
        except Exception as error:  # as above
            raise _refusal(self.path, error) from error

    def bind(self, batch: Float[np.ndarray, "n ..."]) -> Callable[[], None]:
        """As in Session."""
        binding = self._session.io_binding()
        binding.bind_cpu_input(self._input, batch)
        binding.bind_output(self._output)
        return lambda: self._session.run_with_iobinding(binding)


def _refusal(path: pathlib.Path, error: Exception) -> UserError:
    """What ONNX Runtime objects to in a file."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return UserError(f"{path} cannot be run by ONNX Runtime, export it again: {reason}")


def _shape(end: Any) -> list[int | None]:
    """Shape of an input or output. A free size has a name there instead of a number."""
    return [size if isinstance(size, int) else None for size in end.shape]
