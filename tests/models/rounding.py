"""What eight bits do to a network, by its quantiser's hook: an oracle for int8 files."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models import Network, Quantiser, Variables
from tests.models import family

Ranges = dict[tuple[str, ...], tuple[Array, Array]]


@dataclasses.dataclass(frozen=True)
class Weights(Quantiser):
    """Weights of eight bits, symmetric, a scale for each output channel."""

    def weight(self, layer, name, value, axis=-1):
        """As in Quantiser."""
        others = tuple(other for other in range(value.ndim) if other != axis % value.ndim)
        scale = jnp.max(jnp.abs(value), others, keepdims=True) / 127
        return jnp.round(value / scale) * scale


@dataclasses.dataclass(frozen=True, eq=False)
class Observer(Weights):
    """The range of every activation."""

    ranges: Ranges = dataclasses.field(default_factory=dict)

    def activation(self, layer, name, value, phase):
        """As in Quantiser."""
        self.ranges[*layer.path, name] = jnp.minimum(value.min(), 0), jnp.maximum(value.max(), 0)
        return value


@dataclasses.dataclass(frozen=True, eq=False)
class Activations(Weights):
    """Activations of eight bits in these ranges, too."""

    ranges: Ranges = dataclasses.field(default_factory=dict)

    def activation(self, layer, name, value, phase):
        """As in Quantiser."""
        return rounded(value, *self.ranges[*layer.path, name])


def rounded(value: Float[Array, "..."], low: Array, high: Array) -> Float[Array, "..."]:
    """To the nearest of 256 numbers between two, of which 0 is one; what lies beyond saturates."""
    scale = jnp.maximum(high - low, 1e-9) / 255
    zero = jnp.round(low / scale)
    return (jnp.clip(jnp.round(value / scale), zero, zero + 255)) * scale


def int8(
    build: Callable[[Quantiser], Network], variables: Variables, calibration: Array, inputs: Array
) -> Float[Array, "batch classes"]:
    """Logits of a network whose weights, inputs, activations and logits have eight bits.

    Args:
      build: the network with a quantiser.
      variables: of it.
      calibration: inputs that give the ranges.
      inputs: what it is given.
    """

    @functools.partial(jax.jit, compiler_options=family.HURRY)
    def logits(variables: Variables, calibration: Array, inputs: Array) -> Array:
        observer = Observer()
        seen = build(observer).apply(variables, calibration)[0].logits
        values = rounded(inputs, jnp.minimum(calibration.min(), 0), jnp.maximum(calibration.max(), 0))
        outputs = build(Activations(observer.ranges)).apply(variables, values)[0].logits
        return rounded(outputs, jnp.minimum(seen.min(), 0), jnp.maximum(seen.max(), 0))

    return logits(variables, calibration, inputs)
