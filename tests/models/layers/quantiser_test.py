"""The hook holds what quantisation-aware training needs: learnt step sizes for weights, observed ranges, gradients."""

import dataclasses

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models import Network
from hsjax.models.layers import (
    EVALUATION,
    Activation,
    Conv,
    ConvNorm,
    Dense,
    Execution,
    Form,
    Phase,
    Quantiser,
    max_pool,
    relu,
)
from hsjax.types import Outputs
from tests.models.layers import quick

LEVELS = 127
KEPT = 0.9


@dataclasses.dataclass(frozen=True)
class Learnt(Quantiser):
    """Step sizes after Esser et al. 2020 (LSQ, https://arxiv.org/abs/1902.08153), one for each output channel."""

    def weight(self, layer, name, value, axis=-1):
        others = tuple(a for a in range(value.ndim) if a != axis % value.ndim)

        def initial(key):
            del key
            return 2 * jnp.mean(jnp.abs(value), others) / np.sqrt(LEVELS)

        shape = [1] * value.ndim
        shape[axis] = value.shape[axis]
        step = layer.param(f"{name}_step", initial).reshape(shape)
        scaled = jnp.clip(value / step, -LEVELS, LEVELS)
        return (scaled + jax.lax.stop_gradient(jnp.round(scaled) - scaled)) * step

    def activation(self, layer, name, value, phase):
        largest = layer.variable("ranges", name, jnp.zeros, ())
        if phase.trains(layer.path) and not layer.is_initializing():
            largest.value = KEPT * largest.value + (1 - KEPT) * jax.lax.stop_gradient(jnp.max(jnp.abs(value)))
        step = jnp.maximum(largest.value, 1e-3) / LEVELS
        scaled = jnp.clip(value / step, -LEVELS, LEVELS)
        return (scaled + jax.lax.stop_gradient(jnp.round(scaled) - scaled)) * step


EXECUTION = Execution(quantiser=Learnt())


def rounded(value, step):
    """On the grid of 8 bits, in float64."""
    value, step = np.asarray(value, np.float64), np.asarray(step, np.float64)
    return np.clip(np.round(value / step), -LEVELS, LEVELS) * step


