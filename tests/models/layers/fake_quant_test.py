"""What layers compute with a quantiser for training, and what it remembers and learns."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import Activation, ConvNorm, Dense, Execution, Form, Phase, fake_quant, silu
from hsjax.models.layers import activation as functions
from hsjax.models.layers.fake_quant import Of
from hsjax.types import UserError
from tests.models.layers import quick

RANGES = ["ranges"]
X = jnp.array([[-3.0, 2.0], [0.5, 1.25], [-4.0, 8.0]])


def observer(decay: float = 0.9):
    return Activation(None, Execution(quantiser=fake_quant(decay=decay)))


def test_the_first_batch_sets_a_range_and_later_ones_move_it():
    module = observer()
    _, first = module.apply({}, X[:2], Phase(True), mutable=RANGES)
    chex.assert_trees_all_close(first, {"ranges": {"after_low": -3.0, "after_high": 2.0}})
    y, second = module.apply(first, X[2:], Phase(True), mutable=RANGES)
    chex.assert_trees_all_close(second, {"ranges": {"after_low": -3.1, "after_high": 2.6}}, rtol=1e-6)
    # What was there before saturates: 5.7 over 255 is a step, and 0 the level -128 + 3.1 / step.
    step = 5.7 / 255
    np.testing.assert_allclose(y, [[(-128 - 11) * step, (127 - 11) * step]], rtol=1e-5)


def test_masked_examples_do_not_move_ranges():
    module, mask = observer(), jnp.array([1.0, 1.0, 0.0])
    seen = X.at[2].set(jnp.nan)
    _, moved = module.apply({}, seen, Phase(True, mask), mutable=RANGES)
    chex.assert_trees_all_close(moved, {"ranges": {"after_low": -3.0, "after_high": 2.0}})
    _, all_masked = module.apply(moved, X[2:], Phase(True, jnp.zeros(1)), mutable=RANGES)
    chex.assert_trees_all_equal(all_masked, moved)


def test_ranges_stay_without_training_and_where_a_layer_is_frozen():
    module = observer()
    held = {"ranges": {"after_low": jnp.float32(-1), "after_high": jnp.float32(1)}}
    for phase in (Phase(), Phase(True, frozen=("*",))):
        chex.assert_trees_all_equal(module.apply(held, X, phase, mutable=RANGES)[1], held)


@pytest.mark.parametrize(
    ("name", "fixed"), [("sigmoid", (1 / 256, -128)), ("tanh", (1 / 128, 0)), ("hard_sigmoid", (1 / 255, -128))]
)
def test_ranges_that_the_function_fixes_are_not_observed(name, fixed):
    module = Activation(getattr(functions, name), Execution(quantiser=fake_quant()))
    y, held = module.apply({}, X, Phase(True), mutable=RANGES)
    assert not any(end.startswith("after") for end in held.get("ranges", {}))
    scale, zero = fixed
    levels = np.asarray(y, np.float64) / scale + zero
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)
    assert levels.min() >= -128
    assert levels.max() <= 127


def test_silu_is_a_rounded_sigmoid_times_its_input():
    module = Activation(silu, Execution(quantiser=fake_quant()))
    held = {f"{name}_{end}": jnp.float32(value) for name, low, high in (("before", -2, 2), ("after", -1, 2))
            for end, value in (("low", low), ("high", high))}  # fmt: skip
    x = np.linspace(-1.9, 1.9, 11)
    y = module.apply({"ranges": held}, jnp.asarray(x, jnp.float32)[:, None])[:, 0]
    step = 4 / 255
    before = np.round(x / step) * step
    gate = np.minimum(np.round(256 / (1 + np.exp(-before))), 255) / 256
    after = 3 / 255
    want = before * gate / after
    clear = np.abs(np.abs(want - np.trunc(want)) - 0.5) > 1e-3  # float32 may be on the other side of a half
    assert clear.sum() >= 9
    np.testing.assert_allclose(y[clear], (np.round(want) * after)[clear], rtol=1e-5, atol=1e-6)


def test_without_a_quantiser_silu_is_what_it_was():
    np.testing.assert_array_equal(Activation(silu).apply({}, X), silu(X))


@pytest.mark.parametrize("form", Form)
def test_a_norm_after_a_convolution_leaves_the_levels_of_folded_weights(form):
    """What is computed is the convolution with rounded folded weights, in float64."""
    module = ConvNorm(3, (1, 1), function=None, execution=Execution(form, fake_quant()))
    x = quick.normal(2, 4, 4, 2)
    variables = quick.variables(module, x)
    variables["ranges"] = {"act": {"after_low": jnp.float32(-100), "after_high": jnp.float32(100)}}
    variables["params"]["norm"]["scale"] *= jnp.array([1.0, -1.0, 0.0])  # of any sign
    norm, running = variables["params"]["norm"], variables["batch_stats"]["norm"]
    gain = np.float64(norm["scale"]) / np.sqrt(np.float64(running["var"]) + 1e-5)
    folded = np.float64(variables["params"]["conv"]["kernel"])[0, 0] * gain
    scale = np.maximum(np.abs(folded).max(0), 1e-30) / 127
    rounded = np.round(folded / scale) * scale
    want = np.float64(x) @ rounded + np.float64(norm["bias"]) - np.float64(running["mean"]) * gain
    y = quick.jit(module.apply)(variables, x)
    step = 200 / 255
    np.testing.assert_allclose(y, np.round(want / step) * step, atol=1e-4)


def test_learnt_ranges_are_parameters_with_gradients():
    module = Dense(2, execution=Execution(quantiser=fake_quant(ranges="learned")))
    variables = module.init(jax.random.key(0), X)
    assert variables["params"].keys() == {"kernel", "kernel_step", "bias"}
    largest = np.abs(variables["params"]["kernel"]).max(0)
    np.testing.assert_allclose(variables["params"]["kernel_step"], largest / 127, rtol=1e-6)
    act = Activation(None, Execution(quantiser=fake_quant(ranges="learned")))
    ends = {"after_low": jnp.float32(-1), "after_high": jnp.float32(1)}
    _, gradient = quick.pull(lambda held: act.apply({"params": held}, X), ends, jnp.ones(X.shape))
    # -3 and -4 are below, 2, 8 and 1.25 above, 0.5 within: 64 steps of 2 / 255 are .502, an error of .001 of the range.
    part = np.sqrt(2 * 127)
    error = (64 * 2 / 255 - 0.5) / 2
    np.testing.assert_allclose(gradient["after_low"], (2 - error) / part, rtol=1e-4)
    np.testing.assert_allclose(gradient["after_high"], (3 + error) / part, rtol=1e-4)


def test_overrides_are_for_layers_and_kinds_and_the_last_wins():
    quantiser = fake_quant(
        weights=4, overrides={"stem": {"weights": 8, "activations": 16}, "*/conv/kernel": {"weights": 4}}
    )
    assert quantiser.bits(Of.WEIGHTS, ("stem", "kernel")) == 8
    assert quantiser.bits(Of.WEIGHTS, ("stem", "conv", "kernel")) == 4
    assert quantiser.bits(Of.WEIGHTS, ("logits", "kernel")) == 4
    assert quantiser.bits(Of.ACTIVATIONS, ("stem", "act", "after")) == 16
    assert quantiser.bits(Of.ACTIVATIONS, ("head", "act", "after")) == 8


def test_four_bits_are_fifteen_levels():
    module = Dense(1, use_bias=False, execution=Execution(quantiser=fake_quant(weights=4)))
    kernel = jnp.linspace(-1, 1, 100)[:, None]
    y = module.apply({"params": {"kernel": kernel}}, jnp.eye(100))
    np.testing.assert_allclose(sorted(set(np.round(np.asarray(y)[:, 0] * 7, 4))), np.arange(-7, 8), atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"weights": 3}, "weights has 3 bits; it must be 4 or 8"),
        ({"activations": 4}, "activations has 4 bits; it must be 8 or 16"),
        ({"ranges": "minmax"}, "ranges is 'minmax'; it must be one of ema, learned"),
        ({"decay": 1.0}, "decay is 1.0"),
        ({"overrides": {"logits": {"bits": 8}}}, "overrides of logits has 'bits'; it can have weights and activations"),
        ({"overrides": {"logits": {"weights": 16}}}, "overrides of logits: weights has 16 bits"),
    ],
)
def test_settings_that_cannot_be(settings, says):
    with pytest.raises(UserError, match=says):
        fake_quant(**settings)


def test_half_precision_comes_out_in_half_precision():
    held = {"ranges": {"after_low": jnp.float32(-4), "after_high": jnp.float32(8)}}
    y = observer().apply(held, X.astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
