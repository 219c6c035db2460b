"""What holds for every family of networks; for small versions of them, whose compilation is quick."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hsjax.models.layers import Execution, Form
from hsjax.models.network import Network

KEY = jax.random.key(0)

# What runs once is compiled in a hurry.
HURRY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def networks(module: nn.Module) -> tuple[Network, Network]:
    """The network in its plain and in its fast form."""
    plain, fast = (dataclasses.replace(module, execution=Execution(form)) for form in (Form.PLAIN, Form.FAST))
    return Network(plain), Network(fast)


def draw(network: Network, shape: tuple[int, ...]):
    """Variables for features of this shape, all of them random, so that none could stand for another.

    Drawn by NumPy: compiling the network's own distributions takes longer than everything else here.
    """
    rng = np.random.default_rng(0)
    ranges = {"scale": (0.7, 1.3), "var": (0.7, 1.3), "bias": (-0.2, 0.2), "mean": (-0.2, 0.2)}

    def values(path, leaf):
        if path[-1].key.endswith("kernel"):
            return jnp.asarray(rng.normal(0, math.sqrt(2 / math.prod(leaf.shape[:-1])), leaf.shape), leaf.dtype)
        return jnp.asarray(rng.uniform(*ranges[path[-1].key], leaf.shape), leaf.dtype)

    shapes = jax.eval_shape(network.init, KEY, jax.ShapeDtypeStruct(shape, jnp.float32))
    return jax.tree_util.tree_map_with_path(values, shapes)


def hurried(function: Callable, *arguments: Any) -> Any:
    """The result of a jitted function that runs only once."""
    return jax.jit(function, compiler_options=HURRY)(*arguments)


@functools.cache
def abstract(module: nn.Module, shape: tuple[int, ...]):
    """Shapes of the variables and, as a second result, of the outputs; nothing is computed."""
    network, _ = networks(module)
    inputs = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(network.init, KEY, inputs)
    return variables, jax.eval_shape(lambda v, x: network.apply(v, x)[0], variables, inputs)


def size(tree) -> int:
    """Scalars in a tree of arrays or shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def names(variables, name) -> dict[str, tuple[int, ...]]:
    """What every variable is called elsewhere, with its shape here."""
    found = {}
    for collection in variables.values():
        for path, leaf in jax.tree_util.tree_leaves_with_path(collection):
            found.setdefault(name(tuple(key.key for key in path)), leaf.shape)
    assert len(found) == len(jax.tree.leaves(variables)), "two variables have one name"
    return found


def loss(network: Network, variables, inputs):
    """A scalar that all logits and taps of a training step move, and the logits."""
    outputs, _ = network.apply(variables, inputs, train=True, rngs={"dropout": jax.random.key(1)})
    taps = sum(jnp.mean(jnp.square(tap)) for tap in outputs.taps.values())
    return jnp.mean(jnp.square(outputs.logits)) + taps, outputs.logits


def check_forward_and_backward(variant, module: nn.Module, shape: tuple[int, ...]) -> None:
    """Logits and gradients are finite, and every parameter has one."""
    network, _ = networks(module)
    inputs = jax.random.normal(jax.random.key(2), shape)
    variables = draw(network, shape)
    rest = {name: value for name, value in variables.items() if name != "params"}

    def gradient(params, inputs):
        return jax.grad(lambda p: loss(network, {"params": p, **rest}, inputs), has_aux=True)(params)

    gradients, logits = variant(gradient)(variables["params"], inputs)
    assert logits.shape == (shape[0], module.num_classes)
    assert np.isfinite(logits).all()
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(leaf).all(), path
        assert np.any(leaf != 0), f"{path} has no gradient"


def check_forms_are_equal(module: nn.Module, shape: tuple[int, ...]) -> None:
    """Equal variables, values and gradients of the plain and the fast form."""
    inputs = jax.random.normal(jax.random.key(2), shape)
    plain, fast = networks(module)
    variables = draw(plain, shape)
    for one, other in zip(*(jax.tree.leaves(draw(network, shape)) for network in (plain, fast)), strict=True):
        np.testing.assert_array_equal(one, other)
    gots, wants = (
        jax.tree.leaves(hurried(jax.value_and_grad(lambda v, n=network: loss(n, v, inputs), has_aux=True), variables))
        for network in (fast, plain)
    )
    largest = max(float(jnp.abs(want).max()) for want in wants)
    for got, want in zip(gots, wants, strict=True):
        # Relative to the leaf: where two values of a window nearly tie, rounding decides which has the gradient. A bias
        # before a batch norm has none but rounding.
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-3 * float(jnp.abs(want).max()) + 1e-6 * largest)


def check_training(module: nn.Module, shape: tuple[int, ...]) -> None:
    """Training moves running statistics; masked examples touch neither them nor the logits of others."""
    _, network = networks(module)
    inputs = jax.random.normal(jax.random.key(2), shape)
    variables = draw(network, shape)
    mask = jnp.ones(shape[0]).at[-1].set(0)

    @functools.partial(jax.jit, compiler_options=HURRY)
    def step(x):
        return network.apply(variables, x, train=True, rngs={"dropout": jax.random.key(1)}, mask=mask)

    outputs, moved = step(inputs)
    for before, after in zip(*(jax.tree.leaves(v["batch_stats"]) for v in (variables, moved)), strict=True):
        assert np.all(np.abs(after - before) > 0)
    others, same = step(inputs.at[-1].set(100.0))
    np.testing.assert_allclose(others.logits[:-1], outputs.logits[:-1], rtol=1e-4, atol=1e-5)
    for one, other in zip(*(jax.tree.leaves(v["batch_stats"]) for v in (moved, same)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def check_initial(module: nn.Module, shape: tuple[int, ...], spread: Callable[[tuple[int, ...]], float]) -> None:
    """Kernels of convolutions begin with the standard deviation that the publication names.

    Args:
      module: wide enough for a standard deviation to be told.
      shape: of features.
      spread: the standard deviation for a kernel's shape.
    """
    network, _ = networks(module)
    variables = hurried(network.module.init, KEY, jnp.zeros(shape))
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables["params"]):
        if path[-1].key == "kernel" and leaf.ndim == 4:
            values = np.asarray(leaf)
            error = 5 / math.sqrt(2 * values.size)  # five standard errors
            np.testing.assert_allclose(values.std(), spread(leaf.shape), rtol=error, err_msg=str(path))
