"""Fractions of e by hand, equation 1 in float64 loops, and optax on a batch without padding."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hsjax.losses.contrastive import nt_xent

E = np.e


def equation_1(first, second, temperature):
    """Written from the paper: views 2k - 1 and 2k are one example's."""
    z = np.stack([first, second], 1).reshape(-1, first.shape[1])

    def similarity(i, j):
        return z[i] @ z[j] / np.sqrt(z[i] @ z[i]) / np.sqrt(z[j] @ z[j])

    def one(i, j):
        others = sum(np.exp(similarity(i, k) / temperature) for k in range(len(z)) if k != i)
        return -np.log(np.exp(similarity(i, j) / temperature) / others)

    return sum(one(2 * k, 2 * k + 1) + one(2 * k + 1, 2 * k) for k in range(len(first))) / len(z)


def test_by_hand(quick):
    # Every anchor has its positive at cosine 1 and two negatives at 0.
    views = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    value, gradient = quick(jax.value_and_grad(nt_xent))(views, views, jnp.ones(2), 1.0)
    np.testing.assert_allclose(value, np.log((E + 2) / E), rtol=1e-6)
    # As anchor it is pushed from two negatives by 1 / (e + 2) each, and is one of two anchors' negatives; over 4.
    np.testing.assert_allclose(gradient, [[0, 1 / (E + 2)], [1 / (E + 2), 0]], rtol=1e-6, atol=1e-7)


def test_one_example_alone_has_nothing_to_confuse_it_with(quick):
    first, second = jnp.array([[1.0, 2.0], [3.0, 1.0]]), jnp.array([[5.0, 0.0], [1.0, 1.0]])
    loss = quick(jax.value_and_grad(nt_xent, (0, 1)))
    value, gradients = loss(first, second, jnp.array([0.0, 1.0]), 0.1)
    assert value == 0
    np.testing.assert_allclose(gradients, np.zeros((2, 2, 2)), atol=1e-6)


def test_against_the_equation_in_float64(views, finite_differences, quick):
    first, second, _, mask, some = views
    with jax.enable_x64(True):
        arguments = jnp.array(first), jnp.array(second), jnp.array(mask), jnp.array(0.1)
        value, gradients = quick(jax.value_and_grad(nt_xent, (0, 1, 3)))(*arguments)
    assert value.dtype == np.float64
    arguments = first[some], second[some], np.array(0.1)
    np.testing.assert_allclose(value, equation_1(*arguments), rtol=1e-12)
    *want, by_temperature = finite_differences(equation_1, *arguments)
    for gradient, expected in zip(gradients[:2], want, strict=True):
        np.testing.assert_allclose(gradient[some], expected, rtol=1e-6, atol=1e-8)
        np.testing.assert_array_equal(np.delete(gradient, some, 0), 0)
    np.testing.assert_allclose(gradients[2], by_temperature, rtol=1e-6)


def test_against_optax_where_nothing_is_masked(rng, quick):
    first, second = rng.normal(size=(2, 6, 4)).astype(np.float32)

    def theirs(first, second):
        return optax.losses.ntxent(jnp.concatenate([first, second]), jnp.tile(jnp.arange(6), 2), 0.2)

    def both(first, second):
        ours = jax.value_and_grad(lambda a, b: nt_xent(a, b, jnp.ones(6), 0.2), (0, 1))
        return ours(first, second), jax.value_and_grad(theirs, (0, 1))(first, second)

    (value, gradients), (their_value, their_gradients) = quick(both)(first, second)
    np.testing.assert_allclose(value, their_value, rtol=1e-5)
    np.testing.assert_allclose(gradients, their_gradients, rtol=1e-4, atol=1e-6)


def test_extreme_similarities_stay_finite(quick):
    loss = quick(jax.value_and_grad(nt_xent))
    vectors, mask = np.array([[0.6, 0.8]] * 3, np.float32), jnp.ones(3)
    # Of three equal examples, views alike: each of five candidates is as good. Views opposite: two others at cosine 1,
    # the positive and the rest at -1, 200 below at this temperature.
    for sign, want in ((1, np.log(5)), (-1, 200 + np.log(2))):
        value, gradient = loss(jnp.array(vectors), jnp.array(sign * vectors), mask, 0.01)
        np.testing.assert_allclose(value, want, rtol=1e-5)
        np.testing.assert_allclose(gradient, np.zeros((3, 2)), atol=1e-4)


def test_lengths_do_not_matter(rng, quick):
    first, second = rng.normal(size=(2, 3, 2)).astype(np.float32)
    loss, mask = quick(nt_xent), jnp.ones(3)
    longer = jnp.array(first * np.array([[0.01], [7], [1e4]], np.float32))
    np.testing.assert_allclose(
        loss(longer, jnp.array(second), mask, 0.3), loss(jnp.array(first), jnp.array(second), mask, 0.3), rtol=1e-5
    )


def test_views_of_different_batches_are_refused():
    with pytest.raises(Exception, match=r"shape|Shape|type"):
        nt_xent(jnp.ones((2, 3)), jnp.ones((4, 3)), jnp.ones(2), 0.1)
