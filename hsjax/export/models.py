"""All files of one trained network, each with its sidecar."""

import pathlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Array, Float

from hsjax.export import joined, onnx, onnx_forms, onnx_integers, tflite
from hsjax.runtime import Description, Input, Variant, files, sidecar

FRONT_END = "front-end-float32-samples.tflite"
"""Samples to features, for the files that take features: float32, because log power does not survive 8 bits."""

Function = Callable[[Array], Array]


def export(
    folder: pathlib.Path,
    *,
    network: Function,
    front_end: Function,
    feature_shape: tuple[int, ...],
    calibration: Float[np.ndarray, "n ..."],
    description: Description,
    variants: Iterable[Variant] = tuple(Variant),
    trained: Mapping[Variant, Callable[[], bytes]] = MappingProxyType({}),
) -> list[pathlib.Path]:
    """Writes a network in several forms, of each a file from features and one from samples.

    Args:
      folder: of the files, made if need be; the same files in it are replaced.
      network: pure, features (1, *feature_shape) to logits (1, classes), in the plain form of its layers.
      front_end: pure, samples (1, window) to features (1, *feature_shape).
      feature_shape: of one example.
      calibration: features of training examples, `(n, *feature_shape)`, for files that hold ranges of activations.
      description: what the sidecars say of all files; its `window` is the one that `front_end` takes.
      variants: the forms.
      trained: makers of files from features whose ranges were trained, see `trained_ranges.forms`; the ranges of all
        others are found by calibration.

    Returns:
      The models, in the order of the variants; the front end of those that take features is `folder / FRONT_END`.

    Raises:
      UserError: TensorFlow, tf2onnx, onnx or onnxruntime is not installed, or an operator of the network has no form
        that is asked for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    traced = tflite.Traced(network, (1, *feature_shape))
    makers = _tflite_forms(traced, calibration)
    samples = tflite.float32(front_end, (1, description.window))
    front_ends = {"tflite": samples}
    chosen = tuple(variants)
    if any(variant.runtime == "onnx" for variant in chosen):
        makers |= _onnx_forms(onnx.from_tflite(traced.float32()), calibration)
        front_ends["onnx"] = onnx.from_tflite(samples)
    makers |= trained
    front_end_path = folder / FRONT_END
    files.write_atomically(front_end_path, samples)
    paths = []
    for variant in chosen:
        content, before = makers[variant](), front_ends[variant.runtime]
        join = joined.tflite if variant.runtime == "tflite" else joined.onnx
        paths.append(_write(folder, variant, Input.FEATURES, content, front_end_path, description))
        paths.append(_write(folder, variant, Input.SAMPLES, join(before, content), None, description))
    return paths


def _tflite_forms(traced: tflite.Traced, calibration: Float[np.ndarray, "n ..."]) -> dict[Variant, Callable[[], bytes]]:
    return {
        Variant.TFLITE_FLOAT32: traced.float32,
        Variant.TFLITE_FLOAT16: traced.float16,
        Variant.TFLITE_DYNAMIC: traced.dynamic,
        Variant.TFLITE_INT8: lambda: traced.int8(calibration),
        Variant.TFLITE_INT16: lambda: traced.int16(calibration),
    }


def _onnx_forms(float32: bytes, calibration: Float[np.ndarray, "n ..."]) -> dict[Variant, Callable[[], bytes]]:
    return {
        Variant.ONNX_FLOAT32: lambda: float32,
        Variant.ONNX_FLOAT16: lambda: onnx_forms.float16(float32),
        Variant.ONNX_INT8_STATIC: lambda: onnx_forms.int8_static(float32, calibration),
        Variant.ONNX_INT8_DYNAMIC: lambda: onnx_forms.int8_dynamic(float32),
        Variant.ONNX_INT8_DYNAMIC_ALL: lambda: onnx_integers.int8_dynamic(float32),
        Variant.ONNX_INT8_WEIGHTS: lambda: onnx_integers.int8_weights(float32),
    }


def _write(
    folder: pathlib.Path,
    variant: Variant,
    input: Input,
    content: bytes,
    front_end: pathlib.Path | None,
    description: Description,
) -> pathlib.Path:
    path = folder / file_name(variant, input)
    files.write_atomically(path, content)
    sidecar.write(folder, sidecar.describe(description, path, variant, input, front_end))
    return path


def file_name(variant: Variant, input: Input) -> str:
    """Name of an exported model in its stage's folder."""
    return f"{variant}-{input}.{variant.runtime}"


def made_from(variant: Variant) -> tuple[Variant, ...]:
    """The float32 file that the layers of a form are those of, in other numbers; none for the first of all."""
    if variant is Variant.TFLITE_FLOAT32:
        return ()
    base = variant.runtime == "tflite" or variant is Variant.ONNX_FLOAT32
    return (Variant.TFLITE_FLOAT32 if base else Variant.ONNX_FLOAT32,)


def reference(folder: pathlib.Path, variant: Variant, input: Input) -> pathlib.Path | None:
    """Where that file lies; None where there is none."""
    return next((folder / file_name(other, input) for other in made_from(variant)), None)
