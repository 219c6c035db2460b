"""Values and gradients worked out by hand, or written from the papers' formulas in float64."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from hsjax import losses
from hsjax.types import UserError
from tests.losses import differences

LOG2 = np.log(2.0)


def smoothed(logits, label, smoothing):
    values = []
    for row, true in zip(logits, label, strict=True):
        p = np.exp(row) / np.exp(row).sum()
        target = [smoothing / len(row) + (1 - smoothing) * (k == true) for k in range(len(row))]
        values.append(-sum(t * math.log(q) for t, q in zip(target, p, strict=True)))
    return np.array(values)


def binary(logits, label, positive_weight):
    values = []
    for row, true in zip(logits, label, strict=True):
        total = 0.0
        for k, x in enumerate(row):
            p = 1 / (1 + math.exp(-x))
            positive = true == 1 if len(row) == 1 else k == true
            total -= positive_weight * math.log(p) if positive else math.log(1 - p)
        values.append(total / len(row))
    return np.array(values)


def focused(logits, label, gamma, alpha):
    values = []
    for row, true in zip(logits, label, strict=True):
        p = [1 / (1 + np.exp(row[0])), 1 / (1 + np.exp(-row[0]))] if len(row) == 1 else scipy.special.softmax(row)
        values.append(-alpha[true] * (1 - p[true]) ** gamma * math.log(p[true]))
    return np.array(values)


class CrossEntropyTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_value_and_gradient(self):
        # softmax([0, log 3]) = [1/4, 3/4]; softmax([0, 0]) = [1/2, 1/2]
        logits = jnp.array([[0.0, np.log(3.0)], [0.0, 0.0]])
        label = jnp.array([1, 0])
        value = self.variant(losses.cross_entropy)(logits, label)
        np.testing.assert_allclose(value, [np.log(4 / 3), LOG2], rtol=1e-6)
        gradient = jax.jit(jax.grad(lambda x: losses.cross_entropy(x, label).sum()))(logits)
        np.testing.assert_allclose(gradient, [[0.25, -0.25], [-0.5, 0.5]], atol=1e-6)

    @chex.variants(with_jit=True)
    def test_label_smoothing_by_hand(self):
        # Target [.1, .9] against [1/4, 3/4]: gradient softmax - target.
        logits, label = jnp.array([[0.0, np.log(3.0)]]), jnp.array([1])
        value = self.variant(losses.cross_entropy)(logits, label, 0.2)
        np.testing.assert_allclose(value, [0.1 * np.log(4) + 0.9 * np.log(4 / 3)], rtol=1e-6)
        gradient = jax.jit(jax.grad(lambda x: losses.cross_entropy(x, label, 0.2).sum()))(logits)
        np.testing.assert_allclose(gradient, [[0.15, -0.15]], atol=1e-6)

    def test_rejects_soft_labels(self):
        with pytest.raises(Exception, match=r"type|int"):
            losses.cross_entropy(jnp.zeros((2, 2)), jnp.zeros(2))


class BceTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_single_logit_by_hand(self):
        # sigmoid(log 3) = 3/4
        logits, label = jnp.full((2, 1), np.log(3.0)), jnp.array([1, 0])
        value = self.variant(losses.bce)(logits, label, 5.0)
        np.testing.assert_allclose(value, [5 * np.log(4 / 3), np.log(4)], rtol=1e-6)
        gradient = jax.jit(jax.grad(lambda x: losses.bce(x, label, 5.0).sum()))(logits)
        np.testing.assert_allclose(gradient, [[-1.25], [0.75]], rtol=1e-6)

    @chex.variants(with_jit=True, without_jit=True)
    def test_several_logits_are_one_question_each(self):
        # log 4/3 for the class, log 2 and log 4 for the two others, over 3
        logits, label = jnp.array([[np.log(3.0), 0.0, np.log(3.0)]]), jnp.array([0])
        value = self.variant(losses.bce)(logits, label)
        np.testing.assert_allclose(value, [np.log(32 / 3) / 3], rtol=1e-6)
        gradient = jax.jit(jax.grad(lambda x: losses.bce(x, label).sum()))(logits)
        np.testing.assert_allclose(gradient, np.array([[-0.25, 0.5, 0.75]]) / 3, rtol=1e-6)


class FocalTest(chex.TestCase):
    @chex.variants(with_jit=True)
    def test_by_hand(self):
        # p_t = 3/4 and 1/4: (1/4)^2 log 4/3 and (3/4)^2 log 4
        logits, label = jnp.array([[0.0, np.log(3.0)]] * 2), jnp.array([1, 0])
        want = np.array([np.log(4 / 3) / 16, 9 * np.log(4) / 16])
        np.testing.assert_allclose(self.variant(losses.focal)(logits, label, 2.0), want, rtol=1e-5)
        np.testing.assert_allclose(self.variant(losses.focal)(logits[:, 1:], label, 2.0), want, rtol=1e-5)
        balanced = self.variant(losses.focal)(logits[:, 1:], label, 2.0, jnp.array([0.75, 0.25]))
        np.testing.assert_allclose(balanced, want * [0.25, 0.75], rtol=1e-5)
        # The paper's appendix B for y = 1: dFL/dx = (1 - p)^gamma (gamma p log p + p - 1)
        gradient = jax.jit(jax.grad(lambda x: losses.focal(x, label, 2.0)[0]))(logits[:, 1:])
        np.testing.assert_allclose(gradient[0], [(2 * 0.75 * np.log(0.75) - 0.25) / 16], rtol=1e-5)

    def test_sure_examples_have_the_limit_as_gradient(self):
        # p_t = 1: 0 and flat. p_t = 0: like cross-entropy.
        logits, label = jnp.array([[1e4, 0.0], [-1e4, 0.0]]), jnp.array([0, 0])
        gradient_of = jax.jit(jax.value_and_grad(lambda x, g: losses.focal(x, label, g).sum()))
        for given, flat, steep in ((logits, [0, 0], [-1, 1]), (-logits[:, :1], [0], [1])):
            for gamma in (0.0, 0.5, 1.0, 2.0):
                value, gradient = gradient_of(given, gamma)
                np.testing.assert_allclose(value, 1e4)
                np.testing.assert_array_equal(gradient[0], flat)
                np.testing.assert_allclose(gradient[1], steep, rtol=1e-6)


@pytest.mark.parametrize("classes", [2, 5])
def test_cross_entropy_from_its_formula(classes, rng):
    logits, label = rng.normal(0, 3, (6, classes)), rng.integers(0, classes, 6)
    differences.check(
        lambda x, s: losses.cross_entropy(x, jnp.asarray(label), s),
        lambda x, s: smoothed(x, label, s),
        logits,
        [0.0, 0.1],
    )


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_bce_from_its_formula(classes, rng):
    logits, label = rng.normal(0, 3, (6, classes)), rng.integers(0, max(classes, 2), 6)
    differences.check(
        lambda x, w: losses.bce(x, jnp.asarray(label), w), lambda x, w: binary(x, label, w), logits, [1.0, 3.5]
    )


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_focal_from_its_formula(classes, rng):
    logits, label = rng.normal(0, 3, (6, classes)), rng.integers(0, max(classes, 2), 6)
    alpha = rng.uniform(0.2, 2, max(classes, 2))
    differences.check(
        lambda x, gamma: losses.focal(x, jnp.asarray(label), gamma, jnp.asarray(alpha)),
        lambda x, gamma: focused(x, label, gamma, alpha),
        logits,
        [0.0, 0.5, 2.0],
    )


def test_focal_wants_a_weight_for_each_class():
    with pytest.raises(AssertionError, match="shape"):
        losses.focal(jnp.zeros((2, 3)), jnp.zeros(2, int), 2.0, jnp.ones(2))


def test_class_balanced_weights_by_hand():
    # beta = 1/2: (1 - beta^n) / (1 - beta) = 1, 3/2, 15/8; inverses 1, 2/3, 8/15, which sum to 33/15
    got = losses.class_balanced_weights(jnp.array([1, 2, 4]), 0.5)
    np.testing.assert_allclose(got, np.array([1, 2 / 3, 8 / 15]) * 45 / 33, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.9999])
def test_class_balanced_weights_from_their_formula(beta):
    count = [3, 40, 2575, 665]
    weight = np.array([(1 - beta) / (1 - beta**n) for n in count])
    got = losses.class_balanced_weights(jnp.array(count), beta)
    np.testing.assert_allclose(got, weight / weight.sum() * 4, rtol=1e-5)


def test_class_without_examples_has_no_weight():
    # 1 and 2/3 as above; they share the 3
    got = losses.class_balanced_weights(jnp.array([1, 0, 2]), jnp.asarray(0.5))
    np.testing.assert_allclose(got, [1.8, 0, 1.2], rtol=1e-6)


@pytest.mark.parametrize("beta", [1.0, -0.1])
def test_class_balanced_beta_out_of_range(beta):
    with pytest.raises(UserError, match="less than 1"):
        losses.class_balanced_weights(jnp.array([1, 2]), beta)
