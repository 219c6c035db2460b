import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hsjax.models.layers import (
    EVALUATION,
    BatchNorm,
    ConvNorm,
    Dropout,
    Padding,
    Phase,
    SqueezeExcite,
    as_maps,
    relu6,
    sigmoid,
)
from tests.models.layers import oracle, quick


class BlocksTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_squeeze_excite_by_hand(self):
        x = quick.normal(2, 3, 4, 5)
        module = SqueezeExcite(2, gate=sigmoid)
        variables = quick.variables(module, x)
        shapes = {f"{layer}/{leaf}": value.shape for layer, leaves in variables["params"].items()
                  for leaf, value in leaves.items()}  # fmt: skip
        assert shapes == {
            "reduce/kernel": (1, 1, 5, 2), "reduce/bias": (2,), "expand/kernel": (1, 1, 2, 5), "expand/bias": (5,),
        }  # fmt: skip
        reduce, expand = variables["params"]["reduce"], variables["params"]["expand"]
        maps = np.asarray(x, np.float64)
        hidden = np.maximum(maps.mean((1, 2)) @ reduce["kernel"][0, 0] + reduce["bias"], 0)
        gate = 1 / (1 + np.exp(-(hidden @ expand["kernel"][0, 0] + expand["bias"])))
        got = self.variant(lambda v, a: module.apply(v, a))(variables, x)
        np.testing.assert_allclose(got, maps * gate[:, None, None, :], atol=1e-5)

    @chex.variants(with_jit=True, without_jit=True)
    def test_stochastic_depth_drops_whole_examples(self):
        x = jnp.asarray(1 + np.random.default_rng(0).random((400, 2, 3, 2)), jnp.float32)
        module = Dropout(0.25, (1, 2, 3))
        y = self.variant(lambda a: module.apply({}, a, Phase(True), rngs={"dropout": jax.random.key(0)}))(x)
        dropped = np.all(np.asarray(y) == 0, axis=(1, 2, 3))
        np.testing.assert_allclose(y[~dropped], np.asarray(x)[~dropped] / 0.75, rtol=1e-6)
        assert abs(dropped.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400)


def test_dropout_without_axes_drops_values():
    x = jnp.ones((40, 50))
    y = quick.jit(lambda a: Dropout(0.4).apply({}, a, Phase(True), rngs={"dropout": jax.random.key(1)}))(x)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.6)}
    assert abs(np.mean(np.asarray(y) == 0) - 0.4) < 4 * np.sqrt(0.4 * 0.6 / 2000)


def test_dropout_does_nothing_in_evaluation_and_needs_no_key():
    x = quick.normal(3, 4)
    np.testing.assert_array_equal(Dropout(0.9).apply({}, x), x)


class Shared(nn.Module):
    """Two layers with one norm, as the families write it."""

    @nn.compact
    def __call__(self, x, phase: Phase = EVALUATION):
        norm = BatchNorm(0.5, 1e-3, parent=None)
        for name in ("first", "second"):
            x = ConvNorm(3, (1, 1), norm=norm, function=None, name=name)(x, phase)
        return x


def test_layers_that_were_given_one_norm_have_each_their_own():
    x = 3 + quick.normal(4, 2, 3, 2)
    variables = quick.variables(Shared(), x)
    assert variables["params"].keys() == variables["batch_stats"].keys() == {"first", "second"}
    for layer in ("first", "second"):
        assert variables["params"][layer].keys() == {"conv", "norm"}
        assert variables["batch_stats"][layer].keys() == {"norm"}
    _, moved = quick.jit(lambda v: Shared().apply(v, x, Phase(True), mutable=["batch_stats"]))(variables)
    # By hand, of the first layer; the constants are the shared norm's.
    maps = np.asarray(x, np.float64) @ np.asarray(variables["params"]["first"]["conv"]["kernel"], np.float64)[0, 0]
    before = variables["batch_stats"]["first"]["norm"]
    after = moved["batch_stats"]["first"]["norm"]
    np.testing.assert_allclose(after["mean"], 0.5 * before["mean"] + 0.5 * maps.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after["var"], 0.5 * before["var"] + 0.5 * maps.var((0, 1, 2), ddof=1), rtol=1e-4)
    assert np.all(moved["batch_stats"]["second"]["norm"]["mean"] != after["mean"])


def test_conv_norm_by_its_parts():
    """Depthwise, strides, bias, another nonlinearity: against scipy and the formula of batch norm."""
    x = quick.normal(2, 7, 6, 3)
    module = ConvNorm(3, (3, 3), (2, 1), Padding.SYMMETRIC, 0, True, relu6, BatchNorm(epsilon=0.1, parent=None))
    variables = quick.variables(module, x)
    assert variables["params"]["conv"]["kernel"].shape == (3, 3, 1, 3)
    kernel = variables["params"]["conv"]["kernel"]
    maps = oracle.convolve(x, kernel, (2, 1), ((1, 1), (1, 1)), 3, np.zeros((2, 4, 6, 3))).y
    norm, stats = variables["params"]["norm"], variables["batch_stats"]["norm"]
    unit = (maps + variables["params"]["conv"]["bias"] - stats["mean"]) / np.sqrt(stats["var"] + 0.1)
    want = np.clip(unit * norm["scale"] + norm["bias"], 0, 6)
    np.testing.assert_allclose(quick.jit(module.apply)(variables, x), want, atol=1e-5)


def test_features_get_a_channel_only_where_they_have_none():
    assert as_maps(jnp.zeros((2, 3, 4))).shape == (2, 3, 4, 1)
    assert as_maps(jnp.zeros((2, 3, 4, 3))).shape == (2, 3, 4, 3)
