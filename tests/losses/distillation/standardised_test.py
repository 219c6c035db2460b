"""Z-scores against scipy's, and why two classes have none worth matching."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from hsjax import losses
from hsjax.types import UserError
from tests.losses import differences


def test_standardise_by_hand():
    # mean 2, variance 2/3; equal logits have none
    got = jax.jit(losses.standardise)(jnp.array([[1.0, 2.0, 3.0], [0.1, 0.1, 0.1]]))
    np.testing.assert_allclose(got, [[-np.sqrt(1.5), 0, np.sqrt(1.5)], [0, 0, 0]], rtol=1e-6, atol=1e-7)


def test_from_its_formula(rng):
    student, teacher = rng.normal(0, 3, (2, 6, 5))

    def formula(logits, temperature):
        q, p = (scipy.special.softmax(scipy.stats.zscore(x, -1) / temperature, -1) for x in (logits, teacher))
        return temperature**2 * scipy.stats.entropy(p, q, axis=-1)

    differences.check(lambda x, t: losses.standardised_kl(x, jnp.asarray(teacher), t), formula, student, [1.0, 2.0])


def test_size_and_shift_of_the_logits_do_not_count(rng):
    teacher = jnp.asarray(rng.normal(0, 3, (6, 5)), jnp.float32)
    np.testing.assert_allclose(jax.jit(losses.standardised_kl)(0.1 * teacher + 7, teacher, 2.0), 0, atol=1e-6)


def test_equal_logits_have_no_gradient():
    teacher = jnp.array([[0.0, 1.0, 5.0]])
    gradient = jax.jit(jax.grad(lambda x: losses.standardised_kl(x, teacher, 2.0).sum()))(jnp.full((1, 3), 0.1))
    np.testing.assert_array_equal(gradient, 0)


def test_two_classes_keep_only_their_sign(rng):
    logits = rng.normal(0, 3, (50, 2))
    np.testing.assert_allclose(scipy.stats.zscore(logits, -1), np.where(logits > logits[:, ::-1], 1, -1), rtol=1e-9)
    with pytest.raises(UserError, match="at least 3 classes"):
        losses.standardise(jnp.asarray(logits, jnp.float32))
    with pytest.raises(UserError, match="at least 3 classes"):
        losses.standardised_kl(jnp.ones((4, 2)), jnp.ones((4, 2)), 2.0)
