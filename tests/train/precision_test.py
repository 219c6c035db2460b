"""Networks that compute in bfloat16 beside the same ones in float32."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from hsjax import models
from hsjax.models import Form, layers
from hsjax.models.layers import BatchNorm, Phase, Precision
from tests import hurry
from tests.models.layers import quick

BATCH, SHAPE = 16, (13, 24)

NETWORKS = {
    "song-student": {},
    "dscnn": {"stem": 8, "widths": (8,), "depths": (1,), "strides": ((1, 1),), "squeeze_excite": 2},
    "resnet18": {"blocks": (1,), "width": 8},
    "sarkhel-lstm": {"units": (8,), "dropout": 0.0},
}

# Relative to the largest logit. A value of bfloat16 is off by at most 2^-9 = 0.2 %; a few layers of that add up.
TOLERANCE = 2e-2


_HURRY = hurry.OPTIONS


def network(name, precision, form=Form.FAST):
    built = models.build(name, num_classes=2, form=form, **NETWORKS[name])
    return dataclasses.replace(built, precision=precision)


@functools.cache
def variables(name):
    """Kernels drawn by NumPy, of the variance that keeps that of maps; all else as networks begin."""
    shapes = jax.eval_shape(network(name, Precision.FLOAT32).init, jax.random.key(0), jnp.zeros((BATCH, *SHAPE)))
    rng = np.random.default_rng(0)

    def values(path, leaf):
        if "kernel" in path[-1].key:
            return jnp.asarray(rng.normal(size=leaf.shape) * np.prod(leaf.shape[:-1]) ** -0.5, leaf.dtype)
        return jnp.full(leaf.shape, float(path[-1].key in ("scale", "var")), leaf.dtype)

    return jax.tree_util.tree_map_with_path(values, shapes)


@functools.cache
def examples():
    """Two classes that differ in their upper coefficients, and a padded row that holds something absurd."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, BATCH)
    inputs = rng.normal(size=(BATCH, *SHAPE))
    inputs[:, :6] += (2.0 * label - 1)[:, None, None]
    inputs[-1] = 1e30
    mask = np.ones(BATCH, np.float32)
    mask[-1] = 0
    return inputs.astype(np.float32), label.astype(np.int32), mask


def training(net, values):
    """Loss, outputs, collections and gradient of a training step."""
    inputs, label, mask = map(jnp.asarray, examples())

    def loss(params):
        outputs, after = net.apply(values | {"params": params}, inputs, True, {"dropout": jax.random.key(1)}, mask)
        each = optax.softmax_cross_entropy_with_integer_labels(outputs.logits, label)
        return jnp.sum(jnp.where(mask > 0, each, 0)) / jnp.sum(mask), (outputs, after)

    (value, (outputs, after)), gradient = jax.value_and_grad(loss, has_aux=True)(values["params"])
    return value, outputs, after, gradient


@functools.cache
def compiled(name, precision):
    return jax.jit(functools.partial(training, network(name, precision)), compiler_options=_HURRY)


