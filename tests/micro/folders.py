"""An export folder as the export stage leaves it."""

import pathlib
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from hsjax import export, features
from hsjax.export import tflite
from hsjax.micro import front_end_file
from hsjax.micro.front_end_file import FrontEndFile
from hsjax.runtime import Aggregation, Description, Input, Variant, sidecar

RATE, WINDOW = 2000, 5000


class Exported(NamedTuple):
    """An export folder and what it was made of."""

    folder: pathlib.Path
    model: pathlib.Path
    front_end: features.FrontEnd
    state: features.FeatureState
    windows: np.ndarray  # int16
    features: np.ndarray  # of these, by JAX


def features_of(front_end, state, windows) -> np.ndarray:
    """What JAX makes of int16 windows."""
    return np.asarray(front_end.apply(state, jnp.asarray(windows / np.float32(32768))))


def write_exported(folder: pathlib.Path, network, front_end, state, windows, settings) -> Exported:
    """Writes an int8 student from features with all that belongs to it, as the export stage does.

    Args:
      folder: of the files.
      network: features to logits.
      front_end: of the windows.
      state: that was fitted for it.
      windows: int16, of which the int8 ranges are measured.
      settings: `config.features`.
    """
    calibration = features_of(front_end, state, windows)
    made = tflite.float32(lambda samples: front_end.apply(state, samples), (1, front_end.window))
    (folder / export.FRONT_END).write_bytes(made)
    model = folder / "tflite-int8-features.tflite"
    model.write_bytes(tflite.int8(network, (1, *front_end.shape), calibration))
    description = Description(
        stage="student",
        protocol="grouped",
        seed=0,
        dataset="synthetic",
        synthetic=True,
        labels=("normal", 'a "label" ü??/'),
        positive='a "label" ü??/',
        threshold=0.4,
        aggregation=Aggregation.MEAN,
        sample_rate=RATE,
        window=front_end.window,
        hop=front_end.window,
        versions={},
    )
    front_end_path = folder / export.FRONT_END
    sidecar.write(folder, sidecar.describe(description, model, Variant.TFLITE_INT8, Input.FEATURES, front_end_path))
    front_end_file.write(front_end_path, FrontEndFile(settings, RATE, front_end.window, state))
    return Exported(folder, model, front_end, state, windows, calibration)
