"""Pearson's correlation against scipy, and where it is not defined."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from hsjax.losses import correlation
from tests.losses import differences


def test_pearson_against_scipy(rng):
    x, y = rng.normal(0, 1, (2, 7, 11))
    want = [scipy.stats.pearsonr(a, b).statistic for a, b in zip(x, y, strict=True)]
    got = jax.jit(correlation.pearson)(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_masked_values_are_no_part_of_it(rng):
    x, y = rng.normal(0, 1, (2, 9))
    mask = np.array([1, 0, 1, 1, 1, 0, 1, 1, 0])
    want = scipy.stats.pearsonr(x[mask > 0], y[mask > 0]).statistic
    # The largest of all is masked, and may not become the shift either.
    x[1], y[5] = 1e6, -1e6
    got = jax.jit(correlation.pearson)(*(jnp.asarray(v, jnp.float32) for v in (x, y, mask)))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_gradient_against_differences(rng):
    x, y = rng.normal(0, 1, (2, 6))
    want = differences.slope(lambda v: scipy.stats.pearsonr(v, y).statistic, x)
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(correlation.pearson))(jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_allclose(gradient, want, atol=1e-8)


def test_constant_values_have_no_correlation_and_no_gradient():
    # 0.1 is no float, and the mean of seven of them differs from it.
    x, y = jnp.full(7, 0.1), jnp.arange(7.0)
    value_and_gradient = jax.jit(jax.value_and_grad(correlation.pearson))
    value, gradient = value_and_gradient(x, y)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)
    value, gradient = value_and_gradient(y, x)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_small_values_keep_value_and_gradient():
    # The squares of these underflow in float32. Deviations u = (-1, 0, 1) 1e-25 and v = (0, -1, 1) / 3: r = 1/2, and
    # dr/dx = (v / |v| - r u / |u|) / |u|.
    x, y = jnp.array([0.0, 1e-25, 2e-25]), jnp.array([0.0, -1.0, 1.0]) / 3
    value, gradient = jax.jit(jax.value_and_grad(correlation.pearson))(x, y)
    np.testing.assert_allclose(value, 0.5, rtol=1e-6)
    np.testing.assert_allclose(gradient * 1e-25, np.array([0.5, -1.0, 0.5]) / 2, rtol=1e-5, atol=1e-6)
