"""Windows of real recordings, and networks that are trained on some of them for seconds."""

import csv
import pathlib

import jax
import numpy as np
import optax
import soundfile

from hsjax.data import audio
from hsjax.models import Network, Variables

RATE, WINDOW = 2000, 5000
_BATCH = 64


def recordings(root: pathlib.Path, count: int) -> tuple[list[pathlib.Path], np.ndarray]:
    """Recordings of all sub-datasets of PhysioNet 2016, as many of each class, in random order; which are abnormal."""
    listed = []
    for reference_csv in sorted((root / "physionet2016").glob("training-*/REFERENCE.csv")):
        with reference_csv.open() as file:
            listed += [(reference_csv.parent / f"{name}.wav", label == "1") for name, label in csv.reader(file)]
    rng = np.random.default_rng(0)
    abnormal = [k for k, (_, positive) in enumerate(listed) if positive]
    normal = [k for k, (_, positive) in enumerate(listed) if not positive]
    picked = rng.permutation(np.concatenate([rng.permutation(part)[: count // 2] for part in (abnormal, normal)]))
    return [listed[k][0] for k in picked], np.array([listed[k][1] for k in picked])


def cut(path: pathlib.Path) -> np.ndarray:
    """int16 windows of a recording."""
    samples, rate = soundfile.read(path, dtype="int16")
    assert rate == RATE
    windows, _ = audio.windows(samples.astype(np.float32), WINDOW, WINDOW)
    return windows.astype(np.int16)


def train(
    network: Network, variables: Variables, inputs: np.ndarray, label: np.ndarray, steps: int, learning_rate: float
) -> Variables:
    """Variables after some steps of Adam."""
    optimizer = optax.adam(learning_rate)

    @jax.jit
    def step(variables, state, x, y):
        def loss(params):
            outputs, others = network.apply({**variables, "params": params}, x, train=True)
            return optax.softmax_cross_entropy_with_integer_labels(outputs.logits, y).mean(), others

        gradient, others = jax.grad(loss, has_aux=True)(variables["params"])
        updates, state = optimizer.update(gradient, state)
        return {**others, "params": optax.apply_updates(variables["params"], updates)}, state

    state, rng = optimizer.init(variables["params"]), np.random.default_rng(0)
    for _ in range(steps):
        batch = rng.integers(0, len(label), _BATCH)
        variables, state = step(variables, state, inputs[batch], label[batch])
    return variables
