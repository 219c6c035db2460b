"""Pooling. Max-pooling's fast form avoids the gradient of `reduce_window`, which is slow on XLA's CPU backend.

The winner's index is kept and selects, and an `optimization_barrier` keeps XLA from fusing across the pool, which would
recompute the convolution before it.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.models.layers.execution import Form
from hsjax.models.layers.padding import Padding, Pads, Pair, resolve


def global_average_pool(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch channels"]:
    """Mean of every map."""
    return jnp.mean(x, (1, 2))


def average_pool(
    x: Float[Array, "batch height width channels"],
    window: Pair,
    strides: Pair | None = None,
    padding: Padding | Sequence[Pair] = Padding.VALID,
    where: str = "average pool",
) -> Float[Array, "batch height_out width_out channels"]:
    """Mean of each window; padding counts as zeros.

    Raises:
      UserError: the map is smaller than the window.
    """
    strides = strides or window
    pads = resolve(padding, x.shape[1:3], window, strides, where)
    return nn.avg_pool(x, window, strides, pads)


def max_pool(
    x: Float[Array, "batch height width channels"],
    window: Pair,
    strides: Pair | None = None,
    padding: Padding | Sequence[Pair] = Padding.VALID,
    form: Form = Form.PLAIN,
    where: str = "max pool",
) -> Float[Array, "batch height_out width_out channels"]:
    """Max-pooling; the padding never wins.

    Args:
      x: `(batch, height, width, channels)`.
      window: height and width of the window.
      strides: of the window; the window itself by default.
      padding: a rule, or what is added before and after, for height and width.
      form: which implementation. Where values tie, both give the gradient to the first of the window.
      where: the layer, for the error.

    Returns:
      `(batch, height_out, width_out, channels)`.

    Raises:
      UserError: the map is smaller than the window.
    """
    strides = strides or window
    space = resolve(padding, x.shape[1:3], window, strides, where)
    pads = [(0, 0), *space, (0, 0)]
    if form is Form.PLAIN:
        if space not in (_NONE, _same(x, window, strides)):
            # TFLite's pools are VALID or SAME, and its converter turns any other padding into SAME, silently. Repeating
            # the edge never changes a maximum.
            x, space = jnp.pad(x, pads, mode="edge"), _NONE
        return nn.max_pool(x, window, strides, space)
    padded = jnp.pad(x, pads, constant_values=-jnp.inf) if any(map(any, pads)) else x
    return _index_pool(padded, window, strides)


_NONE: Pads = ((0, 0), (0, 0))


def _same(x: Array, window: Pair, strides: Pair) -> tuple[Pair, ...]:
    return tuple(jax.lax.padtype_to_pads(x.shape[1:3], window, strides, "SAME"))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _index_pool(x: Array, window: Pair, strides: Pair) -> Array:
    """Max-pooling that remembers which position of the window won, the first among equals."""
    return _index_pool_forward(x, window, strides)[0]


def _index_pool_forward(x: Array, window: Pair, strides: Pair) -> tuple[Array, tuple[Array, Array]]:
    x = jax.lax.optimization_barrier(x)
    height, width = ((x.shape[d] - window[d - 1]) // strides[d - 1] + 1 for d in (1, 2))
    spans = ((height - 1) * strides[0] + 1, (width - 1) * strides[1] + 1)
    index = _index_type(window)
    y, winner = jnp.full((), -jnp.inf, x.dtype), jnp.zeros((), index)
    for position in range(window[0] * window[1]):
        i, j = divmod(position, window[1])
        seen = x[:, i : i + spans[0] : strides[0], j : j + spans[1] : strides[1]]
        winner = jnp.where(seen > y, index(position), winner)
        y = jnp.maximum(seen, y)
    y, winner = jax.lax.optimization_barrier((y, winner))
    return y, (winner, jnp.zeros((0, *x.shape[1:])))  # an empty array carries the input's shape


def _index_type(window: Pair) -> type[np.integer]:
    """Of positions in a window and -1; as small as can be, because all winners are kept."""
    return np.int8 if window[0] * window[1] <= 128 else np.int32


def _index_pool_backward(window: Pair, strides: Pair, saved: tuple[Array, Array], dy: Array) -> tuple[Array]:
    winner, empty = saved
    spread = _spread_tiles if window == strides else _spread_overlapping
    dx = spread(winner, jax.lax.optimization_barrier(dy), (dy.shape[0], *empty.shape[1:]), window, strides)
    return (jax.lax.optimization_barrier(dx),)


def _spread_tiles(winner: Array, dy: Array, shape: tuple[int, ...], window: Pair, strides: Pair) -> Array:
    """Windows that do not overlap: every input belongs to at most one, so its gradient is a select."""
    batch, height, width, channels = dy.shape
    tiles = (batch, height, window[0], width, window[1], channels)
    area = (batch, height * window[0], width * window[1], channels)

    def upsample(a: Array) -> Array:
        return jnp.broadcast_to(a[:, :, None, :, None], tiles).reshape(area)

    positions = np.arange(window[0] * window[1], dtype=_index_type(window)).reshape(window)
    pattern = np.tile(positions, (height, width))[None, :, :, None]
    dx = jnp.where(upsample(winner) == pattern, upsample(dy), 0)
    return jnp.pad(dx, [(0, whole - used) for whole, used in zip(shape, area, strict=True)])


def _spread_overlapping(winner: Array, dy: Array, shape: tuple[int, ...], window: Pair, strides: Pair) -> Array:
    """Any windows: every input collects from the windows that it may have won, in one pass over both."""
    edges = [(0, 0, 0)]
    for axis in (0, 1):
        span = (dy.shape[axis + 1] - 1) * strides[axis] + 1
        before = window[axis] - 1
        edges.append((before, shape[axis + 1] - span, strides[axis] - 1))
    edges.append((0, 0, 0))
    spread = jax.lax.pad(dy, jnp.zeros((), dy.dtype), edges), jax.lax.pad(winner, jnp.full((), -1, winner.dtype), edges)
    # Without the barrier each of the positions would pad anew.
    gradients, winners = jax.lax.optimization_barrier(spread)
    dx = jnp.zeros(shape, dy.dtype)
    for position in range(window[0] * window[1]):
        i, j = divmod(position, window[1])
        rows, columns = (
            slice(w - 1 - k, w - 1 - k + size) for w, k, size in zip(window, (i, j), shape[1:3], strict=True)
        )
        won = winners[:, rows, columns] == position
        dx += jnp.where(won, gradients[:, rows, columns], 0)
    return dx


_index_pool.defvjp(_index_pool_forward, _index_pool_backward)
