"""Correlations of plus and minus one by hand, and equations 1 and 2 in float64 loops."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from hsjax.losses.contrastive import barlow_twins


def equations(first, second, weight):
    first, second = first - first.mean(0), second - second.mean(0)
    loss = 0.0
    for i in range(first.shape[1]):
        for j in range(first.shape[1]):
            product = sum(a * b for a, b in zip(first[:, i], second[:, j], strict=True))
            lengths = np.sqrt(sum(a * a for a in first[:, i])) * np.sqrt(sum(b * b for b in second[:, j]))
            loss += (1 - product / lengths) ** 2 if i == j else weight * (product / lengths) ** 2
    return loss


class BarlowTwinsTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_values_by_hand(self):
        # Both dimensions are the same but for offset and scale: all four correlations are 1, or -1.
        first, loss = jnp.array([[1.0, 7.0], [-1.0, 3.0]]), self.variant(barlow_twins)
        np.testing.assert_allclose(loss(first, first, jnp.ones(2)), 2 * 0.005, rtol=1e-5)
        np.testing.assert_allclose(loss(first, -first, jnp.ones(2)), 2 * 4 + 2 * 0.005, rtol=1e-5)


def test_dimensions_that_do_not_vary_correlate_with_nothing(rng, quick):
    # One dimension varies; the others are constants, some of whose means are rounded to something else.
    first = np.tile(rng.uniform(0.1, 1, 20).astype(np.float32), (1001, 1))
    first[:, 0] = np.linspace(-1, 2, 1001)
    first[:, 1] = 0
    value, gradient = quick(jax.value_and_grad(barlow_twins))(jnp.array(first), jnp.array(first), jnp.ones(1001))
    np.testing.assert_allclose(value, 19, rtol=1e-5)
    np.testing.assert_allclose(gradient, np.zeros_like(first), atol=1e-5)


def test_one_example_has_no_correlation(quick):
    first, mask = jnp.array([[1.0, 3.0], [9.0, 2.0]]), jnp.array([0.0, 1.0])
    value, gradient = quick(jax.value_and_grad(barlow_twins))(first, first, mask)
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((2, 2)))


def test_against_the_equations_in_float64(views, finite_differences, quick):
    first, second, _, mask, some = views
    with jax.enable_x64(True):
        loss = quick(jax.value_and_grad(barlow_twins, (0, 1, 3)))
        value, gradients = loss(jnp.array(first), jnp.array(second), jnp.array(mask), jnp.array(0.3))
    assert value.dtype == np.float64
    arguments = first[some], second[some], np.array(0.3)
    np.testing.assert_allclose(value, equations(*arguments), rtol=1e-12)
    *want, by_weight = finite_differences(equations, *arguments)
    for gradient, expected in zip(gradients[:2], want, strict=True):
        np.testing.assert_allclose(gradient[some], expected, rtol=1e-6, atol=1e-8)
        np.testing.assert_array_equal(np.delete(gradient, some, 0), 0)
    np.testing.assert_allclose(gradients[2], by_weight, rtol=1e-6)
