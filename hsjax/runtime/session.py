"""One way to run an exported model, whichever runtime it is for: float32 batch in, float32 batch out."""

import abc
import enum
import importlib
import pathlib
import types
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from hsjax.runtime import files
from hsjax.types import UserError

# Module and package of the runtime, by the end of a file's name.
_LIBRARIES = {".tflite": ("ai_edge_litert.interpreter", "ai-edge-litert"), ".onnx": ("onnxruntime", "onnxruntime")}

# Examples at once through a model whose batch is free: bounds the memory a long recording takes.
_CHUNK = 32


class Kernels(enum.Enum):
    """Which implementation of the operators LiteRT uses. ONNX Runtime makes its own choice.

    VECTOR: the fast ones without Intel's AMX tiles (see `matrix_tiles`); where there is no AMX, the same as AUTO. The
      first model loaded in a process decides between VECTOR and AUTO for all that follow.
    AUTO: the fast ones, as LiteRT chooses them by itself.
    REFERENCE: the plain ones; equal to TFLite Micro bit for bit, and slow.
    """

    VECTOR = "vector"
    AUTO = "auto"
    REFERENCE = "reference"


class Session(abc.ABC):
    """A loaded model with one input and one output. Not for use by two threads at once.

    Attributes:
      path: the file.
      batch: how many examples the file takes at once: 1, or None for any number.
      input_shape: of one example.
      output_shape: of what one example gives.
      input_dtype: what the file itself takes, float32, int8 or int16; `run` takes float32 in any case.
    """

    def __init__(
        self,
        path: pathlib.Path,
        input_shape: Sequence[int | None],
        output_shape: Sequence[int | None],
        input_dtype: np.dtype,
    ):
        """From the shapes in the file, batch first, None for what is free."""
        self.path = path
        self.batch = input_shape[0] if input_shape else 0
        self.input_shape = tuple(size for size in input_shape[1:] if size is not None)
        self.output_shape = tuple(size for size in output_shape[1:] if size is not None)
        self.input_dtype = input_dtype
        fixed = len(self.input_shape) == len(input_shape) - 1 and len(self.output_shape) == len(output_shape) - 1
        if self.batch not in (1, None) or not fixed:
            raise UserError(
                f"{path} maps shape {tuple(input_shape)} to {tuple(output_shape)}; "
                "only a batch of 1 or a free one is run, and nothing else may be free"
            )

    def run(self, batch: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
        """The model's outputs.

        Args:
          batch: `(n, *input_shape)`, any n. The integers of a quantised file are converted here.

        Returns:
          float32, `(n, *output_shape)`.

        Raises:
          UserError: examples of another shape than the model's, or the runtime cannot run the file after all.
        """
        if batch.shape[1:] != self.input_shape:
            raise UserError(f"{self.path} takes examples of shape {self.input_shape}, not {batch.shape[1:]}")
        batch = np.ascontiguousarray(batch, np.float32)
        size = self.batch or _CHUNK
        outputs = [self._part(batch[start : start + size]) for start in range(0, len(batch), size)]
        return np.concatenate(outputs) if outputs else np.zeros((0, *self.output_shape), np.float32)

    def _part(self, batch: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
        outputs = self._run(batch)
        if outputs.shape != (len(batch), *self.output_shape):
            raise UserError(
                f"{self.path} puts out shape {outputs.shape} for {len(batch)} examples, against its own word"
            )
        return outputs

    @abc.abstractmethod
    def _run(self, batch: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
        """As `run`, for a batch that the file takes in one go."""

    def resized(self, batch: int) -> "Session | None":
        """The same file, which is for one example, for exactly so many at once; whether it computes the same is open.

        Returns:
          A session that runs whole batches only; None where the file cannot be resized: most have a 1 written into a
          shape somewhere.
        """
        return None

    @abc.abstractmethod
    def bind(self, batch: Float[np.ndarray, "n ..."]) -> Callable[[], None]:
        """Hands the input over once and returns what executes the model on it and nothing else, for timing."""


def library(path: pathlib.Path) -> types.ModuleType:
    """Imports the runtime that a file needs, as `load` does.

    Raises:
      UserError: it is not installed, or no runtime reads such a file.
    """
    if path.suffix not in _LIBRARIES:
        raise UserError(f"{path} is neither a .tflite nor an .onnx file")
    module, package = _LIBRARIES[path.suffix]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f'{package} is not installed: pip install "hsjax[runtime]"') from error


def load(path: pathlib.Path, threads: int = 1, kernels: Kernels = Kernels.VECTOR) -> Session:
    """Loads a `.tflite` or `.onnx` file.

    Args:
      path: the model.
      threads: how many the runtime may use.
      kernels: for LiteRT.

    Raises:
      UserError: no such file, another kind of file, a damaged one, one with several inputs or outputs, or its runtime
        is not installed.
    """
    if not files.is_file(path):
        raise UserError(f"there is no model {path}")
    if path.suffix == ".onnx":
        from hsjax.runtime.onnx import ONNXSession

        if kernels is Kernels.REFERENCE:
            raise UserError(f"{path}: reference kernels exist for .tflite files only")
        return ONNXSession(path, threads, library(path))
    from hsjax.runtime.litert import LiteRTSession

    return LiteRTSession(path, threads, kernels, library(path))
