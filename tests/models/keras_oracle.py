"""keras.applications' networks as oracles: their tensors, and what they compute.

Importing TensorFlow takes seconds: build in a fixture of module scope.
"""

import importlib
from typing import Any

import numpy as np


def build(function: str, size: tuple[int, int], classes: int = 7, **options: Any):
    """A randomly initialised network that gives logits, every batch norm and bias told apart (see `randomise`).

    Args:
      function: its name in keras.applications: `ResNet50`, or `densenet.DenseNet` for one that is not public.
      size: height and width of its input, of three channels.
      classes: width of the logits.
      **options: of the function.
    """
    import keras

    keras.utils.set_random_seed(0)
    *module, name = function.split(".")
    make = getattr(
        importlib.import_module(f"keras.src.applications.{module[0]}") if module else keras.applications, name
    )
    model = make(weights=None, input_shape=(*size, 3), classes=classes, classifier_activation=None, **options)
    randomise(model)
    return model


def randomise(model, seed: int = 0) -> None:
    """Gives every batch norm and every bias values that tell them apart.

    Fresh ones are all 0 or 1, so that swapped ones would go unnoticed. Variances and gains stay near 1, so that values
    neither vanish nor explode in a deep network.
    """
    rng = np.random.default_rng(seed)
    draw = {
        "gamma": lambda shape: rng.uniform(0.7, 1.3, shape),
        "beta": lambda shape: rng.normal(0, 0.2, shape),
        "moving_mean": lambda shape: rng.normal(0, 0.2, shape),
        "moving_variance": lambda shape: rng.uniform(0.7, 1.3, shape),
        "bias": lambda shape: rng.normal(0, 0.1, shape),
    }
    for weight in model.weights:
        kind = weight.path.split("/")[-1]
        if kind in draw:
            weight.assign(draw[kind](tuple(weight.shape)).astype(np.float32))


def tensors(model) -> dict[str, np.ndarray]:
    """All weights, moving statistics included, by `layer/weight`."""
    return {weight.path: np.asarray(weight) for weight in model.weights}


def count(model) -> int:
    """Scalars of all weights, moving statistics included."""
    return sum(weight.size for weight in tensors(model).values())


def evaluate(model, inputs: np.ndarray) -> np.ndarray:
    """Logits with the moving statistics."""
    return np.asarray(model(inputs, training=False))


def train(model, inputs: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Logits with the batch's statistics, and all weights with the moving statistics as that call leaves them.

    The model itself is as before.
    """
    before = model.get_weights()
    logits = np.asarray(model(inputs, training=True))
    after = tensors(model)
    model.set_weights(before)
    return logits, after


def assert_close(got, want, tolerance: float = 1e-4) -> None:
    """Differences are small beside the largest of the wanted values."""
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * float(np.abs(want).max()))
