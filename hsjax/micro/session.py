"""TFLite files in TFLite Micro's own interpreter, as a microcontroller runs them, and the memory they take there.

David et al., "TensorFlow Lite Micro: Embedded Machine Learning for TinyML Systems", MLSys 2021.
"""

import contextlib
import dataclasses
import importlib
import os
import pathlib
import re
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int8

from hsjax import runtime
from hsjax.runtime.litert import Quantisation
from hsjax.runtime.micro_operators import lacking
from hsjax.runtime.session import Session
from hsjax.types import UserError

# More than any model takes that fits a microcontroller; only what is used of it counts.
_ARENA_BYTES = 2**24

_ALLOCATED = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


@dataclasses.dataclass(frozen=True)
class Arena:
    """The memory of TFLite Micro's interpreter, bytes, as its recording allocator counts it on this machine.

    Attributes:
      total: the smallest arena in which the model runs.
      activations: the part that layers use in turns; the same on every processor.
      persistent: the part that describes tensors and operators. It holds pointers, of 8 bytes here: with pointers of 4,
        on a microcontroller, it is smaller.
    """

    total: int
    activations: int
    persistent: int


class MicroSession(Session):
    """A `.tflite` file in TFLite Micro.

    int8 convolutions and pools equal LiteRT's reference kernels bit for bit. The sums of dense layers are rounded twice
    on their way to int8 in TFLite Micro, as in gemmlowp, and once in LiteRT: one value in some thousands differs by a
    step.

    Attributes:
      input_quantisation: how the integers of its input stand for real numbers, None for float32.
      output_quantisation: likewise.
    """

    def __init__(self, path: pathlib.Path, arena_bytes: int = _ARENA_BYTES):
        """Loads a model.

        Args:
          path: the file.
          arena_bytes: what the interpreter may use; `arena` says how much it takes.

        Raises:
          UserError: no such file, a damaged one or one of another kind, operators that TFLite Micro lacks, several
            inputs or outputs, an arena that is too small, or a package is not installed.
        """
        if path.suffix != ".tflite":
            raise UserError(f"{path}: TFLite Micro runs .tflite files only")
        library = _library()
        runtime.load(path)  # TFLite Micro believes whatever a file says of itself, LiteRT checks it
        names = lacking(path.read_bytes())
        if names:
            raise UserError(
                f"{path} cannot be run by TFLite Micro, which lacks {', '.join(names)}: build the network without them"
            )
        said: Callable[[], str] = str
        try:
            with _native_stderr_text() as said:
                self._interpreter = library.Interpreter.from_file(str(path), arena_size=arena_bytes)
        except RuntimeError as error:
            why = " ".join(said().split()) or str(error)
            raise UserError(f"{path} cannot be run by TFLite Micro in {arena_bytes} bytes: {why}") from error
        source, target = self._interpreter.get_input_details(0), self._interpreter.get_output_details(0)
        self.input_quantisation = _quantisation(source, path)
        self.output_quantisation = _quantisation(target, path)
        super().__init__(path, source["shape"].tolist(), target["shape"].tolist(), np.dtype(source["dtype"]))

    def _run(self, batch: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
        self.bind(batch)()
        output = self._interpreter.get_output(0)
        return self.output_quantisation.dequantise(output) if self.output_quantisation else output

    def run_quantised(self, example: Int8[np.ndarray, "..."]) -> Int8[np.ndarray, "..."]:
        """The int8 output for one int8 example of `input_shape`, as the microcontroller sees both."""
        self._interpreter.set_input(example[None], 0)
        self._invoke()
        return self._interpreter.get_output(0)[0]

    def bind(self, batch: Float[np.ndarray, "n ..."]) -> Callable[[], None]:
        """As in Session."""
        self._interpreter.set_input(self.input_quantisation.quantise(batch) if self.input_quantisation else batch, 0)
        return self._invoke

    def _invoke(self) -> None:
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise UserError(f"{self.path} cannot be run by TFLite Micro: {error}") from error

    def arena(self) -> Arena:
        """The memory that the model takes, once it has run."""
        self.run(np.zeros((1, *self.input_shape), np.float32))
        with _native_stderr_text() as text:
            self._interpreter.print_allocations()
        found = {part: int(size) for part, size in _ALLOCATED.findall(text())}
        if found.keys() != {"total", "head", "tail"}:
            raise UserError("tflite-micro reports its memory in another way: install the version in constraints.txt")
        return Arena(found["total"], found["head"], found["tail"])


def _library() -> types.ModuleType:
    try:
        return importlib.import_module("tflite_micro").runtime
    except ImportError as error:
        raise UserError(
            'tflite-micro is not installed, which exists for Linux on x86-64: pip install "hsjax[micro]"'
        ) from error


def _quantisation(detail: dict[str, Any], path: pathlib.Path) -> Quantisation | None:
    dtype = np.dtype(detail["dtype"])
    if dtype == np.float32:
        return None
    parameters = detail["quantization_parameters"]
    if dtype not in (np.int8, np.int16) or len(parameters["scales"]) != 1:
        raise UserError(f"{path} has a {dtype} input or output; only float32, int8 and int16 are run")
    return Quantisation(float(parameters["scales"][0]), int(parameters["zero_points"][0]), dtype.type)


@contextlib.contextmanager
def _native_stderr_text() -> Iterator[Callable[[], str]]:
    """What is written to file descriptor 2 by any language, as a text once the body has ended."""
    if sys.stderr is not None:
        sys.stderr.flush()
    with tempfile.TemporaryFile() as log:
        held = ""
        saved = os.dup(2)
        try:
            os.dup2(log.fileno(), 2)
            yield lambda: held
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            log.seek(0)
            held = log.read().decode(errors="replace")
