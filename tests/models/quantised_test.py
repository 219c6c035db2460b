"""Networks with a quantiser for training: their variables, where they begin, what is seen."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import models
from hsjax.models import quantised
from hsjax.models.layers import Form, fake_quant
from hsjax.types import UserError
from tests.models import family

SHAPE = (12, 16)
DSCNN = {"stem": 4, "widths": (4, 8), "depths": (1, 1), "strides": ((1, 1), (2, 2)), "squeeze_excite": 2}


def dscnn(form=Form.FAST, **settings):
    return models.build("dscnn", num_classes=2, form=form, quantiser=fake_quant(**settings), **DSCNN)


@pytest.fixture(scope="module")
def trained():
    return family.draw(models.build("dscnn", num_classes=2, **DSCNN), (1, *SHAPE))


@pytest.fixture(scope="module")
def inputs():
    return jnp.asarray(np.random.default_rng(0).normal(size=(6, *SHAPE)), jnp.float32)


def test_parameters_are_those_of_the_float_network(trained):
    shape = jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32)
    for form in Form:
        made = jax.eval_shape(dscnn(form).init, jax.random.key(0), shape)
        chex.assert_trees_all_equal_shapes({name: made[name] for name in trained}, trained)
        assert made.keys() == {*trained, "ranges"}


@pytest.mark.parametrize("ranges", ["ema", "learned"])
def test_training_begins_with_float_weights_and_what_they_make(trained, inputs, ranges):
    network = dscnn(ranges=ranges)
    begun = quantised.begin(network, trained, [inputs[:3], inputs[3:]])
    made = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32))
    chex.assert_trees_all_equal_shapes(begun, made)
    ends = begun["ranges" if ranges == "ema" else "params"]
    want = (inputs[:3].min() + inputs[3:].min()) / 2, (inputs[:3].max() + inputs[3:].max()) / 2
    np.testing.assert_allclose((ends["input_low"], ends["input_high"]), want, rtol=1e-6)
    plain = models.build("dscnn", num_classes=2, **DSCNN)
    stem = [np.asarray(plain.apply(trained, part)[0].taps["stem"]) for part in (inputs[:3], inputs[3:])]
    act = ends["stem"]["act"]
    np.testing.assert_allclose(act["after_high"], np.mean([maps.max() for maps in stem]), rtol=1e-5)
    assert act["after_low"] == 0
    kernel = np.asarray(trained["params"]["stem"]["conv"]["kernel"])
    chex.assert_trees_all_equal(begun["params"]["stem"]["conv"]["kernel"], kernel)
    if ranges == "learned":
        np.testing.assert_allclose(
            begun["params"]["stem"]["conv"]["kernel_step"], np.abs(kernel).max((0, 1, 2)) / 127, rtol=1e-6
        )


def test_both_forms_compute_the_same_and_move_ranges_alike(trained, inputs):
    begun = quantised.begin(dscnn(), trained, [inputs])
    key = {"dropout": jax.random.key(1)}
    networks = [dscnn(form) for form in (Form.FAST, Form.PLAIN)]
    results = [family.hurried(lambda v, n=network: n.apply(v, inputs, True, key), begun) for network in networks]
    (fast, moved), (plain, also) = results
    # Where rounding errors of the two forms lie on both sides of a half, a level differs.
    np.testing.assert_allclose(fast.logits, plain.logits, atol=0.05 * np.std(plain.logits))
    chex.assert_trees_all_close(moved["ranges"], also["ranges"], rtol=0.02, atol=1e-3)
    assert not np.array_equal(
        moved["ranges"]["stem"]["act"]["after_high"], begun["ranges"]["stem"]["act"]["after_high"]
    )


def test_the_ends_of_the_network_lie_on_grids(trained, inputs):
    network = dscnn()
    begun = quantised.begin(network, trained, [inputs])
    begun["ranges"]["output_low"], begun["ranges"]["output_high"] = jnp.float32(-2.55), jnp.float32(0)
    logits = np.asarray(family.hurried(lambda v: network.apply(v, inputs)[0].logits, begun), np.float64)
    np.testing.assert_allclose(logits / 0.01, np.round(logits / 0.01), atol=1e-3)
    assert logits.max() <= 0
    begun["ranges"]["input_high"] = begun["ranges"]["input_low"] = jnp.float32(0)  # everything saturates at 0
    silent = family.hurried(lambda v: network.apply(v, inputs)[0].logits, begun)
    np.testing.assert_array_equal(silent, np.broadcast_to(silent[:1], silent.shape))


def test_what_is_seen_is_float(trained, inputs):
    network = dscnn()
    begun = quantised.begin(network, trained, [inputs])
    outputs, seen = quantised.seen(network, begun, inputs)
    want = models.build("dscnn", num_classes=2, **DSCNN).apply(trained, inputs)[0]
    np.testing.assert_allclose(outputs.logits, want.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen["stem", "act", "after"].value, want.taps["stem"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(seen["output",].value, outputs.logits)
    kernel = seen["logits", "kernel"]
    np.testing.assert_allclose(kernel.step * kernel.levels, kernel.value, atol=float(kernel.step.max()) / 1.99)


def test_a_network_without_such_a_quantiser(trained, inputs):
    with pytest.raises(ValueError, match="built with a FakeQuant"):
        quantised.begin(models.build("dscnn", num_classes=2, **DSCNN), trained, [inputs])
    with pytest.raises(ValueError, match="no inputs"):
        quantised.begin(dscnn(), trained, [])


@pytest.mark.parametrize("settings", [{}, {"weights": 4, "ranges": "learned"}])
def test_a_network_on_its_grid_computes_in_float_what_its_rounded_kernels_do(trained, inputs, settings):
    network = dscnn(**settings)
    begun = quantised.begin(network, trained, [inputs])
    held = quantised.on_grid(network, begun, (1, *SHAPE))
    kernel = np.asarray(begun["params"]["logits"]["kernel"], np.float64)
    most = 2 ** (settings.get("weights", 8) - 1) - 1
    step = np.abs(kernel).max(0) / most
    if not settings:  # learnt steps begin elsewhere
        np.testing.assert_allclose(held["params"]["logits"]["kernel"], step * np.round(kernel / step), rtol=1e-5)
    for path in (("stem", "conv"), ("logits",)):
        layer = held["params"]
        for name in path:
            layer = layer[name]
        assert all(len(np.unique(of.round(7))) <= 2 * most + 1 for of in np.moveaxis(layer["kernel"], -1, 0))
    rounded = np.asarray(quantised.without(network).apply(held, inputs)[0].logits)
    apart = np.asarray(
        models.build("dscnn", num_classes=2, **DSCNN).apply({**trained, "params": held["params"]}, inputs)[0].logits
    )
    np.testing.assert_allclose(rounded, apart, rtol=1e-5, atol=1e-6)


def test_a_stem_of_three_channels_is_on_the_grid_in_sum(inputs):
    settings = {"num_classes": 2, "quantiser": fake_quant()}
    network = models.build("mobilenetv2", **settings)
    plain = models.build("mobilenetv2", num_classes=2)
    wide = jnp.pad(inputs, ((0, 0), (0, 20), (0, 16)))
    drawn = family.draw(plain, (1, *wide.shape[1:]))
    held = quantised.on_grid(network, quantised.begin(network, drawn, [wide]), (1, *wide.shape[1:]))
    stem = held["params"]["stem"]["conv"]["kernel"]
    summed = np.asarray(drawn["params"]["stem"]["conv"]["kernel"], np.float64).sum(2, keepdims=True)
    step = np.abs(summed).max((0, 1, 2)) / 127
    np.testing.assert_allclose(
        np.asarray(stem).sum(2, keepdims=True), step * np.round(summed / step), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"logts": {"weights": 8}}, r"no weights of this network are at 'logts'; there are .*logits/kernel"),
        ({"logits/kernel": {"activations": 16}}, "no activations of this network are at 'logits/kernel'; there are "),
    ],
)
def test_overrides_of_nothing_are_refused(overrides, message):
    shape = jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32)
    with pytest.raises(UserError, match=message):
        quantised.check_overrides(dscnn(weights=4, overrides=overrides), shape)
    quantised.check_overrides(
        dscnn(weights=4, overrides={"logits": {"weights": 8}, "output": {"activations": 8}}), shape
    )
