"""Values and gradients worked out by hand (logs of small fractions) or in float64 by scipy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from hsjax import losses
from tests.losses import differences

LOG2 = np.log(2.0)


class KnowledgeDistillationTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_soft_cross_entropy_by_hand(self):
        # At T = 2 the teacher's [0, 2 log 3] softens to [1/4, 3/4], the student's [0, 0] to [1/2, 1/2].
        student, teacher = jnp.zeros((1, 2)), jnp.array([[0.0, 2 * np.log(3.0)]])
        value = self.variant(losses.soft_cross_entropy)(student, teacher, 2.0)
        np.testing.assert_allclose(value, [LOG2], rtol=1e-6)
        gradient = jax.jit(jax.grad(lambda x: losses.soft_cross_entropy(x, teacher, 2.0).sum()))(student)
        # (softmax(student / T) - softmax(teacher / T)) / T
        np.testing.assert_allclose(gradient, [[0.125, -0.125]], rtol=1e-6)

    @chex.variants(with_jit=True, without_jit=True)
    def test_kl_by_hand(self):
        # As above, less the entropy of [1/4, 3/4]; the gradient is the same.
        student, teacher = jnp.zeros((1, 2)), jnp.array([[0.0, 2 * np.log(3.0)]])
        value = self.variant(losses.kl)(student, teacher, 2.0)
        np.testing.assert_allclose(value, [LOG2 - (np.log(4) / 4 + 3 * np.log(4 / 3) / 4)], rtol=1e-5)
        gradient = jax.jit(jax.grad(lambda x: losses.kl(x, teacher, 2.0).sum()))(student)
        np.testing.assert_allclose(gradient, [[0.125, -0.125]], rtol=1e-6)
        np.testing.assert_array_equal(self.variant(losses.kl)(teacher, teacher, 2.0), 0)

    def test_hinton_by_hand(self):
        student, teacher = jnp.zeros((1, 2)), jnp.array([[0.0, 2 * np.log(3.0)]])
        label = jnp.array([0])
        gradient = jax.grad(lambda x, a, t2: losses.hinton(x, label, teacher, 2.0, a, t2).sum())
        gradient = jax.jit(gradient, static_argnums=2)
        # hard part: [-1/2, 1/2]; soft part: [1/8, -1/8], times 4 with the T^2 switch
        for alpha, t2, want in [(1.0, False, -0.5), (0.0, False, 0.125), (0.25, False, -0.03125), (0.5, True, 0.0)]:
            np.testing.assert_allclose(gradient(student, alpha, t2), [[want, -want]], atol=1e-7)


def test_hinton_against_float64_with_three_classes(rng):
    student, teacher, label = rng.normal(0, 3, (50, 3)), rng.normal(0, 3, (50, 3)), rng.integers(0, 3, 50)
    soft = -(scipy.special.softmax(teacher / 7, -1) * scipy.special.log_softmax(student / 7, -1)).sum(-1)
    hard = -scipy.special.log_softmax(student, -1)[np.arange(50), label]
    got = jax.jit(losses.hinton)(
        jnp.asarray(student, jnp.float32), jnp.asarray(label), jnp.asarray(teacher, jnp.float32), 7.0, 0.1
    )
    np.testing.assert_allclose(got, 0.1 * hard + 0.9 * soft, rtol=1e-5)


@pytest.mark.parametrize("classes", [2, 5])
def test_kl_against_scipy(classes, rng):
    student, teacher = rng.normal(0, 3, (2, 6, classes))

    def divergence(logits, temperature):
        p, q = scipy.special.softmax(teacher / temperature, -1), scipy.special.softmax(logits / temperature, -1)
        return scipy.stats.entropy(p, q, axis=-1)

    differences.check(lambda x, t: losses.kl(x, jnp.asarray(teacher), t), divergence, student, [1.0, 4.0])
