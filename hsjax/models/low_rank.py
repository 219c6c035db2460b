"""Linear layers and 1x1 convolutions that are two, with few channels between them, in any network that has such.

The layer `hidden` becomes `hidden/down`, without bias, and `hidden/up`: two ordinary layers, which train, export and
run like all others. `compress.low_rank` finds their weights.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from hsjax.models.layers import Activation, Conv, Dense, Phase

Ranks = tuple[tuple[str, int], ...]
"""Layers by path, and how many channels there are between the two that each becomes."""


@contextlib.contextmanager
def in_two(ranks: Ranks, phase: Phase) -> Iterator[None]:
    """While this is entered, the layers with these paths are two.

    Args:
      ranks: see there.
      phase: of the network's call.
    """
    between = dict(ranks)

    def call(layer: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        module = context.module
        rank = between.get("/".join(module.path)) if context.method_name == "__call__" else None
        return layer(*args, **kwargs) if rank is None else _two(module, rank, phase, *args, **kwargs)

    with nn.intercept_methods(call) if ranks else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def noted() -> Iterator[dict[str, tuple[int, int]]]:
    """While this is entered, inputs and features of every layer that is called and could be two, by path."""
    found: dict[str, tuple[int, int]] = {}

    def call(layer: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        module = context.module
        if context.method_name == "__call__" and _can_be_two(module):
            channels = getattr(module, "channels", None) or args[0].shape[-1]
            found["/".join(module.path)] = channels, module.features
        return layer(*args, **kwargs)

    with nn.intercept_methods(call):
        yield found


def _can_be_two(module: nn.Module) -> bool:
    pointwise = isinstance(module, Conv) and tuple(module.kernel_size) == (1, 1) and module.groups == 1
    return pointwise or isinstance(module, Dense)


def _two(module: Any, rank: int, phase: Phase, x: Float[Array, "*in"]) -> Float[Array, "*out"]:
    """What is called in the place of a layer, in its scope."""
    shared = {"kernel_init": module.kernel_init, "execution": module.execution}
    if isinstance(module, Dense):
        down = Dense(rank, use_bias=False, name="down", **shared)
        up = Dense(module.features, module.use_bias, name="up", **shared)
    else:
        own = {"strides": module.strides, "padding": module.padding, "channels": module.channels}
        down = Conv(rank, (1, 1), use_bias=False, name="down", **own, **shared)
        up = Conv(module.features, (1, 1), use_bias=module.use_bias, name="up", **shared)
    # An int8 file rounds what is between.
    return up(Activation(None, module.execution, name="between")(down(x), phase))