def equations(jaxpr):
    """All of them, those of inner functions too."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "jaxpr") or hasattr(p, "eqns")):
            if hasattr(inner, "jaxpr") or hasattr(inner, "eqns"):
                yield from equations(getattr(inner, "jaxpr", inner))


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_gradients_are_those_of_float32_and_in_float32(name):
    value, outputs, after, gradient = compiled(name, Precision.BFLOAT16)(variables(name))
    _, want, want_after, want_gradient = compiled(name, Precision.FLOAT32)(variables(name))
    assert {leaf.dtype for leaf in jax.tree.leaves((value, outputs, after, gradient))} == {jnp.dtype(jnp.float32)}
    assert jax.tree.structure((outputs, after, gradient)) == jax.tree.structure((want, want_after, want_gradient))
    difference = np.abs(outputs.logits - want.logits)[:-1].max()
    # Not equal either: something was rounded.
    assert 0 < difference < TOLERANCE * np.abs(want.logits[:-1]).max()
    a, b = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (gradient, want_gradient))
    assert np.isfinite(a).all()
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.99
    for got, right in zip(jax.tree.leaves(after), jax.tree.leaves(want_after), strict=True):
        np.testing.assert_allclose(got, right, rtol=0.02, atol=0.02 * np.abs(right).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_loss_falls_in_ten_steps(name):
    values, losses = variables(name), []
    for _ in range(10):
        loss, _, after, gradient = compiled(name, Precision.BFLOAT16)(values)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, values["params"], gradient)
        values = after | {"params": params}
        losses.append(float(loss))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_product_is_of_bfloat16(name, form):
    half = network(name, Precision.BFLOAT16, form)
    jaxpr = jax.make_jaxpr(functools.partial(training, half))(variables(name))
    products = [e for e in equations(jaxpr.jaxpr) if e.primitive.name in ("dot_general", "conv_general_dilated")]
    assert len(products) >= 4
    assert {operand.aval.dtype for product in products for operand in product.invars} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("name", NETWORKS)
def test_float32_is_the_module_alone(name):
    """No cast is added: what is traced is what Flax traces."""
    net, inputs = network(name, Precision.FLOAT32), jnp.asarray(examples()[0])
    got = jax.make_jaxpr(lambda v, x: net.apply(v, x)[0])(variables(name), inputs)
    want = jax.make_jaxpr(lambda v, x: net.module.apply(v, x, Phase()))(variables(name), inputs)
    assert str(got) == str(want)
    casts = [equation for equation in equations(got.jaxpr) if equation.primitive.name == "convert_element_type"]
    assert not [cast for cast in casts if cast.invars[0].aval.ndim]  # constants have none


@pytest.mark.parametrize("mask", [None, jnp.array([1.0, 0.0, 1.0, 1.0])])
def test_batch_norm_of_bfloat16_has_float32_statistics(mask):
    """Of values that bfloat16 holds exactly and whose sums it does not: 256 + 1 is 256 in it."""
    norm = BatchNorm(momentum=0.0, unbiased=False)
    x = jnp.asarray(256 + 2 * np.random.default_rng(0).integers(0, 4, (4, 30, 2)), jnp.bfloat16)
    state = {"params": {"scale": jnp.ones(2), "bias": jnp.zeros(2)}}
    state["batch_stats"] = {"mean": jnp.zeros(2), "var": jnp.ones(2)}
    y, moved = quick.jit(lambda a: norm.apply(state, a, Phase(True, mask), mutable=["batch_stats"]))(x)
    stats, exact = moved["batch_stats"], np.asarray(x, np.float64)[slice(None) if mask is None else mask > 0]
    mean, var = exact.mean((0, 1)), exact.var((0, 1))
    assert (y.dtype, stats["mean"].dtype, stats["var"].dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
    np.testing.assert_allclose(stats["mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(stats["var"], var, rtol=1e-4)
    want = (np.asarray(x, np.float64) - mean) / np.sqrt(var + norm.epsilon)
    np.testing.assert_allclose(np.asarray(y, np.float64), want, rtol=2**-7, atol=2e-3)
    evaluated = norm.apply(state | moved, x)
    assert evaluated.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(evaluated, np.float64), want, rtol=2**-7, atol=2e-3)


def test_what_is_rounded():
    """Kernels and biases on their way into the network, not those that are kept, and nothing of a norm."""
    net = network("dscnn", Precision.BFLOAT16)
    kept = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, *SHAPE)))
    assert {leaf.dtype for leaf in jax.tree.leaves(kept)} == {jnp.dtype(jnp.float32)}
    seen = traverse_util.flatten_dict(jax.eval_shape(models.network._half, kept)["params"])
    wide = {path for path, leaf in seen.items() if leaf.dtype == jnp.float32}
    assert wide == {path for path in seen if path[-2] == "norm"}
    assert {leaf.dtype for path, leaf in seen.items() if path not in wide} == {jnp.dtype(jnp.bfloat16)}


def test_float16_whose_range_would_need_scaled_losses_is_not_offered():
    assert {precision.value for precision in layers.Precision} == {"float32", "bfloat16"}


def test_precision_is_static_and_distinguishes_networks():
    plain, half = (network("song-student", precision) for precision in Precision)
    assert hash(plain) == hash(network("song-student", Precision.FLOAT32))
    assert plain != half
