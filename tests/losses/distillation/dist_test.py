"""DIST against scipy's correlation, and what padding and constants do to it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from hsjax import losses
from tests.losses import differences

TEACHER = jnp.asarray(np.random.default_rng(0).normal(0, 3, (8, 5)), jnp.float32)
compiled = jax.jit(jax.value_and_grad(losses.dist))


def formula(logits, teacher, temperature, beta, gamma):
    q, p = scipy.special.softmax(logits / temperature, -1), scipy.special.softmax(teacher / temperature, -1)
    inter = [1 - scipy.stats.pearsonr(a, b).statistic for a, b in zip(q, p, strict=True)]
    intra = [1 - scipy.stats.pearsonr(a, b).statistic for a, b in zip(q.T, p.T, strict=True)]
    return temperature**2 * (beta * np.mean(inter) + gamma * np.mean(intra))


def test_by_hand():
    # Two classes: the student's p of class 1 are 1/4, 1/2, 3/4, the teacher's 1/2, 3/4, 1/4: r = -1/2 over examples.
    # Within the examples p - 1/2 are -, 0, + against 0, +, -: r = 0, 0, -1.
    odds = np.log(3.0)
    student = jnp.zeros((9, 2)).at[:3].set([[odds, 0.0], [0.0, 0.0], [0.0, odds]])
    teacher = jnp.zeros((9, 2)).at[:3].set([[0.0, 0.0], [0.0, odds], [odds, 0.0]])
    value, gradient = compiled(student, teacher, jnp.zeros(9).at[:3].set(1), 1.0, 10.0, 1.0)
    np.testing.assert_allclose(value, 10 * 4 / 3 + 1.5, rtol=1e-6)
    # d(-r)/dp = -(v - r u) / |p| with u = (-1, 0, 1) / sqrt 2, v = (0, 1, -1) / sqrt 2 and |p| = sqrt 2 / 4, then
    # dp/dz = p (1 - p) = 3/16, 1/4, 3/16, for both classes the same, so that their mean is one of them.
    want = np.array([1.0, -2.0, 1.0]) * [3 / 16, 1 / 4, 3 / 16]
    np.testing.assert_allclose(gradient[:3], np.stack([-want, want], 1), rtol=1e-5)


def test_from_its_formula(rng):
    student, teacher = rng.normal(0, 3, (2, 7, 5))
    differences.check(
        lambda x, t: losses.dist(x, jnp.asarray(teacher), jnp.ones(7), t, 2.0, 3.0),
        lambda x, t: formula(x, teacher, t, 2.0, 3.0),
        student,
        [1.0, 4.0],
    )


def test_two_classes_teach_only_over_examples(rng):
    # The inter term only counts the examples on which both prefer different classes.
    student, teacher = rng.normal(0, 3, (2, 9, 2))
    given = jnp.asarray(student, jnp.float32), jnp.asarray(teacher, jnp.float32), jnp.ones(9)
    value, gradient = compiled(*given, 1.0, 1.0, 0.0)
    np.testing.assert_allclose(value, 2 * np.mean(student.argmax(-1) != teacher.argmax(-1)), rtol=1e-6)
    np.testing.assert_array_equal(gradient, 0)
    value, gradient = compiled(*given, 1.0, 0.0, 1.0)
    np.testing.assert_allclose(value, formula(student, teacher, 1.0, 0.0, 1.0), rtol=1e-5)
    want = differences.slope(lambda x: formula(x, teacher, 1.0, 0.0, 1.0), student)
    np.testing.assert_allclose(gradient, want, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("padding", [0.0, np.inf, np.nan])
def test_padding_counts_nowhere(padding, rng):
    student, teacher = rng.normal(0, 3, (2, 8, 5))
    mask = np.array([1, 0, 1, 1, 0, 1, 1, 1])
    want = formula(student[mask > 0], teacher[mask > 0], 2.0, 1.0, 1.0)
    slope = differences.slope(lambda x: formula(x, teacher[mask > 0], 2.0, 1.0, 1.0), student[mask > 0])
    student[mask == 0] = padding
    teacher[mask == 0] = padding
    value, gradient = compiled(*(jnp.asarray(x, jnp.float32) for x in (student, teacher, mask)), 2.0, 1.0, 1.0)
    np.testing.assert_allclose(value, want, rtol=1e-5)
    np.testing.assert_allclose(gradient[mask > 0], slope, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(gradient[mask == 0], 0)


def test_nothing_but_padding_is_nothing():
    value, gradient = compiled(jnp.full((8, 5), np.nan, jnp.float32), TEACHER, jnp.zeros(8), 2.0, 1.0, 1.0)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_one_example_has_no_intra_term():
    value, gradient = compiled(2 * TEACHER, TEACHER, jnp.eye(8)[3], 2.0, 0.0, 1.0)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_constant_outputs_have_correlation_0_and_no_gradient():
    # A network that has just been initialised: every logit the same.
    value, gradient = compiled(jnp.full((8, 5), 0.1, jnp.float32), TEACHER, jnp.ones(8), 1.0, 1.0, 2.0)
    np.testing.assert_allclose(value, 3, rtol=1e-6)
    np.testing.assert_array_equal(gradient, 0)
