"""Ours in float64 against a plain NumPy function, its gradient by central differences."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np


def slope(function: Callable[[np.ndarray], float], point: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The gradient of `function` at `point`, one coordinate after the other; right to about 1e-9."""
    gradient = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        up, down = point.copy(), point.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def check(loss: Callable, oracle: Callable, point: np.ndarray, constants: Sequence[float]) -> None:
    """Asserts that `loss(point, constant)` and `oracle(point, constant)` agree in values and gradient."""

    @jax.jit
    def both(point, constant):
        values, pull = jax.vjp(lambda x: loss(x, constant), point)
        # Different weights, so that no example's gradient stands for another's.
        return values, pull(1.0 + jnp.arange(values.size, dtype=values.dtype).reshape(values.shape))[0]

    def weighed(point, constant):
        values = np.ravel(oracle(point, constant))
        return values @ (1.0 + np.arange(values.size))

    with jax.enable_x64(True):
        for constant in constants:
            values, gradient = both(jnp.asarray(point), constant)
            assert values.dtype == np.float64
            np.testing.assert_allclose(values, oracle(point, constant), rtol=1e-9, atol=1e-12)
            want = slope(lambda x, c=constant: weighed(x, c), point)
            np.testing.assert_allclose(gradient, want, rtol=1e-6, atol=1e-7)
