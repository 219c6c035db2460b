"""Values and gradients worked out by hand, or written from the formula in float64."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import losses
from tests.losses import differences


class SoftBceTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_by_hand(self):
        # The teacher's sigmoid is 3/4 at T = 2, the student's 1/2: log 2, gradient (1/2 - 3/4) / 2.
        student, teacher = jnp.zeros((1, 1)), jnp.array([[2 * np.log(3.0)]])
        np.testing.assert_allclose(self.variant(losses.soft_bce)(student, teacher, 2.0), [np.log(2)], rtol=1e-6)
        gradient = jax.jit(jax.grad(lambda x: losses.soft_bce(x, teacher, 2.0).sum()))(student)
        np.testing.assert_allclose(gradient, [[-0.125]], rtol=1e-6)

    def test_temperature_is_1_in_the_paper(self):
        # log 4 / 4 + 3 log(4/3) / 4, the entropy of 3/4
        logits = jnp.array([[np.log(3.0)]])
        np.testing.assert_allclose(losses.soft_bce(logits, logits), [0.5623351], rtol=1e-6)


@pytest.mark.parametrize("classes", [1, 5])
def test_from_its_formula(classes, rng):
    student, teacher = rng.normal(0, 3, (2, 6, classes))

    def formula(logits, temperature):
        values = []
        for row, targets in zip(logits, teacher, strict=True):
            total = 0.0
            for x, z in zip(row, targets, strict=True):
                q, p = 1 / (1 + math.exp(-x / temperature)), 1 / (1 + math.exp(-z / temperature))
                total -= p * math.log(q) + (1 - p) * math.log(1 - q)
            values.append(total / classes)
        return np.array(values)

    differences.check(lambda x, t: losses.soft_bce(x, jnp.asarray(teacher), t), formula, student, [1.0, 4.0])
