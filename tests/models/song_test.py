import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import models
from hsjax.models import Form
from hsjax.types import UserError

MFCC = jax.ShapeDtypeStruct((1, 13, 101), jnp.float32)

# Counts: PAPER (254.6 K, 43.3 K). MACs by hand: output positions x 9 x channels in x channels out, and linear layers.
TEACHER_MACS = 13 * 101 * 9 * 32 + 7 * 33 * 9 * 32 * 64 + 7 * 16 * 9 * 64 * 128 + 7 * 8 * 9 * 128 * 128 + 7168 * 2
STUDENT_MACS = 13 * 101 * 9 * 16 + 6 * 50 * 9 * 16 * 32 + 2400 * 16 + 16 * 2
EXPECTED = {"song-teacher": (254_594, TEACHER_MACS, 7168), "song-student": (43_250, STUDENT_MACS, 16)}


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("form", list(Form))
def test_counts(name, form):
    parameters, macs, embedding = EXPECTED[name]
    network = models.build(name, num_classes=2, form=form)
    variables = network.init(jax.random.key(0), MFCC)
    assert models.parameter_count(variables) == parameters
    if form is Form.PLAIN:
        assert models.macs(network, MFCC) == macs
    outputs, _ = network.apply(variables, jnp.zeros((3, 13, 101)))
    chex.assert_shape([outputs.logits, outputs.embedding], [(3, 2), (3, embedding)])


def test_teacher_maps_have_the_sizes_that_give_the_paper_s_count():
    network = models.build("song-teacher", num_classes=2)
    outputs, _ = network.apply(network.init(jax.random.key(0), MFCC), jnp.zeros((1, 13, 101)))
    shapes = {name: tap.shape[1:] for name, tap in outputs.taps.items()}
    assert shapes == {"conv1": (7, 33, 32), "conv2": (7, 16, 64), "conv3": (7, 8, 128), "conv4": (7, 8, 128)}


@pytest.mark.parametrize("name", EXPECTED)
def test_forms_have_equal_trees_values_and_gradients(name):
    fast, plain = (models.build(name, num_classes=2, form=form) for form in (Form.FAST, Form.PLAIN))
    variables = plain.init(jax.random.key(0), MFCC)
    chex.assert_trees_all_equal(variables, fast.init(jax.random.key(0), MFCC))
    inputs = jax.random.normal(jax.random.key(1), (4, 13, 101))

    @functools.partial(jax.jit, static_argnums=1)
    def loss(v, network):
        return jax.value_and_grad(lambda w: jnp.sum(jnp.square(network.apply(w, inputs)[0].logits)))(v)

    for got, want in zip(*(jax.tree.leaves(loss(variables, network)) for network in (fast, plain)), strict=True):
        # Relative to the leaf: where two values of a window nearly tie, rounding decides which one gets the gradient.
        np.testing.assert_allclose(got, want, atol=1e-3 * float(jnp.abs(want).max()))


def test_apply_leaves_variables_alone():
    network = models.build("song-student", num_classes=2)
    variables = network.init(jax.random.key(0), MFCC)
    before = jax.tree.map(np.array, variables)
    _, collections = network.apply(variables, jnp.ones((2, 13, 101)), train=True, rngs={"dropout": jax.random.key(0)})
    assert collections == {}
    chex.assert_trees_all_equal(before, variables)


def test_unknown_name_lists_the_known():
    with pytest.raises(UserError, match="song-student, song-teacher"):
        models.build("song-studnet", num_classes=2)
