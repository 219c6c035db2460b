import dataclasses

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import Activation, Execution, Quantiser
from hsjax.models.layers import activation as functions
from tests.models.layers import quick

X = np.array([-4.0, -3.0, -1.0, 0.0, 1.0, 3.0, 7.0])

# By the formulas of the publications.
BY_HAND = {
    "relu": np.maximum(X, 0),
    "relu6": np.clip(X, 0, 6),
    "hard_sigmoid": np.clip(X + 3, 0, 6) / 6,
    "hard_swish": X * np.clip(X + 3, 0, 6) / 6,
    "sigmoid": 1 / (1 + np.exp(-X)),
    "silu": X / (1 + np.exp(-X)),
    "tanh": np.tanh(X),
    "leaky_relu": np.where(X > 0, X, 0.01 * X),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_functions_by_hand(name):
    module = Activation(getattr(functions, name))
    assert quick.shapes(module, jnp.asarray(X, jnp.float32)) == {}
    np.testing.assert_allclose(quick.jit(module.apply)({}, jnp.asarray(X, jnp.float32)), BY_HAND[name], atol=1e-6)


@dataclasses.dataclass(frozen=True)
class Noted(Quantiser):
    """Adds 1 to all that it sees."""

    def activation(self, layer, name, value, phase):
        layer.sow("seen", name, value)
        return value + 1


@pytest.mark.parametrize(
    ("function", "seen"),
    [
        ("relu", {"after": [0.0, 2.0]}),  # one operation with the convolution before it
        ("relu6", {"after": [0.0, 2.0]}),
        ("tanh", {"before": [-2.0, 2.0], "after": [np.tanh(-1.0), np.tanh(3.0)]}),
        (None, {"after": [-2.0, 2.0]}),
    ],
)
def test_the_quantiser_sees_what_an_int8_file_rounds(function, seen):
    module = Activation(getattr(functions, function) if function else None, Execution(quantiser=Noted()))
    y, noted = module.apply({}, jnp.array([-2.0, 2.0]), mutable=["seen"])
    got = {name: value[0] for name, value in noted["seen"].items()}
    want = {name: np.array(value, np.float32) for name, value in seen.items()}
    chex.assert_trees_all_close(got, want, atol=1e-6)
    np.testing.assert_allclose(y, np.array(seen["after"]) + 1, atol=1e-6)
