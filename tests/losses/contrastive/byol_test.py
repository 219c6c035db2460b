"""Right angles by hand, and scipy's cosine distance in float64."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import scipy.spatial.distance

from hsjax.losses.contrastive import byol

PREDICTION = np.array([[3.0, 0], [1, 1], [-2, 0], [0, 0]], np.float32)
TARGET = np.array([[0.0, 2], [5, 5], [1, 0], [1, 0]], np.float32)


class BYOLTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_values_by_hand(self):
        value = self.variant(byol)(jnp.array(PREDICTION), jnp.array(TARGET))
        np.testing.assert_allclose(value, [2, 0, 4, 2], atol=1e-6)


def test_gradients_by_hand(quick):
    gradients = quick(jax.grad(lambda p, t: byol(p, t).sum(), (0, 1)))(jnp.array(PREDICTION), jnp.array(TARGET))
    # Across a right angle: -2 times the target's direction over the prediction's length. Along a line: none.
    np.testing.assert_allclose(gradients[0], [[0, -2 / 3], [0, 0], [0, 0], [0, 0]], atol=1e-6)
    np.testing.assert_array_equal(gradients[1], np.zeros((4, 2)))


def test_against_scipy_in_float64(rng, finite_differences, quick):
    prediction, target = rng.normal(size=(2, 6, 4))

    def theirs(p):
        return sum(2 * scipy.spatial.distance.cosine(a, b) for a, b in zip(p, target, strict=True))

    with jax.enable_x64(True):
        loss = quick(jax.value_and_grad(lambda p, t: byol(p, t).sum()))
        value, gradient = loss(jnp.array(prediction), jnp.array(target))
    assert value.dtype == np.float64
    np.testing.assert_allclose(value, theirs(prediction), rtol=1e-12)
    np.testing.assert_allclose(gradient, finite_differences(theirs, prediction)[0], rtol=1e-6, atol=1e-8)
