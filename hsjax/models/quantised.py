"""Networks whose quantiser is a `FakeQuant`: where their training begins, and what a file has to hold afterwards."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array

from hsjax.models.layers import EVALUATION, IDENTITY, FakeQuant, Ranges, is_frozen
from hsjax.models.layers.fake_quant import OBSERVED, RANGES, SEEN, Activated, Of, Weighed
from hsjax.models.network import Network, Variables
from hsjax.types import Outputs, UserError

Seen = dict[tuple[str, ...], Activated | Weighed]
"""By path: `("stem", "conv", "kernel")`, `("stem", "act", "after")`, `("input",)`, `("output",)`."""


def begin(network: Network, trained: Variables, batches: Iterable[Array | np.ndarray]) -> Variables:
    """Variables of a quantised network: those of the float one, and ranges of what it makes of some inputs.

    Args:
      network: its quantiser is a `FakeQuant`.
      trained: variables of the network without a quantiser.
      batches: inputs, `(batch, *shape)`; of what each shows, the smallest and largest values are averaged.

    Raises:
      ValueError: the network's quantiser is none that has ranges, or there are no inputs.
    """
    quantiser = quantiser_of(network)
    observe = jax.jit(lambda held, inputs: network.call(held, inputs, EVALUATION, [OBSERVED])[1][OBSERVED])
    observed = [observe(trained, inputs) for inputs in batches]
    if not observed:
        raise ValueError("no inputs to observe ranges of")
    ranges = jax.tree.map(lambda *ends: jnp.mean(jnp.stack(ends), 0), *observed)
    if quantiser.ranges is Ranges.EMA:
        return trained | {RANGES: ranges}
    merged = traverse_util.flatten_dict(trained["params"]) | traverse_util.flatten_dict(ranges)
    return trained | {"params": traverse_util.unflatten_dict(merged)}


def quantiser_of(network: Network) -> FakeQuant:
    """The quantiser that a network was built with.

    Raises:
      ValueError: it is no `FakeQuant`.
    """
    quantiser = network.module.execution.quantiser
    if not isinstance(quantiser, FakeQuant):
        raise ValueError(f"want a network built with a FakeQuant, got {quantiser}")
    return quantiser


def without(network: Network) -> Network:
    """A network as it is without its quantiser; it takes the same variables."""
    execution = dataclasses.replace(network.module.execution, quantiser=IDENTITY)
    return dataclasses.replace(network, module=network.module.clone(execution=execution))


def on_grid(network: Network, variables: Variables, input_shape: tuple[int, ...]) -> Variables:
    """Variables whose kernels hold the values that integer files will have of them, as floats.

    Args:
      network: its quantiser is a `FakeQuant`.
      variables: of it.
      input_shape: of one batch.
    """

    @jax.jit
    def rounded(variables: Variables) -> dict[tuple[str, ...], Array]:
        _, found = seen(network, variables, jnp.zeros(input_shape, jnp.float32))
        return {path: what.step * what.levels for path, what in found.items() if isinstance(what, Weighed)}

    params: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(variables["params"])
    for path, kernel in rounded(variables).items():
        whole = params[path]
        # A stem of three channels before maps of one has been summed over them.
        params[path] = kernel if kernel.shape == whole.shape else jnp.broadcast_to(kernel / whole.shape[2], whole.shape)
    return variables | {"params": traverse_util.unflatten_dict(params)}


def check_overrides(network: Network, inputs: jax.ShapeDtypeStruct) -> None:
    """Refuse overrides that are of nothing.

    Args:
      network: in any form, with any quantiser.
      inputs: shape and dtype of one batch.

    Raises:
      UserError: a pattern matches no kernel, or no activation.
    """
    quantiser = network.module.execution.quantiser
    if not isinstance(quantiser, FakeQuant) or not quantiser.overrides:
        return
    variables = jax.eval_shape(network.init, jax.random.key(0), inputs)
    found = jax.eval_shape(lambda held: seen(network, held, jnp.zeros(inputs.shape, inputs.dtype))[1], variables)
    for pattern, of, _ in quantiser.overrides:
        kind = Weighed if of is Of.WEIGHTS else Activated
        paths = [path for path, what in found.items() if isinstance(what, kind)]
        if not any(is_frozen(path, (pattern,)) for path in paths):
            known = ", ".join("/".join(path) for path in paths)
            raise UserError(f"no {of.value} of this network are at {pattern!r}; there are {known}")


def seen(network: Network, variables: Variables, inputs: Array) -> tuple[Outputs, Seen]:
    """Outputs of a network in float, with all that its quantiser would round, and to which numbers.

    Args:
      network: its quantiser is a `FakeQuant`.
      variables: of it.
      inputs: `(batch, *shape)`.
    """
    outputs, updates = network.call(variables, inputs, EVALUATION, [SEEN])
    found: Any = traverse_util.flatten_dict(updates[SEEN])
    return outputs, found
