"""What is asked of every network for images: its counts and shapes, agreement with keras.applications, good manners."""

import functools
import hashlib
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from hsjax.models.layers import Dropout, Execution, Form
from hsjax.models.network import Network
from hsjax.models.pretrained.carry import Library, Names, carry
from hsjax.types import Outputs, UserError
from tests.models import keras_oracle

# Deep networks take long to compile and a moment to run.
_COMPILER = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
_quick_jit = functools.partial(jax.jit, compiler_options=_COMPILER)

_KEY = jax.random.key(0)


class Traced(NamedTuple):
    """Outputs and variables for one example, as shapes, and the rate of every dropout that drops, by path."""

    outputs: Outputs
    variables: dict
    drop_rates: dict[str, float]


@functools.cache
def traced(module: nn.Module, size: tuple[int, int] = (224, 224), channels: int = 3) -> Traced:
    """Runs it on shapes alone."""
    rates = {}

    def note(run, arguments, options, context):
        if isinstance(context.module, Dropout) and context.module.rate:
            rates["/".join(context.module.path)] = context.module.rate
        return run(*arguments, **options)

    with nn.intercept_methods(note):
        inputs = jax.ShapeDtypeStruct((1, *size, channels), jnp.float32)
        return Traced(*jax.eval_shape(module.init_with_output, _KEY, inputs), rates)


def counts(module: nn.Module) -> tuple[int, int]:
    """Trained scalars, and all, running statistics included."""
    variables = traced(module).variables
    sizes = {name: sum(leaf.size for leaf in jax.tree.leaves(tree)) for name, tree in variables.items()}
    return sizes["params"], sum(sizes.values())


def shapes(module: nn.Module, size: tuple[int, int] = (224, 224)) -> dict[str, tuple[int, ...]]:
    """Height, width and channels of every tap; last, the embedding's width."""
    outputs = traced(module, size).outputs
    return {name: tap.shape[1:] for name, tap in outputs.taps.items()} | {"embedding": outputs.embedding.shape[1:]}


def digest_of_torch_tensors(module: nn.Module, names: Names) -> tuple[int, str]:
    """How many tensors a state dict has, counters left out, and the SHA-256 of their names and shapes."""
    lines = []
    for (_, *path), leaf in traverse_util.flatten_dict(traced(module).variables).items():
        shape = [leaf.shape[axis] for axis in (3, 2, 0, 1)] if leaf.ndim == 4 else reversed(leaf.shape)
        lines.append(f"{names(tuple(path))} {'x'.join(map(str, shape))}")
    return len(set(lines)), hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def assert_agrees_with_keras(
    model, module: nn.Module, names: Names, like: nn.Module | None = None, scale: float = 1.0
) -> None:
    """Same tensors, same logits in evaluation and training, same change of the running statistics.

    Args:
      model: Keras's network, of 3 channels; its dropout is switched off.
      module: ours, without dropout.
      names: of Keras's tensors.
      like: a module with equal variables, whose shapes are known already.
      scale: of Keras's inputs relative to ours, where scaling is part of its network.
    """
    others, inputs = np.split(np.random.default_rng(1).normal(size=(18, *model.input_shape[1:])), [16])
    others, inputs = others.astype(np.float32), inputs.astype(np.float32)
    for layer in model.layers:
        if hasattr(layer, "rate"):
            layer.rate = 0.0
    _set_statistics(model, scale * others)
    before = keras_oracle.tensors(model)
    like = module if like is None else like
    variables = carry(traced(like).variables, before, names, Library.KERAS)
    leaves = traverse_util.flatten_dict(variables)
    ours = [names(path[1:]) for path in leaves]
    assert sorted(ours) == sorted(name for name in before if not name.startswith("normalization/"))
    assert counts(like)[1] == sum(before[name].size for name in ours)

    network = Network(module)
    want = keras_oracle.evaluate(model, scale * inputs)
    assert np.abs(want[0] - want[1]).max() > 0.05 * np.abs(want).max(), "these logits hardly depend on the inputs"
    _assert_close(_quick_jit(network.apply)(variables, inputs)[0].logits, want, 1e-4)

    want, after = keras_oracle.train(model, scale * inputs)
    outputs, collections = _quick_jit(functools.partial(network.apply, train=True))(variables, inputs)
    _assert_close(outputs.logits, want, 1e-4)
    for path, new in traverse_util.flatten_dict(collections).items():
        name = names(path[1:])
        # A hundredth of the change; and of the value, what float32 can tell of it.
        tolerance = 0.01 * np.abs(after[name] - before[name]).max() + 1e-6 * np.abs(after[name]).max()
        np.testing.assert_allclose(new, after[name], rtol=0, atol=tolerance, err_msg=name)


