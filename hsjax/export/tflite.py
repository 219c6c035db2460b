"""JAX functions to TFLite: traced with a fixed batch of 1, lowered by TensorFlow's converter to builtin operators."""

import contextlib
import os
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from hsjax.export.means import with_means
from hsjax.export.required import required
from hsjax.runtime import graph, quiet
from hsjax.types import UserError

Function = Callable[[Array], Array]

_SCOPE = b"jit(model)/"
"""Of the function that `Traced` gives to JAX."""


class Traced:
    """A function as TensorFlow's converter takes it: traced once for all forms of its file. Forms are bytes."""

    def __init__(self, function: Function, input_shape: tuple[int, ...]):
        """Traces it.

        Args:
          function: pure, of one float32 array; without loops, which become WHILE.
          input_shape: of that array, with a batch of 1 in front.

        Raises:
          UserError: TensorFlow is not installed.
        """

        def model(inputs: Array) -> Any:  # its name ends up in the names of tensors, see _SCOPE
            return function(inputs)

        self._shape = input_shape
        with _tensorflow() as tensorflow:
            from jax.experimental import jax2tf

            # For the CPU, on whatever this runs: accelerators lower to calls of their own libraries.
            converted = jax2tf.convert(model, with_gradient=False, native_serialization_platforms=("cpu",))
            signature = [tensorflow.TensorSpec(input_shape, tensorflow.float32, name="input")]
            self._graph = tensorflow.function(converted, input_signature=signature, autograph=False)
            self._concrete = self._graph.get_concrete_function()

    def float32(self) -> bytes:
        """As it is."""
        return self._convert(lambda tensorflow, converter: None)

    def float16(self) -> bytes:
        """Weights in half precision, for half the size; computed in float32 wherever there is nothing faster."""

        def configure(tensorflow: types.ModuleType, converter: Any) -> None:
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tensorflow.float16]

        return self._convert(configure)

    def dynamic(self) -> bytes:
        """Weights (of 1024 values or more) in int8, activations float32, whose ranges the device finds as it goes."""

        def configure(tensorflow: types.ModuleType, converter: Any) -> None:
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]

        return self._convert(configure)

    def int8(self, calibration: Float[np.ndarray, "n ..."]) -> bytes:
        """Full int8: weights (one scale per channel), activations, input and output.

        Post-training quantisation as in Jacob et al. 2018, https://arxiv.org/abs/1712.05877.

        Args:
          calibration: typical inputs without the batch, `(n, *input_shape[1:])`, from training data; the ranges of all
            activations come from them.

        Raises:
          ValueError: no calibration inputs, or not finite ones, or of another shape.
        """
        return self._integers("TFLITE_BUILTINS_INT8", "int8", calibration)

    def int16(self, calibration: Float[np.ndarray, "n ..."]) -> bytes:
        """Weights int8, activations, input and output int16: twice the memory at work for 256 times the steps.

        Args:
          calibration: as for `int8`.

        Raises:
          UserError: TFLite has no such kernel for an operator of the network.
          ValueError: as `int8`.
        """
        try:
            return self._integers("EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8", "int16", calibration)
        except RuntimeError as error:
            if "not yet supported" not in str(error):
                raise
            raise UserError(
                f"TFLite says: {str(error).strip().splitlines()[0]} Leave tflite-int16 out of the variants to export"
            ) from error

    def _integers(self, operators: str, ends: str, calibration: Float[np.ndarray, "n ..."]) -> bytes:
        shape = self._shape[1:]
        if not len(calibration) or calibration.shape[1:] != shape or not np.isfinite(calibration).all():
            raise ValueError(f"want finite calibration inputs (n, *{shape}), n > 0, got {calibration.shape}")
        examples = calibration.astype(np.float32, copy=False)

        def configure(tensorflow: types.ModuleType, converter: Any) -> None:
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([example[None]] for example in examples)
            converter.target_spec.supported_ops = [getattr(tensorflow.lite.OpsSet, operators)]
            converter.inference_input_type = converter.inference_output_type = getattr(tensorflow, ends)

        return with_means(self._convert(configure))

    def _convert(self, configure: Callable[[types.ModuleType, Any], None]) -> bytes:
        with _tensorflow() as tensorflow:
            converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([self._concrete], self._graph)
            converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS]
            configure(tensorflow, converter)
            return _without_scope(converter.convert())


def _without_scope(model: bytes) -> bytes:
    """The same file with shorter names of tensors: what all have in common took 320 bytes of Song's student."""
    opened = graph.opened(model)
    for tensor in (tensor for subgraph in opened.model.subgraphs for tensor in subgraph.tensors):
        tensor.name = tensor.name.replace(_SCOPE, b"")
    return graph.closed(opened)


def float32(function: Function, input_shape: tuple[int, ...]) -> bytes:
    """A function as a float32 file: see `Traced`."""
    return Traced(function, input_shape).float32()


def int8(function: Function, input_shape: tuple[int, ...], calibration: Float[np.ndarray, "n ..."]) -> bytes:
    """A function as an int8 file: see `Traced`."""
    return Traced(function, input_shape).int8(calibration)


@contextlib.contextmanager
def _tensorflow() -> Iterator[types.ModuleType]:
    """TensorFlow, imported without its banner; what it and its converter print is shown only if the body raises."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet.native_stderr(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="tensorflow")
        yield required("tensorflow", "tensorflow-cpu")
