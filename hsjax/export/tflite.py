"""JAX functions to TFLite: traced with a fixed batch of 1, lowered by TensorFlow's converter to builtin operators."""

import contextlib
import importlib
import os
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from hsjax.runtime import quiet
from hsjax.types import UserError

Function = Callable[[Array], Array]


def float32(function: Function, input_shape: tuple[int, ...]) -> bytes:
    """A float32 TFLite model.

    Args:
      function: pure, of one float32 array; without loops, which become WHILE.
      input_shape: of that array, with a batch of 1 in front.

    Returns:
      Content of the file.

    Raises:
      UserError: TensorFlow is not installed.
    """
    with _tensorflow() as tensorflow:
        return _converter(tensorflow, function, input_shape).convert()


def int8(function: Function, input_shape: tuple[int, ...], calibration: Float[np.ndarray, "n ..."]) -> bytes:
    """A full int8 TFLite model: weights (one scale per channel), activations, input and output.

    Post-training quantisation as in Jacob et al. 2018, https://arxiv.org/abs/1712.05877.

    Args:
      function: as for `float32`.
      input_shape: as for `float32`.
      calibration: typical inputs without the batch, `(n, *input_shape[1:])`, from training data; the ranges of all
        activations come from them.

    Returns:
      Content of the file.

    Raises:
      UserError: TensorFlow is not installed.
      ValueError: no calibration inputs, or not finite ones, or of another shape.
    """
    if not len(calibration) or calibration.shape[1:] != input_shape[1:] or not np.isfinite(calibration).all():
        raise ValueError(f"want finite calibration inputs (n, *{input_shape[1:]}), n > 0, got {calibration.shape}")
    calibration = calibration.astype(np.float32, copy=False)
    with _tensorflow() as tensorflow:
        converter = _converter(tensorflow, function, input_shape)
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([example[None]] for example in calibration)
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tensorflow.int8
        return converter.convert()


def _converter(tensorflow: types.ModuleType, function: Function, input_shape: tuple[int, ...]) -> Any:
    from jax.experimental import jax2tf

    def model(inputs: Array) -> Array:  # its name ends up in the names of tensors, whatever `function` is called
        return function(inputs)

    # For the CPU, on whatever this runs: accelerators lower to calls of their own libraries.
    converted = jax2tf.convert(model, with_gradient=False, native_serialization_platforms=("cpu",))
    signature = [tensorflow.TensorSpec(input_shape, tensorflow.float32, name="input")]
    graph = tensorflow.function(converted, input_signature=signature, autograph=False)
    converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()], graph)
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS]
    return converter


@contextlib.contextmanager
def _tensorflow() -> Iterator[types.ModuleType]:
    """TensorFlow, imported without its banner; what it and its converter print is shown only if the body raises."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet.native_stderr(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="tensorflow")
        yield required("tensorflow", "tensorflow-cpu")


def required(module: str, package: str | None = None) -> types.ModuleType:
    """Imports what only export needs.

    Raises:
      UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f'{package or module} is not installed: pip install "hsjax[export]"') from error
