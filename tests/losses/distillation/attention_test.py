"""Values and gradients by hand, and float64 NumPy written out per position."""

import chex
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from hsjax.losses import distillation


def loops(student, teacher, power):
    """Of two maps of one size, two space axes."""
    want = np.zeros(len(student))
    for b in range(len(student)):
        scaled = []
        for values in (student[b], teacher[b]):
            attention = [np.mean(np.abs(cell) ** power) for row in values for cell in row]
            scaled.append(np.array(attention) / np.sqrt(np.sum(np.square(attention))))
        want[b] = np.mean((scaled[0] - scaled[1]) ** 2)
    return want


class AttentionTransferTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_by_hand(self):
        # One channel, p = 1: (3, 4) / 5 against (1, 0): (0.4^2 + 0.8^2) / 2.
        student, teacher = jnp.array([3.0, -4.0]).reshape(1, 2, 1), jnp.array([2.0, 0.0]).reshape(1, 2, 1)
        loss = self.variant(lambda s, p: distillation.attention_transfer(s, teacher, p), static_argnums=1)
        np.testing.assert_allclose(loss(student, 1), [0.4], rtol=1e-6)
        # With u = (0.6, 0.8), t = (1, 0): -(t - u (u.t)) / 5 = (-0.128, 0.096), by |s|.
        gradient = jax.jit(jax.grad(lambda s: distillation.attention_transfer(s, teacher, 1).sum()))(student)
        np.testing.assert_allclose(gradient.ravel(), [-0.128, -0.096], rtol=1e-5)
        # p = 2: (9, 16) / sqrt(337).
        want = ((1 - 9 / np.sqrt(337)) ** 2 + 256 / 337) / 2
        np.testing.assert_allclose(loss(student, 2), [want], rtol=1e-6)

    def test_against_loops_in_float64(self):
        rng = np.random.default_rng(0)
        student, teacher = rng.normal(size=(3, 4, 5, 2)), rng.normal(size=(3, 4, 5, 6))
        with jax.enable_x64(True):
            for power in (1, 2, 3):
                loss = jax.jit(lambda s, p=power: distillation.attention_transfer(s, jnp.asarray(teacher), p))
                np.testing.assert_allclose(loss(jnp.asarray(student)), loops(student, teacher, power), rtol=1e-10)
            jax.test_util.check_grads(loss, (jnp.asarray(student),), 1, ["rev"])

    def test_different_sizes_meet_as_attention(self):
        # Activations 1 and -1 side by side: pooled first they would vanish.
        student = jnp.array([1.0, -1.0, 0.0, 0.0]).reshape(1, 4, 1)
        same = distillation.attention_transfer(student, jnp.array([5.0, 0.0]).reshape(1, 2, 1))
        np.testing.assert_allclose(same, [0.0], atol=1e-12)
        # Two frequencies by two times against a sequence: the mean over frequencies, (1, 1), against (0, 1).
        student = jnp.array([[1.0, 0.0], [0.0, 1.0]]).reshape(1, 2, 2, 1)
        got = distillation.attention_transfer(student, jnp.array([0.0, 3.0]).reshape(1, 2, 1))
        np.testing.assert_allclose(got, [1 - np.sqrt(0.5)], rtol=1e-6)

    def test_zero_maps(self):
        teacher = jnp.ones((2, 4, 3))
        of = jax.value_and_grad(lambda s: distillation.attention_transfer(s, teacher).sum())
        value, gradient = jax.jit(of)(jnp.zeros((2, 4, 5)))
        np.testing.assert_allclose(value, 2 / 4, rtol=1e-6)  # the teacher's, of length 1, over four positions, twice
        np.testing.assert_array_equal(gradient, 0)

    def test_scale_does_not_count(self):
        values = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 5, 2)), jnp.float32)
        np.testing.assert_allclose(distillation.attention_transfer(3 * values, values), 0, atol=1e-12)

    def test_rejects_embeddings(self):
        with pytest.raises(AssertionError):
            distillation.attention_transfer(jnp.zeros((2, 4)), jnp.zeros((2, 4, 1)))
