"""The ensemble's probabilities against the mean of scipy's softmaxes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from hsjax import losses
from hsjax.types import UserError

compiled = jax.jit(losses.ensemble_logits)


@pytest.mark.parametrize("weights", [None, [1.0, 1.0, 1.0], [3.0, 0.0, 1.0]])
def test_softmax_is_the_mean_of_probabilities(weights, rng):
    logits = rng.normal(0, 4, (3, 7, 5))
    want = np.average(scipy.special.softmax(logits, -1), axis=0, weights=weights)
    with jax.enable_x64(True):
        got = compiled(jnp.asarray(logits), None if weights is None else jnp.asarray(weights))
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, np.log(want), rtol=1e-10)
        np.testing.assert_allclose(scipy.special.softmax(got, -1), want, rtol=1e-10)


def test_huge_logits_stay_finite():
    # One teacher is sure of class 0, the other of class 1; both give class 2 less than any float32.
    got = compiled(jnp.array([[[1e4, 0.0, -1e4]], [[0.0, 1e4, -1e4]]]))
    np.testing.assert_allclose(got, [[-np.log(2), -np.log(2), -2e4]], rtol=1e-6)


def test_sigmoid_is_the_mean_of_probabilities(rng):
    logits = rng.normal(0, 4, (3, 7, 5))
    want = scipy.special.logit(scipy.special.expit(logits).mean(0))
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.jit(losses.ensemble_binary_logits)(jnp.asarray(logits)), want, rtol=1e-9)
    far = losses.ensemble_binary_logits(jnp.array([[[1e4, -1e4]], [[1e4, 1e4]]]))
    np.testing.assert_allclose(far, [[1e4, 0.0]], atol=1e-3)


def test_no_gradient_reaches_the_teachers(rng):
    logits = jnp.asarray(rng.normal(0, 4, (3, 7, 5)), jnp.float32)
    np.testing.assert_array_equal(jax.jit(jax.grad(lambda x: losses.ensemble_logits(x)[0, 0]))(logits), 0)


def test_arguments_are_checked():
    with pytest.raises(Exception, match=r"shape|type"):
        losses.ensemble_logits(jnp.zeros((3, 7, 5)), jnp.ones(2))
    with pytest.raises(UserError, match="at least 2"):
        losses.ensemble_logits(jnp.zeros((3, 7, 1)))
