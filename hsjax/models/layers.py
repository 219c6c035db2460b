"""Layers in two forms: `PLAIN` is the textbook operation and what export traces; `FAST` is what trains fast on CPU.

Both have the same parameters, values and gradients. XLA's CPU backend is slow at three things that small
convolutional networks do all the time, and each has a fast form here:

* the gradient of `reduce_window` max-pooling: the winner's index is kept and selects;
* a convolution with one input channel: shifted multiply-adds;
* fusing across a pool, which recomputes the convolution before it: an `optimization_barrier`.
"""

import enum
import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Form(enum.Enum):
    """How a layer computes what it computes."""

    PLAIN = "plain"
    FAST = "fast"


Pair = tuple[int, int]

# PyTorch's default, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), which the papers' networks start from. He's, with six times the
# variance, kills all units of a narrow ReLU layer now and then.
torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Conv3x3(nn.Module):
    """3x3 convolution, stride 1, zero-padded to the same size, with bias. Parameters `kernel` (HWIO) and `bias`."""

    features: int
    form: Form

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width features"]:
        """Convolve."""
        channels = x.shape[-1]
        kernel = self.param("kernel", torch_uniform, (3, 3, channels, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if self.form is Form.FAST and channels == 1:
            return _one_channel_conv(x, kernel) + bias
        dims = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dims) + bias


def _one_channel_conv(x: Array, kernel: Array) -> Array:
    _, height, width, _ = x.shape
    padded = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    terms = (padded[:, i : i + height, j : j + width] * kernel[i, j, 0] for i in range(3) for j in range(3))
    return functools.reduce(jnp.add, terms)


def max_pool(
    x: Float[Array, "batch height width channels"],
    window: Pair,
    strides: Pair | None = None,
    padding: Sequence[Pair] = ((0, 0), (0, 0)),
    form: Form = Form.PLAIN,
) -> Float[Array, "batch height_out width_out channels"]:
    """Max-pooling; the padding never wins.

    Args:
      x: `(batch, height, width, channels)`.
      window: height and width of the window.
      strides: of the window; the window itself by default.
      padding: before and after, for height and width.
      form: which implementation. Where values tie, both give the gradient to the first of the window.

    Returns:
      `(batch, height_out, width_out, channels)`.
    """
    strides = strides or window
    pads = [(0, 0), *padding, (0, 0)]
    if form is Form.PLAIN:
        if tuple(padding) not in (_valid(), _same(x, window, strides)):
            # TFLite's pools are VALID or SAME, and its converter turns any other padding into SAME, silently. Repeating
            # the edge never changes a maximum.
            x, padding = jnp.pad(x, pads, mode="edge"), _valid()
        return nn.max_pool(x, window, strides, padding)
    padded = jnp.pad(x, pads, constant_values=-jnp.inf) if any(map(any, pads)) else x
    return _index_pool(padded, window, strides)


def _valid() -> tuple[Pair, Pair]:
    return ((0, 0), (0, 0))


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
    y, winner = jnp.full((), -jnp.inf, x.dtype), jnp.zeros((), jnp.int8)
    for position in range(window[0] * window[1]):
        i, j = divmod(position, window[1])
        seen = x[:, i : i + spans[0] : strides[0], j : j + spans[1] : strides[1]]
        winner = jnp.where(seen > y, jnp.int8(position), winner)
        y = jnp.maximum(seen, y)
    y, winner = jax.lax.optimization_barrier((y, winner))
    return y, (winner, jnp.zeros((0, *x.shape[1:])))  # an empty array carries the input's shape


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

    positions = np.arange(window[0] * window[1], dtype=np.int8).reshape(window)
    pattern = np.tile(positions, (height, width))[None, :, :, None]
    dx = jnp.where(upsample(winner) == pattern, upsample(dy), 0)
    return jnp.pad(dx, [(0, whole - used) for whole, used in zip(shape, area, strict=True)])


def _spread_overlapping(winner: Array, dy: Array, shape: tuple[int, ...], window: Pair, strides: Pair) -> Array:
    """Any windows: one shifted, dilated copy of the gradient per position, summed."""
    dx = jnp.zeros(shape, dy.dtype)
    for position in range(window[0] * window[1]):
        pads = []
        for axis, (offset, stride) in enumerate(
            zip((0, *divmod(position, window[1]), 0), (1, *strides, 1), strict=True)
        ):
            span = (dy.shape[axis] - 1) * stride + 1
            pads.append((offset, shape[axis] - offset - span, stride - 1))
        dx += jax.lax.pad(jnp.where(winner == position, dy, 0), jnp.zeros((), dy.dtype), pads)
    return dx


_index_pool.defvjp(_index_pool_forward, _index_pool_backward)
