"""One stretch of a real recording from every dataset, and a compiler that is quick."""

import functools
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
import wfdb

from tests import hurry

_SECONDS = 6
_AUDIO = {
    "physionet2016": "physionet2016/training-a/*.wav",
    "yaseen2018": "yaseen2018/*/*.wav",
    "pascal-a": "pascal/set_a/*.wav",
    "pascal-b": "pascal/set_b/*.wav",
    "circor": "the-circor-digiscope-phonocardiogram-dataset-1.0.3/**/*.wav",
}
_ECG = "mit-bih-arrhythmia-database-1.0.0/*.hea"
# Without optimisation, and each fusion by the older and plainer of XLA's two ways.
_QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


@pytest.fixture(scope="session")
def quick() -> Callable:
    """`jax.jit` for graphs whose values matter and whose speed does not: compiling is most of the time tests take."""
    return functools.partial(jax.jit, compiler_options=hurry.known(_QUICK))


def _audio(root: pathlib.Path, pattern: str) -> tuple[np.ndarray, int]:
    path = next(path for path in sorted(root.glob(pattern)) if soundfile.info(path).duration > 1)
    samples, sample_rate = soundfile.read(path, dtype="float64", always_2d=True)
    return samples[: _SECONDS * sample_rate, 0], sample_rate


@pytest.fixture(scope="session")
def recordings(real_root) -> dict[str, tuple[np.ndarray, int]]:
    """By dataset: (time,) float64 of at most 6 s, and its sample rate in Hz. ECG in millivolts, first lead."""
    found = {name: _audio(real_root, pattern) for name, pattern in _AUDIO.items()}
    header = sorted(real_root.glob(_ECG))[0]
    record = wfdb.rdrecord(str(header.with_suffix("")), sampto=_SECONDS * 360, channels=[0])
    found["mitdb"] = (record.p_signal[:, 0], int(record.fs))
    return found


@pytest.fixture(scope="session")
def check_gradient(quick) -> Callable:
    """The gradient of a random sum of all values, along a random direction, against central differences."""

    def check(function, x, rtol=1e-6):
        shapes = jax.eval_shape(function, x)
        rng = np.random.default_rng(1)
        weights = jax.tree.leaves(jax.tree.map(lambda shape: rng.standard_normal(shape.shape), shapes))
        direction, step = rng.standard_normal(x.shape), 1e-5

        def total(amount):
            return sum(
                jnp.sum(w * y) for w, y in zip(weights, jax.tree.leaves(function(x + amount * direction)), strict=True)
            )

        value_and_slope = quick(jax.value_and_grad(total))
        (_, slope), (above, _), (below, _) = (value_and_slope(amount) for amount in (0.0, step, -step))
        np.testing.assert_allclose(slope, (above - below) / (2 * step), rtol=rtol)

    return check
