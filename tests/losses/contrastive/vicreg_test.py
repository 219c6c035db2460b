"""Variances 0 and 2 by hand, and algorithm 1 in float64 loops."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from hsjax.losses.contrastive import vicreg


def algorithm_1(first, second, invariance, variance, covariance):
    n, d = first.shape
    loss = invariance * sum((a - b) ** 2 for a, b in zip(first.ravel(), second.ravel(), strict=True)) / (n * d)
    for view in (first, second):
        loss += variance * sum(max(0, 1 - np.sqrt(np.var(view[:, j], ddof=1) + 1e-4)) for j in range(d)) / d
        matrix = np.cov(view.T)
        loss += covariance * sum(matrix[i, j] ** 2 for i in range(d) for j in range(d) if i != j) / d
    return loss


class VICRegTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_values_by_hand(self):
        loss, mask = self.variant(vicreg), jnp.ones(2)
        # One dimension has variance 2, the other none: its deviation is .01, so the hinge is .99 / 2, twice, times 25.
        flat = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
        np.testing.assert_allclose(loss(flat, flat, mask), 24.75, rtol=1e-6)
        # The other view is 2 away in one of two dimensions: 25 times 4 / 2.
        np.testing.assert_allclose(loss(flat, jnp.array([[1.0, 2.0], [-1.0, 2.0]]), mask), 50 + 24.75, rtol=1e-6)
        # Covariance 2, squared, twice in the matrix, over 2 dimensions, for two views.
        tied = jnp.array([[1.0, 1.0], [-1.0, -1.0]])
        np.testing.assert_allclose(loss(tied, tied, mask), 8, rtol=1e-6)


def test_one_example_has_no_variance(quick):
    loss = quick(jax.value_and_grad(vicreg))
    value, gradient = loss(jnp.array([[1.0, 3.0], [9.0, 9.0]]), jnp.zeros((2, 2)), jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(value, 25 * (1 + 9) / 2, rtol=1e-6)
    np.testing.assert_allclose(gradient, [[25, 75], [0, 0]], rtol=1e-6)


def test_a_collapsed_batch_has_a_finite_gradient(quick):
    collapsed = jnp.array(np.full((3, 2), 0.1, np.float32))
    value, gradient = quick(jax.value_and_grad(vicreg))(collapsed, collapsed, jnp.ones(3))
    np.testing.assert_allclose(value, 2 * 25 * 0.99, rtol=1e-6)
    np.testing.assert_allclose(gradient, np.zeros((3, 2)), atol=1e-4)


def test_against_the_algorithm_in_float64(views, finite_differences, quick):
    first, second, _, mask, some = views
    second = second / 3  # below a deviation of 1, and so on the hinge's slope
    weights = np.array(7.0), np.array(11.0), np.array(3.0)
    with jax.enable_x64(True):
        loss = quick(jax.value_and_grad(vicreg, (0, 1, 3, 4, 5)))
        value, gradients = loss(*[jnp.array(array) for array in (first, second, mask, *weights)])
    assert value.dtype == np.float64
    arguments = first[some], second[some], *weights
    np.testing.assert_allclose(value, algorithm_1(*arguments), rtol=1e-12)
    want = finite_differences(algorithm_1, *arguments)
    for gradient, expected in zip(gradients[:2], want[:2], strict=True):
        np.testing.assert_allclose(gradient[some], expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(np.delete(gradient, some, 0), 0)
    np.testing.assert_allclose(gradients[2:], want[2:], rtol=1e-6)
