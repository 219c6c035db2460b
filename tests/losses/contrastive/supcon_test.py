"""Fractions of e by hand, and equation 2 in float64 loops."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.losses.contrastive import supcon

E = np.e


def equation_2(views, label, temperature):
    """L_out, over the anchors that have a positive."""
    z = np.concatenate([view / np.linalg.norm(view, axis=1, keepdims=True) for view in views])
    label = np.concatenate([label] * len(views))
    losses = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [p for p in others if label[p] == label[i]]
        if positives:
            total = sum(np.exp(z[i] @ z[a] / temperature) for a in others)
            terms = [np.log(np.exp(z[i] @ z[p] / temperature) / total) for p in positives]
            losses.append(-sum(terms) / len(positives))
    return np.mean(losses)


class SupConTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_values_by_hand(self):
        vectors, loss = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), self.variant(supcon)
        # The first two are each other's positives; the third has none and is their only negative, at cosine 0.
        value = loss(vectors, None, jnp.array([4, 4, 7]), jnp.ones(3), 1.0)
        np.testing.assert_allclose(value, np.log(1 + 1 / E), rtol=1e-6)
        # Two positives each, at cosine 1 and 0 for the first two, no negatives: with the mean inside the logarithm the
        # loss would be log 2.
        value = loss(vectors, None, jnp.array([3, 3, 3]), jnp.ones(3), 1.0)
        np.testing.assert_allclose(value, (2 * (np.log(E + 1) - 0.5) + np.log(2)) / 3, rtol=1e-6)


def test_gradient_by_hand(quick):
    vectors, label = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), jnp.array([4, 4, 7])
    gradient = quick(jax.grad(lambda x: supcon(x, None, label, jnp.ones(3), 1.0)))(vectors)
    push = 1 / (1 + E)  # the negative's probability, for two anchors
    np.testing.assert_allclose(gradient, [[0, push / 2], [0, push / 2], [push, 0]], rtol=1e-6, atol=1e-7)


def test_without_positives_there_is_nothing_to_learn(quick):
    loss = quick(jax.value_and_grad(lambda x, mask: supcon(x, None, jnp.arange(3), mask, 0.1)))
    for mask in ([1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]):
        value, gradient = loss(jnp.array(np.eye(3, dtype=np.float32) + 1), jnp.array(mask))
        assert value == 0
        np.testing.assert_array_equal(gradient, np.zeros((3, 3)))


@pytest.mark.parametrize("count", [1, 2])
def test_against_the_equation_in_float64(views, finite_differences, quick, count):
    label, mask, some = views.label, views.mask, views.some
    both = (views.first, views.second)[:count]

    def loss(views, label, mask):
        return supcon(views[0], views[1] if count == 2 else None, label, mask, 0.1)

    with jax.enable_x64(True):
        arguments = [jnp.array(view) for view in both], jnp.array(label), jnp.array(mask)
        value, gradients = quick(jax.value_and_grad(loss))(*arguments)
    assert value.dtype == np.float64
    kept = [view[some] for view in both]
    np.testing.assert_allclose(value, equation_2(kept, label[some], 0.1), rtol=1e-12)
    want = finite_differences(lambda *kept: equation_2(kept, label[some], 0.1), *kept)
    for gradient, expected in zip(gradients, want, strict=True):
        np.testing.assert_allclose(gradient[some], expected, rtol=1e-6, atol=1e-8)
        np.testing.assert_array_equal(np.delete(gradient, some, 0), 0)


def test_labels_are_integers():
    with pytest.raises(Exception, match=r"type|int"):
        supcon(jnp.ones((2, 3)), None, jnp.ones(2), jnp.ones(2), 0.1)
