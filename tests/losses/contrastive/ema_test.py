"""Averages by hand, and optax's incremental update and cosine."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hsjax.losses.contrastive import momentum_update, rising_momentum


def test_by_hand(quick):
    target = {"dense": {"kernel": jnp.array([1.0, 2.0])}, "steps": jnp.int32(3)}
    online = {"dense": {"kernel": jnp.array([3.0, -2.0])}, "steps": jnp.int32(9)}
    moved = quick(momentum_update)(target, online, 0.75)
    np.testing.assert_allclose(moved["dense"]["kernel"], [1.5, 1.0])
    assert moved["steps"] == 9
    assert jnp.result_type(moved["steps"]) == jnp.int32


def test_the_ends_are_exact(rng, quick):
    target, online = (jnp.array(array) for array in rng.normal(size=(2, 5)).astype(np.float32))
    np.testing.assert_array_equal(quick(momentum_update)(target, online, 0.0), online)
    np.testing.assert_array_equal(quick(momentum_update)(target, online, 1.0), target)


def test_against_optax(rng, quick):
    def draw():
        return {"a": rng.normal(size=4).astype(np.float32), "b": [rng.normal(size=(2, 2)).astype(np.float32)]}

    target, online = draw(), draw()
    want = quick(optax.incremental_update)(online, target, 0.004)
    got = quick(momentum_update)(target, online, 0.996)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, want)


def test_a_fine_average_of_coarse_weights_stays_fine(quick):
    moved = quick(momentum_update)(jnp.ones(2), jnp.zeros(2, jnp.bfloat16), 0.999)
    assert moved.dtype == jnp.float32
    np.testing.assert_allclose(moved, [0.999, 0.999], rtol=1e-6)


def test_no_gradient_flows_through(quick):
    gradient = quick(jax.grad(lambda t, o: momentum_update(t, o, 0.5).sum(), (0, 1)))
    np.testing.assert_array_equal(gradient(jnp.ones(2), jnp.ones(2)), np.zeros((2, 2)))


def test_trees_must_match():
    with pytest.raises(Exception, match=r"key|structure"):
        momentum_update({"a": jnp.ones(2)}, {"b": jnp.ones(2)}, 0.5)


def test_the_decay_rises_along_a_cosine(quick):
    decay, theirs = quick(lambda step: rising_momentum(step, 100, 0.96)), optax.cosine_decay_schedule(0.04, 100)
    for step in (0, 25, 50, 100, 130):
        np.testing.assert_allclose(1 - decay(jnp.int32(step)), theirs(step), atol=1e-6)
