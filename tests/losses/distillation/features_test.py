"""What every loss on features promises: padding, teachers, members, precision."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.losses import distillation, masked

KEY = jax.random.key(0)
BATCH = 6
MASK = np.array([1, 0, 1, 1, 0, 1])


def _per_example(loss, student, teacher, mask):
    """As a training step takes a mean: padding is hidden from parameters, then left out."""
    return masked.mean(loss(masked.shown(student, mask), masked.shown(teacher, mask)), mask)


def _fitnet(params, student, teacher, mask):
    return _per_example(functools.partial(distillation.fitnet, params), student, teacher, mask)


def _vid(params, student, teacher, mask):
    return _per_example(functools.partial(distillation.vid, params), student, teacher, mask)


def _attention(params, student, teacher, mask):
    return _per_example(distillation.attention_transfer, student, teacher, mask)


def _plain(loss):
    return lambda params, student, teacher, mask: loss(student, teacher, mask)


def _crd(params, student, teacher, mask):
    params, memory = params
    index = jnp.arange(BATCH)
    return distillation.crd(params, memory, student, teacher, index, index % 2, mask, KEY, 5)[0]


MAPS, VECTORS = ((4, 3, 2), (3, 5, 4)), ((3,), (5,))
CASES = {
    "fitnet": (_fitnet, MAPS, lambda dtype: distillation.init_fitnet(KEY, 2, 4, dtype)),
    "vid": (_vid, MAPS, lambda dtype: distillation.init_vid(KEY, 2, 4, dtype)),
    "attention": (_attention, MAPS, lambda dtype: ()),
    "similarity": (_plain(distillation.similarity_preserving), MAPS, lambda dtype: ()),
    "rkd_distance": (_plain(distillation.rkd_distance), VECTORS, lambda dtype: ()),
    "rkd_angle": (_plain(distillation.rkd_angle), VECTORS, lambda dtype: ()),
    "pkt": (_plain(distillation.pkt), VECTORS, lambda dtype: ()),
    "crd": (_crd, VECTORS, lambda dtype: distillation.init_crd(KEY, 3, 5, 9, 4, dtype)),
}
every = pytest.mark.parametrize("name", CASES)


def _case(name, seed=0):
    rng = np.random.default_rng(seed)
    student, teacher = (rng.normal(size=(BATCH, *shape)).astype(np.float32) for shape in CASES[name][1])
    return _params(name), student, teacher


@functools.cache
def _params(name):
    """Random numbers in place of the initial ones; labels unknown, switches off."""
    rng = np.random.default_rng(2)
    shapes = jax.eval_shape(functools.partial(CASES[name][2], jnp.float32))
    return jax.tree.map(
        lambda leaf: (
            jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype)
            if jnp.issubdtype(leaf.dtype, jnp.floating)
            else jnp.full(leaf.shape, -1 if leaf.dtype == jnp.int32 else False, leaf.dtype)
        ),
        shapes,
    )


@functools.cache
def _of(name):
    """Compiled once: the value, and the gradients by parameters, student and teacher."""
    # A memory's labels and switches are no numbers: their gradients are void.
    return jax.jit(jax.value_and_grad(CASES[name][0], (0, 1, 2), allow_int=True))


def _call(name, params, student, teacher, mask):
    value, gradients = _of(name)(params, jnp.asarray(student), jnp.asarray(teacher), jnp.asarray(mask, student.dtype))
    by_params, by_student, by_teacher = gradients
    return value, _floats(by_params), by_student, by_teacher


def _floats(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if leaf.dtype != jax.dtypes.float0]


@every
def test_masked_examples_reach_nothing(name):
    params, student, teacher = _case(name)
    want = _call(name, params, student, teacher, MASK)
    value, _, gradient, _ = want
    assert value > 0
    assert np.abs(gradient[MASK > 0]).max() > 1e-6
    np.testing.assert_array_equal(gradient[MASK == 0], 0)
    for junk in (np.nan, np.inf, -1e30):
        student[MASK == 0], teacher[MASK == 0] = junk, junk
        chex.assert_trees_all_equal(_call(name, params, student, teacher, MASK), want)


@every
def test_all_masked_is_zero_with_zero_gradient(name):
    params, student, teacher = _case(name)
    student[:2] = np.nan
    for leaf in jax.tree.leaves(_call(name, params, student, teacher, np.zeros(BATCH))):
        np.testing.assert_array_equal(leaf, 0)


@every
def test_one_unmasked_example_is_finite(name):
    chex.assert_tree_all_finite(_call(name, *_case(name), np.eye(BATCH)[2]))


@every
def test_no_gradient_reaches_the_teacher(name):
    np.testing.assert_array_equal(_call(name, *_case(name), np.ones(BATCH))[-1], 0)


@every
def test_zero_vectors_are_finite(name):
    params, student, teacher = _case(name)
    for pair in ((0 * student, teacher), (student, 0 * teacher), (0 * student, 0 * teacher)):
        chex.assert_tree_all_finite(_call(name, params, *pair, np.ones(BATCH)))


@every
def test_members_are_the_single_ones(name):
    members = [_case(name), _case(name, seed=1)]
    both = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(x) for x in leaves]), *members)
    got = jax.jit(jax.vmap(CASES[name][0], (0, 0, 0, None)))(*both, jnp.asarray(MASK, jnp.float32))
    np.testing.assert_allclose(got, [_call(name, *arguments, MASK)[0] for arguments in members], rtol=1e-5)


@every
def test_dtype_follows_the_arguments(name):
    with jax.enable_x64(True):
        for dtype in (np.float32, np.float64):
            loss, maps, init = CASES[name]
            student, teacher = (jax.ShapeDtypeStruct((BATCH, *shape), dtype) for shape in maps)
            of = jax.value_and_grad(loss, (0, 1), allow_int=True)
            params = jax.eval_shape(functools.partial(init, dtype))
            shapes = jax.eval_shape(of, params, student, teacher, jax.ShapeDtypeStruct((BATCH,), dtype))
            assert {leaf.dtype for leaf in _floats(shapes)} == {np.dtype(dtype)}
