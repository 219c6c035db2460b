"""What every loss on logits keeps, whatever it computes, and what they share."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import losses
from hsjax.losses import logits as shared
from hsjax.types import UserError

# Each as loss(logits, teacher's logits, label, mask, a traced constant), with what else it needs fixed.
TRUE_CLASSES = {
    "cross_entropy": lambda s, t, y, m, c: losses.cross_entropy(s, y, c / 10),
    "bce": lambda s, t, y, m, c: losses.bce(s, y, c),
    "focal": lambda s, t, y, m, c: losses.focal(s, y, c),
}
TEACHER = {
    "soft_cross_entropy": lambda s, t, y, m, c: losses.soft_cross_entropy(s, t, c),
    "kl": lambda s, t, y, m, c: losses.kl(s, t, c),
    "hinton": lambda s, t, y, m, c: losses.hinton(s, y, t, c, 0.3, scale_by_t2=True),
    "soft_bce": lambda s, t, y, m, c: losses.soft_bce(s, t, c),
    "dkd": lambda s, t, y, m, c: losses.dkd(s, y, t, c, 1.0, 8.0),
    "dist": lambda s, t, y, m, c: losses.dist(s, t, m, c, 1.0, 2.0),
    "ttm": lambda s, t, y, m, c: losses.ttm(s, t, c),
    "wttm": lambda s, t, y, m, c: losses.wttm(s, t, c),
    "standardised_kl": lambda s, t, y, m, c: losses.standardised_kl(s, t, c),
}
LOSSES = TRUE_CLASSES | TEACHER


def arguments(classes: int, scale: float = 3.0):
    """Logits of a student and a teacher, labels and a mask; half of the logits, at random, are equal."""
    rng = np.random.default_rng(classes)
    student, teacher = rng.normal(0, scale, (2, 40, classes)) * rng.integers(0, 2, (2, 40, classes))
    given = (jnp.asarray(x, jnp.float32) for x in (student, teacher))
    return *given, jnp.asarray(rng.integers(0, classes, 40)), jnp.ones(40)


def everything(names: tuple[str, ...], *given):
    """Of each loss: the sum over examples, and its gradients for student and teacher."""
    return {name: jax.value_and_grad(lambda *x, n=name: LOSSES[n](*x).sum(), argnums=(0, 1))(*given) for name in names}


# One compilation for all losses is many times faster than one for each.
members = jax.jit(jax.vmap(functools.partial(everything, tuple(LOSSES)), (0, None, None, None, 0)))


@pytest.mark.parametrize("name", LOSSES)
def test_dtype_follows_the_logits(name):
    *given, label, mask = arguments(5)
    of_name = functools.partial(everything, (name,))
    with jax.enable_x64(True):
        for dtype in (jnp.float32, jnp.float64):
            student, teacher, some, constant = (jnp.asarray(x, dtype) for x in (*given, mask, 2.0))
            for c in (constant, 2.0):
                value, (gradient, _) = jax.eval_shape(of_name, student, teacher, label, some, c)[name]
                assert value.dtype == gradient.dtype == dtype


def test_value_and_gradient_are_finite_for_extreme_logits():
    student, *given = arguments(5, 1e4)
    results = members(jnp.stack([student, given[0], -given[0]]), *given, jnp.array([0.5, 1.0, 4.0]))
    for name, (value, (gradient, _)) in results.items():
        assert np.isfinite(value).all(), name
        assert np.isfinite(gradient).all(), name


def test_value_and_gradient_are_finite_for_extreme_logits_of_two_classes():
    results = jax.jit(functools.partial(everything, ("focal", "dkd", "dist")))(*arguments(2, 1e4), 0.5)
    for name, (value, (gradient, _)) in results.items():
        assert np.isfinite(value), name
        assert np.isfinite(gradient).all(), name


def test_members_do_not_see_each_other_and_constants_are_traced():
    student, *given = arguments(5)
    nothing = jnp.full_like(student, np.nan)
    together = members(jnp.stack([student] * 3), *given, jnp.array([1.0, 2.0, 4.0]))
    alone = members(jnp.stack([nothing, student, nothing]), *given, jnp.array([np.nan, 2.0, np.nan]))
    for name, (values, (gradients, _)) in together.items():
        np.testing.assert_allclose(alone[name][0][1], values[1], rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(alone[name][1][0][1], gradients[1], rtol=1e-5, atol=1e-7, err_msg=name)
        assert len(set(np.asarray(values).tolist())) == 3, name
    assert members._cache_size() == 1


def test_no_gradient_reaches_the_teacher():
    student, *given = arguments(5)
    for name, (_, (gradient, nothing)) in members(jnp.stack([student] * 3), *given, jnp.array([1.0, 2.0, 4.0])).items():
        if name in TEACHER:
            assert np.any(gradient), name
            np.testing.assert_array_equal(nothing, 0, err_msg=name)


@pytest.mark.parametrize("name", TEACHER)
def test_student_and_teacher_must_have_the_same_classes(name):
    with pytest.raises(Exception, match=r"shape|Shape|type"):
        TEACHER[name](jnp.zeros((2, 3)), jnp.zeros((2, 4)), jnp.zeros(2, int), jnp.ones(2), 1.0)


@pytest.mark.parametrize("name", sorted({*LOSSES} - {"bce", "focal", "soft_bce"}))
def test_softmax_of_one_logit_is_refused(name):
    logits = jnp.zeros((4, 1))
    with pytest.raises(UserError, match="at least"):
        LOSSES[name](logits, logits, jnp.zeros(4, int), jnp.ones(4), 2.0)


def test_target_and_rest_by_hand():
    # softmax([0, log 2, log 5]) = [1/8, 2/8, 5/8]
    logits = jnp.tile(jnp.array([[0.0, np.log(2.0), np.log(5.0)]]), (3, 1))
    target, rest = jax.jit(shared.target_and_rest)(logits, jnp.arange(3))
    np.testing.assert_allclose(target, np.log([1 / 8, 2 / 8, 5 / 8]), rtol=1e-6)
    np.testing.assert_allclose(rest, np.log([7 / 8, 6 / 8, 3 / 8]), rtol=1e-6)


def test_rest_keeps_its_digits_where_the_target_is_certain():
    # The others have 2 exp(-30) together, which 1 - p rounds to 0 in float32.
    _, rest = jax.jit(shared.target_and_rest)(jnp.array([[30.0, 0.0, 0.0]]), jnp.array([0]))
    np.testing.assert_allclose(rest, [np.log(2.0) - 30.0], rtol=1e-6)
