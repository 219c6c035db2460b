"""Values and gradients worked out by hand (logs of small fractions) or in float64 by scipy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from hsjax import losses

LOG2 = np.log(2.0)


class CrossEntropyTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_value_and_gradient(self):
        # softmax([0, log 3]) = [1/4, 3/4]; softmax([0, 0]) = [1/2, 1/2]
        logits = jnp.array([[0.0, np.log(3.0)], [0.0, 0.0]])
        label = jnp.array([1, 0])
        value = self.variant(losses.cross_entropy)(logits, label)
        np.testing.assert_allclose(value, [np.log(4 / 3), LOG2], rtol=1e-6)
        gradient = self.variant(jax.grad(lambda x: losses.cross_entropy(x, label).sum()))(logits)
        np.testing.assert_allclose(gradient, [[0.25, -0.25], [-0.5, 0.5]], atol=1e-6)

    def test_rejects_soft_labels(self):
        with pytest.raises(Exception, match=r"type|int"):
            losses.cross_entropy(jnp.zeros((2, 2)), jnp.zeros(2))


class DistillationTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_soft_cross_entropy_by_hand(self):
        # At T = 2 the teacher's [0, 2 log 3] softens to [1/4, 3/4], the student's [0, 0] to [1/2, 1/2].
        student, teacher = jnp.zeros((1, 2)), jnp.array([[0.0, 2 * np.log(3.0)]])
        value = self.variant(losses.soft_cross_entropy)(student, teacher, 2.0)
        np.testing.assert_allclose(value, [LOG2], rtol=1e-6)
        gradient = self.variant(jax.grad(lambda x: losses.soft_cross_entropy(x, teacher, 2.0).sum()))(student)
        # (softmax(student / T) - softmax(teacher / T)) / T
        np.testing.assert_allclose(gradient, [[0.125, -0.125]], rtol=1e-6)

    @chex.variants(with_jit=True, without_jit=True)
    def test_hinton_by_hand(self):
        student, teacher = jnp.zeros((1, 2)), jnp.array([[0.0, 2 * np.log(3.0)]])
        label = jnp.array([0])
        gradient = jax.grad(lambda x, a, t2: losses.hinton(x, label, teacher, 2.0, a, t2).sum())
        # hard part: [-1/2, 1/2]; soft part: [1/8, -1/8], times 4 with the T^2 switch
        for alpha, t2, want in [(1.0, False, -0.5), (0.0, False, 0.125), (0.25, False, -0.03125), (0.5, True, 0.0)]:
            got = self.variant(lambda x, a=alpha, t=t2: gradient(x, a, t))(student)
            np.testing.assert_allclose(got, [[want, -want]], atol=1e-7)

    def test_against_float64_with_three_classes(self):
        rng = np.random.default_rng(0)
        student, teacher, label = rng.normal(0, 3, (50, 3)), rng.normal(0, 3, (50, 3)), rng.integers(0, 3, 50)
        soft = -(scipy.special.softmax(teacher / 7, -1) * scipy.special.log_softmax(student / 7, -1)).sum(-1)
        hard = -scipy.special.log_softmax(student, -1)[np.arange(50), label]
        got = losses.hinton(
            jnp.asarray(student, jnp.float32), jnp.asarray(label), jnp.asarray(teacher, jnp.float32), 7.0, 0.1
        )
        np.testing.assert_allclose(got, 0.1 * hard + 0.9 * soft, rtol=1e-5)

    def test_no_gradient_reaches_the_teacher(self):
        student, teacher = jnp.ones((4, 2)), jnp.arange(8.0).reshape(4, 2)
        gradient = jax.grad(lambda t: losses.soft_cross_entropy(student, t, 3.0).sum())(teacher)
        np.testing.assert_array_equal(gradient, 0)

    def test_shapes_must_match(self):
        with pytest.raises(Exception, match=r"shape|Shape|type"):
            losses.soft_cross_entropy(jnp.zeros((2, 2)), jnp.zeros((2, 3)), 1.0)
