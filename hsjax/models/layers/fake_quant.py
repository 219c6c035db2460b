"""Quantisation-aware training: weights and activations as an integer file will hold them (Jacob et al. 2018).

Batch norm folds into the convolution before it when a file is made: every output channel is multiplied by one number.
So is the channel's step, and its levels stay those of the weights as they are. Rounding before the norm is therefore
rounding the folded weights, in training with the batch's statistics and afterwards with the running ones, which is what
Krishnamoorthi 2018 (https://arxiv.org/abs/1806.08342, section 3.2.2) corrects for. Nothing is added for it.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers import grid
from hsjax.models.layers.activation import fixed_range
from hsjax.models.layers.execution import Phase, is_frozen
from hsjax.models.layers.quantiser import Quantiser
from hsjax.types import UserError

RANGES = "ranges"
"""Collection of the observed ranges; no gradient reaches it."""

OBSERVED = "observed"
"""Collection that, where it is mutable, gets the ranges of what is seen; nothing is rounded then."""

SEEN = "seen"
"""Collection that, where it is mutable, gets all that is seen and its grid; nothing is rounded then."""


class Of(enum.Enum):
    """What has bits."""

    WEIGHTS = "weights"
    ACTIVATIONS = "activations"


BITS = {Of.WEIGHTS: (4, 8), Of.ACTIVATIONS: (8, 16)}
"""How many there may be."""


class Ranges(enum.Enum):
    """Where the ends of ranges come from.

    EMA: of activations moving averages of the smallest and largest value in a batch; of weights the largest there is.
    Parameters are those of the float network. LEARNED: they are parameters, with gradients as in `grid`, beside what
    they are for: `kernel_step` with a value for each output channel, `after_low` and `after_high`.
    """

    EMA = "ema"
    LEARNED = "learned"


class Activated(NamedTuple):
    """What a traced quantiser saw of an activation: `value = scale * (level - zero_point)`."""

    value: Float[Array, "..."]
    scale: Float[Array, ""]
    zero_point: Float[Array, ""]


class Weighed(NamedTuple):
    """What a traced quantiser saw of a kernel with the output channels last: `step * levels` instead of `value`."""

    value: Float[Array, "..."]
    levels: Float[Array, "..."]
    step: Float[Array, " channels"]


@dataclasses.dataclass(frozen=True)
class FakeQuant(Quantiser):
    """Rounds weights, one scale for each output channel, and activations, one scale for all, as an integer file does.

    Attributes:
      weights: bits of all kernels that no override names.
      activations: bits of all activations that no override names.
      ranges: see there.
      decay: part of an EMA range that a step keeps.
      overrides: patterns of paths (see `is_frozen`), of what, and how many bits; the last that matches wins. Kernels
        are at `layer/kernel`, activations at `layer/before`, `layer/gate` and `layer/after`, the ends of the network at
        `input` and `output`.
    """

    weights: int = 8
    activations: int = 8
    ranges: Ranges = Ranges.EMA
    decay: float = 0.99
    overrides: tuple[tuple[str, Of, int], ...] = ()

    def bits(self, of: Of, path: tuple[str, ...]) -> int:
        """Bits of what is at a path."""
        found = self.weights if of is Of.WEIGHTS else self.activations
        for pattern, what, bits in self.overrides:
            if what is of and is_frozen(path, (pattern,)):
                found = bits
        return found

    def weight(self, layer: nn.Module, name: str, value: Float[Array, "..."], axis: int = -1) -> Float[Array, "..."]:
        """See `Quantiser`."""
        bits, kernel = self.bits(Of.WEIGHTS, (*layer.path, name)), value.astype(jnp.float32)
        learned = self.ranges is Ranges.LEARNED
        if _asks(layer, OBSERVED):
            if learned:
                _note(layer, OBSERVED, f"{name}_step", grid.learnt_step(kernel, bits, axis))
            return value
        if learned:
            step = layer.param(f"{name}_step", lambda _: grid.learnt_step(jax.lax.stop_gradient(kernel), bits, axis))
            step = jnp.maximum(jnp.abs(step.astype(jnp.float32)), 1e-8)
        else:
            step = jax.lax.stop_gradient(grid.weight_step(kernel, bits, axis))
        if _asks(layer, SEEN):
            seen = Weighed(kernel, grid.weight_integers(kernel, step, bits, axis), step)
            _note(layer, SEEN, name, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, axis, -1), seen))
            return value
        return grid.on_steps(kernel, step, bits, axis).astype(value.dtype)

    def activation(self, layer: nn.Module, name: str, value: Float[Array, "..."], phase: Phase) -> Float[Array, "..."]:
        """See `Quantiser`."""
        bits, real = self.bits(Of.ACTIVATIONS, (*layer.path, name)), value.astype(jnp.float32)
        fixed = fixed_range(layer, name, bits)
        if _asks(layer, OBSERVED):
            if fixed is None:
                for end, seen in zip(_ends(name), _extremes(real, phase.mask), strict=True):
                    _note(layer, OBSERVED, end, seen)
            return value
        if fixed is not None:
            low, high = (jnp.float32(end) for end in fixed)
        elif self.ranges is Ranges.LEARNED:
            low, high = self._learned(layer, name)
        else:
            low, high = self._averaged(layer, name, real, phase)
        if _asks(layer, SEEN):
            _note(layer, SEEN, name, Activated(value, *grid.activation_grid(low, high, bits)))
            return value
        return value if layer.is_initializing() else grid.within(real, low, high, bits).astype(value.dtype)

    def _learned(self, layer: nn.Module, name: str) -> tuple[Array, Array]:
        low, high = (
            layer.param(end, lambda _, start=start: jnp.float32(start)).astype(jnp.float32)
            for end, start in zip(_ends(name), (-1, 1), strict=True)
        )
        # Where an end has passed 0 it has no gradient; the other brings the values back.
        return jnp.where(low < 0, low, 0), jnp.where(high > 0, high, 0)

    def _averaged(self, layer: nn.Module, name: str, value: Array, phase: Phase) -> tuple[Array, Array]:
        held = [layer.variable(RANGES, end, jnp.zeros, ()) for end in _ends(name)]
        if phase.trains(layer.path) and not layer.is_initializing():
            batch = _extremes(jax.lax.stop_gradient(value), phase.mask)
            fresh = held[0].value == held[1].value  # nothing but zeros was ever seen
            keep = jnp.where(fresh, 0, self.decay)
            if phase.mask is not None:  # a batch without a single example says nothing
                keep = jnp.where(jnp.any(phase.mask > 0), keep, 1)
            for end, seen in zip(held, batch, strict=True):
                end.value = keep * end.value + (1 - keep) * seen
        low, high = (end.value for end in held)
        return low, high


def fake_quant(
    weights: int = 8,
    activations: int = 8,
    ranges: str = "ema",
    decay: float = 0.99,
    overrides: Mapping[str, Mapping[str, int]] | None = None,
) -> FakeQuant:
    """The quantiser of plain settings, as configs have them.

    Args:
      weights: bits, 4 or 8.
      activations: bits, 8 or 16.
      ranges: a name of `Ranges`.
      decay: see `FakeQuant`.
      overrides: bits of single layers: `{"logits": {"weights": 8}}`.

    Raises:
      UserError: no such bits or ranges.
    """
    names = [choice.value for choice in Ranges]
    if ranges not in names:
        raise UserError(f"ranges is {ranges!r}; it must be one of {', '.join(names)}")
    if not 0 <= decay < 1:
        raise UserError(f"decay is {decay!r}; it must be at least 0 and below 1")
    chosen = [
        (pattern, *_checked(f"overrides of {pattern}", of, bits))
        for pattern, layer in (overrides or {}).items()
        for of, bits in layer.items()
    ]
    for of, bits in (("weights", weights), ("activations", activations)):
        _checked("quantisation", of, bits)
    return FakeQuant(weights, activations, Ranges(ranges), decay, tuple(chosen))


def _checked(what: str, of: str, bits: int) -> tuple[Of, int]:
    names = [choice.value for choice in Of]
    if of not in names:
        raise UserError(f"{what} has {of!r}; it can have {' and '.join(names)}")
    if bits not in BITS[Of(of)]:
        raise UserError(f"{what}: {of} has {bits!r} bits; it must be {' or '.join(map(str, BITS[Of(of)]))}")
    return Of(of), bits


def _ends(name: str) -> tuple[str, str]:
    return f"{name}_low", f"{name}_high"


def _extremes(value: Array, mask: Array | None) -> tuple[Array, Array]:
    """Smallest and largest value of the examples that count, and 0."""
    if mask is not None:
        value = jnp.where((mask > 0).reshape(-1, *[1] * (value.ndim - 1)), value, 0)
    return jnp.minimum(jnp.min(value), 0), jnp.maximum(jnp.max(value), 0)


def _asks(layer: nn.Module, collection: str) -> bool:
    return layer.is_mutable_collection(collection) and not layer.is_initializing()


def _note(layer: nn.Module, collection: str, name: str, value: Any) -> None:
    layer.sow(collection, name, value, reduce_fn=lambda _, new: new, init_fn=lambda: None)
