"""One small trained-like network with its front end, exported once for all tests of the room."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import export, runtime

WINDOW, HOP, N_FFT, FRAMES, COEFFS = 5000, 50, 256, 101, 13
NHWC = ("NHWC", "HWIO", "NHWC")


def _weights():
    rng = np.random.default_rng(0)
    shapes = ((3, 3, 1, 16), (3, 3, 16, 32), (2400, 16), (16, 2))
    return [np.float32(rng.normal(size=s) * np.sqrt(2 / np.prod(s[:-1]))) for s in shapes]


CONV_1, CONV_2, DENSE_1, DENSE_2 = _weights()


def _conv_pool(x, kernel):
    x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC)
    return jax.lax.reduce_window(jax.nn.relu(x), -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def inside(features):
    """What the network makes, layer by layer; last the logits."""
    conv1 = _conv_pool(features[..., None], CONV_1)
    conv2 = _conv_pool(conv1, CONV_2)
    hidden = jax.nn.relu(conv2.reshape(len(features), -1) @ DENSE_1)
    return {"conv1": conv1, "conv2": conv2, "hidden": hidden, "logits": hidden @ DENSE_2}


def network(features):
    return inside(features)["logits"]


def front_end(samples):
    padded = jnp.pad(samples, ((0, 0), (N_FFT // 2, N_FFT // 2 + 44))).reshape(len(samples), -1, HOP)
    frames = jnp.concatenate([padded[:, k : k + FRAMES] for k in range(6)], axis=-1)[..., :N_FFT]
    angle = 2 * np.pi * np.outer(np.arange(N_FFT), np.arange(3, 65)) / N_FFT
    window = np.hanning(N_FFT)[:, None]
    power = (frames @ np.float32(window * np.cos(angle))) ** 2 + (frames @ np.float32(window * np.sin(angle))) ** 2
    bands = np.repeat(np.eye(31), 2, axis=0)
    log = jnp.log(jnp.maximum(power @ np.float32(bands), 1e-6))
    cosines = np.cos(np.pi * np.outer(np.arange(31) + 0.5, np.arange(COEFFS)) / 31)
    return jnp.swapaxes(log @ np.float32(cosines), 1, 2) / 20


class Exported(NamedTuple):
    folder: pathlib.Path
    paths: dict[str, pathlib.Path]
    samples: np.ndarray
    features: np.ndarray
    logits: np.ndarray
    description: runtime.Description
    network: Callable
    taps: dict[str, np.ndarray]


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    rng = np.random.default_rng(1)
    samples = np.float32(rng.normal(size=(32, WINDOW)) * rng.uniform(0.01, 1, (32, 1)))
    features = np.array(jax.jit(front_end)(samples))
    description = runtime.Description(
        stage="kd",
        protocol="grouped",
        seed=0,
        dataset="synthetic",
        synthetic=True,
        labels=("normal", "abnormal"),
        positive="abnormal",
        threshold=0.5,
        aggregation=runtime.Aggregation.MEAN,
        sample_rate=2000,
        window=WINDOW,
        hop=WINDOW,
        versions={"jax": jax.__version__},
    )
    folder = tmp_path_factory.mktemp("exports") / "kd"
    paths = export.export(
        folder,
        network=network,
        front_end=front_end,
        feature_shape=(COEFFS, FRAMES),
        calibration=features,
        description=description,
    )
    by_name = {path.name: path for path in paths}
    taps = {name: np.array(values) for name, values in inside(features).items()}
    return Exported(folder, by_name, samples, features, taps["logits"], description, network, taps)