def _set_statistics(model, inputs: np.ndarray) -> None:
    """Moving statistics of these inputs.

    With any others, values vanish or explode on their way through a deep network, and its logits show nothing.
    """
    norms = [layer for layer in model.layers if hasattr(layer, "moving_variance")]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(inputs, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _assert_close(got, want, tolerance: float) -> None:
    """Relative to the largest."""
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * float(np.abs(np.asarray(want)).max()))


def filled(module: nn.Module, size: tuple[int, int], channels: int = 3) -> dict:
    """Variables that differ everywhere, drawn by NumPy: nothing to compile."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        if path[-1] == "kernel":
            return rng.normal(0, 1 / np.sqrt(leaf.size / leaf.shape[-1]), leaf.shape).astype(np.float32)
        around = 1.0 if path[-1] in ("scale", "var") else 0.0
        return (around + rng.uniform(-0.3, 0.3, leaf.shape)).astype(np.float32)

    leaves = traverse_util.flatten_dict(traced(module, size, channels).variables)
    return traverse_util.unflatten_dict({path: jnp.asarray(draw(path, leaf)) for path, leaf in leaves.items()})


def _features(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=shape).astype(np.float32))


def value_and_gradient(variables: dict, module: nn.Module, inputs) -> tuple[jax.Array, dict]:
    """Of something that all logits are in, in training."""

    def loss(variables):
        outputs, _ = Network(module).apply(variables, inputs, train=True, rngs={"dropout": _KEY})
        return jnp.sum(jnp.sin(outputs.logits))

    return jax.value_and_grad(loss)(variables)


def assert_finite_forward_and_backward(make: Callable[..., nn.Module], transform: Callable) -> None:
    """Under a variant of chex."""
    tiny = make(execution=Execution(Form.PLAIN))
    value, gradients = transform(value_and_gradient, static_argnums=1)(
        filled(tiny, (9, 10)), tiny, _features(2, 9, 10, 3)
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((value, gradients)))
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients["params"]))


def assert_forms_agree(make: Callable[..., nn.Module]) -> None:
    """Equal trees, values and gradients."""
    fast, plain = (make(execution=Execution(form)) for form in (Form.FAST, Form.PLAIN))
    variables = filled(plain, (9, 10))
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, traced(fast, (9, 10)).variables)
    # The plain one is compiled as in the test above, and so only once.
    computes = (_quick_jit, fast), (jax.jit, plain)
    results = [
        jit(value_and_gradient, static_argnums=1)(variables, module, _features(2, 9, 10, 3)) for jit, module in computes
    ]
    for got, want in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4 * float(jnp.abs(want).max()) + 1e-5)


def assert_one_channel_stands_for_three(tiny: nn.Module) -> None:
    """Features of 128 bands and 63 frames."""
    features, variables = _features(2, 128, 63), filled(tiny, (128, 63))
    apply = _quick_jit(Network(tiny).apply)
    got, want = (apply(variables, x)[0].logits for x in (features, jnp.repeat(features[..., None], 3, -1)))
    assert got.shape == (2, tiny.num_classes)
    assert np.abs(want[0] - want[1]).max() > 0
    _assert_close(got, want, 1e-5)


def assert_small_inputs_are_finite_or_refused(tiny: nn.Module) -> None:
    """Down to one value, training included; nothing at all is an error."""
    network, variables = Network(tiny), filled(tiny, (1, 1))

    @_quick_jit
    def results(one, few):
        return network.apply(variables, one, True, {"dropout": _KEY}), network.apply(variables, few)

    leaves = jax.tree.leaves(results(jnp.ones((1, 1, 1)), jnp.ones((2, 2, 5))))
    assert all(leaf.size and np.isfinite(leaf).all() for leaf in leaves)
    with pytest.raises(UserError, match="too small"):
        jax.eval_shape(tiny.init, _KEY, jnp.zeros((1, 0, 5)))


def assert_masked_examples_do_not_count(tiny: nn.Module) -> None:
    """Neither in what others get nor in the running statistics, all of which change; `tiny` has no dropout."""
    variables, inputs = filled(tiny, (9, 10)), _features(3, 9, 10, 3)
    apply = _quick_jit(functools.partial(Network(tiny).apply, train=True, mask=jnp.array([1.0, 1.0, 0.0])))
    want, want_collections = apply(variables, inputs)
    got, collections = apply(variables, inputs.at[2].mul(100.0))
    _assert_close(got.logits[:2], want.logits[:2], 1e-5)
    assert np.abs(got.logits[2] - want.logits[2]).max() > 0
    before = jax.tree.leaves(variables["batch_stats"])
    pairs = zip(jax.tree.leaves(collections), jax.tree.leaves(want_collections), before, strict=True)
    for new, expected, old in pairs:
        np.testing.assert_allclose(new, expected, rtol=1e-5, atol=1e-6)
        assert np.abs(new - old).max() > 0
