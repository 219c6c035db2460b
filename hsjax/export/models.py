"""All files of one trained network, each with its sidecar."""

import pathlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Array, Float

from hsjax.export import onnx, tflite
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
) -> list[pathlib.Path]:
    """Writes a network as TFLite float32 and int8 and as ONNX, from features and, where it makes sense, from samples.

    Args:
      folder: of the files, made if need be; the same files in it are replaced.
      network: pure, features (1, *feature_shape) to logits (1, classes), in the plain form of its layers.
      front_end: pure, samples (1, window) to features (1, *feature_shape).
      feature_shape: of one example.
      calibration: features of training examples, `(n, *feature_shape)`, for the int8 file.
      description: what the sidecars say of all files; its `window` is the one that `front_end` takes.

    Returns:
      The models; the front end of those that take features is `folder / FRONT_END`.

    Raises:
      UserError: TensorFlow, tf2onnx or onnx is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples_shape, features_shape = (1, description.window), (1, *feature_shape)
    from_samples = tflite.float32(lambda samples: network(front_end(samples)), samples_shape)
    from_features = tflite.float32(network, features_shape)
    models = {
        (Variant.TFLITE_FLOAT32, Input.FEATURES): from_features,
        (Variant.TFLITE_INT8, Input.FEATURES): tflite.int8(network, features_shape, calibration),
        (Variant.TFLITE_FLOAT32, Input.SAMPLES): from_samples,
        (Variant.ONNX_FLOAT32, Input.FEATURES): onnx.from_tflite(from_features),
        (Variant.ONNX_FLOAT32, Input.SAMPLES): onnx.from_tflite(from_samples),
    }
    front_end_path = folder / FRONT_END
    files.write_atomically(front_end_path, tflite.float32(front_end, samples_shape))
    return [
        _write(folder, variant, input, content, front_end_path, description)
        for (variant, input), content in models.items()
    ]


def _write(
    folder: pathlib.Path,
    variant: Variant,
    input: Input,
    content: bytes,
    front_end: pathlib.Path,
    description: Description,
) -> pathlib.Path:
    path = folder / file_name(variant, input)
    files.write_atomically(path, content)
    needed = front_end if input is Input.FEATURES else None
    sidecar.write(folder, sidecar.describe(description, path, variant, input, needed))
    return path


def file_name(variant: Variant, input: Input) -> str:
    """Name of an exported model in its stage's folder."""
    return f"{variant}-{input}.{variant.partition('-')[0]}"
