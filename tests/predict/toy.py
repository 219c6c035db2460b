"""Models that tell loud from quiet, as files with sidecars."""

import dataclasses
import pathlib

import numpy as np

from hsjax.export import tflite
from hsjax.runtime import Aggregation, Description, Input, Variant, sidecar

RATE, WINDOW, HOP = 1000, 100, 50
DESCRIPTION = Description(
    stage="kd",
    protocol="grouped",
    seed=0,
    dataset="synthetic",
    synthetic=True,
    labels=("quiet", "loud"),
    positive="loud",
    threshold=0.5,
    aggregation=Aggregation.MEAN,
    sample_rate=RATE,
    window=WINDOW,
    hop=HOP,
    versions={},
)
GAIN = np.array([[-2.0, 2.0]], np.float32)


def level(samples):
    """Front end: mean square of a window, (1, window) to (1, 1)."""
    return (samples * samples).mean(axis=1, keepdims=True)


def network(features):
    """Logits (1, 2) that say loud above a mean square of 0.1."""
    return (features - 0.1) * 10 @ GAIN


def describe(folder, **changes):
    description = dataclasses.replace(DESCRIPTION, **changes)
    for variant, input, front_end in (
        (Variant.TFLITE_FLOAT32, Input.SAMPLES, None),
        (Variant.TFLITE_INT8, Input.FEATURES, folder / "front-end.tflite"),
    ):
        path = folder / f"{variant}-{input}.tflite"
        sidecar.write(folder, sidecar.describe(description, path, variant, input, front_end))


MODELS = ["tflite-float32-samples.tflite", "tflite-int8-features.tflite"]


def tone(seconds, rate, amplitude):
    return amplitude * np.sin(2 * np.pi * 50 * np.arange(round(seconds * rate)) / rate)


def write(folder: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    describe(folder)
    return folder


def convert() -> dict[str, bytes]:
    front_end = tflite.float32(level, (1, WINDOW))
    calibration = np.linspace(0, 1, 101, dtype=np.float32)[:, None]
    return {
        "front-end.tflite": front_end,
        "tflite-float32-samples.tflite": tflite.float32(lambda samples: network(level(samples)), (1, WINDOW)),
        "tflite-int8-features.tflite": tflite.int8(network, (1, 1), calibration),
    }
