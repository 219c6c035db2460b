"""DKD against its paper's formulas, and against ordinary distillation, which it takes apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from hsjax import losses
from tests.losses import differences

compiled = jax.jit(losses.dkd)


def formula(logits, label, teacher, temperature, alpha, beta):
    values = []
    for row, true, targets in zip(logits, label, teacher, strict=True):
        q, p = scipy.special.softmax(row / temperature), scipy.special.softmax(targets / temperature)
        tckd = scipy.stats.entropy([p[true], 1 - p[true]], [q[true], 1 - q[true]])
        nckd = scipy.stats.entropy(np.delete(p, true), np.delete(q, true))  # scipy normalises both
        values.append(temperature**2 * (alpha * tckd + beta * nckd))
    return np.array(values)


def test_by_hand():
    # At T = 1 the teacher's [1/2, 1/4, 1/4] and the student's [1/4, 1/4, 1/2], true class 0. TCKD: [1/2, 1/2]
    # against [1/4, 3/4]. NCKD: [1/2, 1/2] against [1/3, 2/3].
    teacher, student = jnp.log(jnp.array([[0.5, 0.25, 0.25]])), jnp.log(jnp.array([[0.25, 0.25, 0.5]]))
    label = jnp.array([0])
    tckd, nckd = np.log(2) - np.log(3) / 2, np.log(3) - 1.5 * np.log(2)
    value = compiled(student, label, teacher, 1.0, 1.0, 8.0)
    np.testing.assert_allclose(value, [tckd + 8 * nckd], rtol=1e-5)
    # d TCKD / dz = (1/4 - 1/2) (1, -1/3, -2/3); d NCKD / dz = (0, 1/3 - 1/2, 2/3 - 1/2)
    gradient = jax.jit(jax.grad(lambda x: losses.dkd(x, label, teacher, 1.0, 1.0, 8.0).sum()))(student)
    np.testing.assert_allclose(gradient, [[-1 / 4, 1 / 12 - 8 / 6, 1 / 6 + 8 / 6]], rtol=1e-5)


@pytest.mark.parametrize("classes", [2, 5])
def test_from_its_formula(classes, rng):
    student, teacher = rng.normal(0, 3, (2, 6, classes))
    label = rng.integers(0, classes, 6)
    differences.check(
        lambda x, t: losses.dkd(x, jnp.asarray(label), jnp.asarray(teacher), t, 0.7, 3.0),
        lambda x, t: formula(x, label, teacher, t, 0.7, 3.0),
        student,
        [1.0, 4.0],
    )


def test_parts_make_up_ordinary_distillation(rng):
    # KL = TCKD + (1 - p) NCKD, with p the teacher's probability of the true class.
    student, teacher = rng.normal(0, 3, (2, 20, 5))
    label = rng.integers(0, 5, 20)
    p, q = scipy.special.softmax(teacher, -1), scipy.special.softmax(student, -1)
    given = jnp.asarray(student, jnp.float32), jnp.asarray(label), jnp.asarray(teacher, jnp.float32), 1.0
    tckd, nckd = compiled(*given, 1.0, 0.0), compiled(*given, 0.0, 1.0)
    rest = 1 - p[np.arange(20), label]
    np.testing.assert_allclose(tckd + rest * nckd, scipy.stats.entropy(p, q, axis=-1), rtol=1e-4)


def test_nckd_of_two_classes_is_exactly_nothing(rng):
    student, teacher = (jnp.asarray(x, jnp.float32) for x in rng.normal(0, 30, (2, 50, 2)))
    label = jnp.asarray(rng.integers(0, 2, 50))
    value, gradient = jax.jit(jax.value_and_grad(lambda x: losses.dkd(x, label, teacher, 4.0, 0.0, 8.0).sum()))(student)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_others_are_seen_beside_an_overwhelming_target():
    # A mask by subtraction, as 1e3 from the target's logit, leaves it among the others here.
    teacher, student = jnp.array([[1e4, 0.0, 0.0]]), jnp.array([[1e4, 0.0, np.log(3.0)]])
    # [1/2, 1/2] against [1/4, 3/4]
    value = compiled(student, jnp.array([0]), teacher, 1.0, 0.0, 1.0)
    np.testing.assert_allclose(value, [np.log(4) / 2 + np.log(4 / 3) / 2 - np.log(2)], rtol=1e-5)
