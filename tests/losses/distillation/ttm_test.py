"""TTM and WTTM from their paper's power transform, which never divides a logit by a temperature."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from hsjax import losses
from tests.losses import differences


def transformed(teacher, temperature):
    """Power sums of the teacher's probabilities, and the powers divided by them."""
    power = scipy.special.softmax(teacher, -1) ** (1 / temperature)
    return power.sum(-1), power / power.sum(-1, keepdims=True)


class TtmTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_by_hand(self):
        # At T = 2 the teacher's [1/10, 9/10] becomes [1/4, 3/4], and its power sum is 4 / sqrt 10. The student's
        # [1/2, 1/2] is not softened: gradient softmax(student) - target.
        teacher, student = jnp.log(jnp.array([[0.1, 0.9]])), jnp.zeros((1, 2))
        divergence = 0.75 * np.log(3) - np.log(2)
        np.testing.assert_allclose(self.variant(losses.ttm)(student, teacher, 2.0), [divergence], rtol=1e-5)
        weighted = self.variant(losses.wttm)(student, teacher, 2.0)
        np.testing.assert_allclose(weighted, [divergence * 4 / np.sqrt(10)], rtol=1e-5)
        gradient = jax.jit(jax.grad(lambda x: losses.wttm(x, teacher, 2.0).sum()))(student)
        np.testing.assert_allclose(gradient, [[1 / np.sqrt(10), -1 / np.sqrt(10)]], rtol=1e-5)


@pytest.mark.parametrize("classes", [2, 5])
def test_from_their_formulas(classes, rng):
    student, teacher = rng.normal(0, 3, (2, 6, classes))

    def both(logits, temperature):
        given = logits, jnp.asarray(teacher), temperature
        return jnp.stack([losses.ttm(*given), losses.wttm(*given)])

    def formulas(logits, temperature):
        total, target = transformed(teacher, temperature)
        divergence = scipy.stats.entropy(target, scipy.special.softmax(logits, -1), axis=-1)
        return np.stack([divergence, total * divergence])

    differences.check(both, formulas, student, [1.0, 4.0])


def test_weight_lies_between_a_sure_and_an_ignorant_teacher():
    # 1 and classes^(1 - 1/T) = sqrt 4, over the same divergence where the targets are the same.
    student = jnp.array([[0.0, 1.0, 2.0, 3.0]] * 2)
    teacher = jnp.array([[100.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    ratio = losses.wttm(student, teacher, 2.0) / losses.ttm(student, teacher, 2.0)
    np.testing.assert_allclose(ratio, [1, 2], rtol=1e-6)