@pytest.mark.parametrize("module", [Dense(4, execution=EXECUTION), Conv(4, (1, 1), execution=EXECUTION)])
def test_weights_are_used_rounded_and_their_steps_are_learnt(module):
    x = quick.normal(3, 5) if isinstance(module, Dense) else quick.normal(3, 2, 2, 5)
    variables = jax.jit(module.init)(jax.random.key(0), x)
    params = variables["params"]
    assert params.keys() == {"kernel", "kernel_step", "bias"}
    kernel = np.asarray(params["kernel"], np.float64).reshape(5, 4)
    np.testing.assert_allclose(params["kernel_step"], 2 * np.abs(kernel).mean(0) / np.sqrt(LEVELS), rtol=1e-5)

    # Coarse steps for two channels, so that rounding shows and one value is beyond the largest level.
    coarse = np.array([0.05, 0.13, 0.002, 0.09])
    params = params | {"kernel_step": jnp.asarray(coarse, jnp.float32)}
    ones = jnp.ones((*x.shape[:-1], 4))
    y, gradient = quick.pull(lambda p: module.apply({"params": p}, x), params, ones)
    flat = np.asarray(x, np.float64).reshape(-1, 5)
    np.testing.assert_allclose(y.reshape(-1, 4), flat @ rounded(kernel, coarse), atol=1e-5)
    # LSQ's equations 3 and 5: straight through inside the range, and by the step size.
    by_rounded = flat.sum(0)[:, None] * np.ones(4)
    scaled = kernel / coarse
    inside = np.abs(scaled) < LEVELS
    assert not inside.all()
    np.testing.assert_allclose(gradient["kernel"].reshape(5, 4), by_rounded * inside, atol=1e-5)
    by_step = np.where(inside, np.round(scaled) - scaled, np.sign(scaled) * LEVELS)
    np.testing.assert_allclose(gradient["kernel_step"], (by_rounded * by_step).sum(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("function", [relu, jnp.tanh, None])
def test_ranges_are_observed_while_training_and_only_then(function):
    module = Activation(function, EXECUTION)
    x = jnp.array([[-3.0, 2.0], [0.5, 1.25]])
    variables = jax.jit(module.init)(jax.random.key(0), x)
    names = {"before", "after"} if function is jnp.tanh else {"after"}
    assert variables["ranges"].keys() == names
    assert not np.any(jax.tree.leaves(variables["ranges"]))
    _, trained = quick.jit(lambda v: module.apply(v, x, Phase(True), mutable=["ranges"]))(variables)
    seen = np.asarray(x) if function is None else np.asarray(function(x))
    if function is not jnp.tanh:  # after `before` was rounded to its first, narrow range, tanh is another
        np.testing.assert_allclose(trained["ranges"]["after"], (1 - KEPT) * np.abs(seen).max(), rtol=1e-6)
    else:
        np.testing.assert_allclose(trained["ranges"]["before"], (1 - KEPT) * 3, rtol=1e-6)
    chex.assert_trees_all_equal(module.apply(trained, x, mutable=["ranges"])[1], trained)


def test_ranges_of_a_frozen_layer_stay():
    module = Activation(None, EXECUTION, name="act")
    outer = nn.Sequential([module])
    x = jnp.ones((2, 2))
    variables = outer.init(jax.random.key(0), x)
    (name,) = variables["ranges"]
    moved = outer.apply(variables, x, Phase(True, frozen=(name,)), mutable=["ranges"])[1]
    chex.assert_trees_all_equal(moved, variables)


class Small(nn.Module):
    """All that a quantiser sees, once."""

    execution: Execution = EXECUTION

    @nn.compact
    def __call__(self, x, phase: Phase = EVALUATION):
        x = ConvNorm(3, (3, 3), execution=self.execution, name="stem")(x[..., None], phase)
        x = max_pool(x, (2, 2), form=self.execution.form)
        embedding = Activation(None, self.execution, name="pooled")(jnp.mean(x, (1, 2)), phase)
        return Outputs(Dense(2, execution=self.execution, name="logits")(embedding), embedding, {})


def test_a_network_carries_what_its_quantiser_remembers():
    network, x = Network(Small()), quick.normal(4, 6, 8)
    variables = network.init(jax.random.key(0), x)
    assert variables.keys() == {"params", "batch_stats", "ranges"}
    assert variables["params"]["stem"]["conv"].keys() == {"kernel", "kernel_step"}
    assert set(variables["ranges"]["stem"]) == {"act"}

    def loss(params, rest):
        outputs, rest = network.apply({"params": params, **rest}, x, train=True)
        return jnp.sum(jnp.square(outputs.logits)), rest

    rest = {name: value for name, value in variables.items() if name != "params"}
    step = quick.jit(jax.grad(loss, has_aux=True))
    for _ in range(30):  # until ranges that began at 0 let something through
        gradient, rest = step(variables["params"], rest)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient))
    assert all(value > 0 for value in jax.tree.leaves(rest["ranges"]))
    _, after = quick.jit(network.apply)({"params": variables["params"], **rest}, x)
    chex.assert_trees_all_equal(after, rest)


def test_without_a_quantiser_there_is_nothing_to_remember():
    module, x = Small(Execution()), quick.normal(4, 6, 8)
    assert quick.shapes(module, x).keys() == {"params", "batch_stats"}
    assert quick.shapes(module, x)["params"]["logits"].keys() == {"kernel", "bias"}


def test_both_forms_give_equal_quantised_values():
    x = quick.normal(2, 6, 8)
    variables = quick.variables(Small(), x)
    variables["ranges"] = jax.tree.map(lambda _: jnp.float32(1.5), variables["ranges"])
    variables["params"] = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.abs(leaf) / 20 if path[-1].key == "kernel_step" else leaf, variables["params"]
    )
    fast, plain = (quick.jit(Small(Execution(form, Learnt())).apply)(variables, x).logits for form in Form)
    np.testing.assert_allclose(fast, plain, atol=1e-5)
