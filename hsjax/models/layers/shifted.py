"""Convolutions as sums of shifted products, where XLA's CPU backend has no fast path: one input channel, depthwise.

Left to automatic differentiation, what each position saw would be kept in memory, for one channel even as often as
there are features. So the gradients are written out; for one channel, that by the kernel is one product of matrices.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers.padding import Pads, Pair

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")

_FUSED = 9
"""Positions of a kernel up to which XLA sums all products in one pass."""


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def one_channel(
    x: Float[Array, "batch height width 1"],
    kernel: Float[Array, "kernel_height kernel_width 1 features"],
    strides: Pair,
    pads: Pads,
) -> Float[Array, "batch height2 width2 features"]:
    """A convolution of maps with one channel."""
    if kernel.shape[0] * kernel.shape[1] > _FUSED:
        return _convolve(x, kernel, strides, pads)
    positions = (kernel[i, j, 0] * seen for i, j, seen in _shifts(x, kernel.shape[:2], strides, pads))
    return functools.reduce(jnp.add, positions)


def _one_channel_forward(x: Array, kernel: Array, strides: Pair, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    return one_channel(x, kernel, strides, pads), (x, kernel)


def _one_channel_backward(strides: Pair, pads: Pads, saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    _, by_maps = jax.vjp(lambda maps: _convolve(maps, kernel, strides, pads), x)
    seen = jnp.stack([part.reshape(-1) for _, _, part in _shifts(x, kernel.shape[:2], strides, pads)])
    by_kernel = jax.lax.optimization_barrier(seen) @ dy.reshape(-1, dy.shape[-1])
    return by_maps(dy)[0], by_kernel.reshape(kernel.shape)


one_channel.defvjp(_one_channel_forward, _one_channel_backward)


def _convolve(x: Array, kernel: Array, strides: Pair, pads: Pads) -> Array:
    return jax.lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=_DIMENSIONS)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "kernel_height kernel_width 1 channels"],
    strides: Pair,
    pads: Pads,
) -> Float[Array, "batch height2 width2 channels"]:
    """A convolution of every channel by itself."""
    positions = (kernel[i, j, 0] * seen for i, j, seen in _shifts(x, kernel.shape[:2], strides, pads))
    return functools.reduce(jnp.add, positions)


def _depthwise_forward(x: Array, kernel: Array, strides: Pair, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    return depthwise(x, kernel, strides, pads), (x, kernel)


def _depthwise_backward(strides: Pair, pads: Pads, saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    """By the maps: the same sum, over the gradient with zeros between its rows and columns and the kernel reversed."""
    x, kernel = saved
    window = kernel.shape[:2]
    dy = jax.lax.optimization_barrier(dy)
    edges = [(0, 0, 0)]
    for axis in (0, 1):
        span = (dy.shape[axis + 1] - 1) * strides[axis] + 1
        before = window[axis] - 1 - pads[axis][0]
        edges.append((before, x.shape[axis + 1] + window[axis] - 1 - before - span, strides[axis] - 1))
    spread = jax.lax.pad(dy, jnp.zeros((), dy.dtype), [*edges, (0, 0, 0)])
    by_maps = depthwise(spread, kernel[::-1, ::-1], (1, 1), ((0, 0), (0, 0)))
    by_kernel = [jnp.sum(seen * dy, (0, 1, 2)) for _, _, seen in _shifts(x, window, strides, pads)]
    return by_maps, jnp.stack(by_kernel).reshape(kernel.shape)


depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _shifts(x: Array, window: tuple[int, ...], strides: Pair, pads: Pads) -> Iterator[tuple[int, int, Array]]:
    """Every position of a kernel, and what it sees of the padded maps."""
    # Without the barrier each position would pad anew.
    padded = jax.lax.optimization_barrier(jnp.pad(x, [(0, 0), *pads, (0, 0)]))
    rows, columns = ((padded.shape[axis + 1] - window[axis]) // strides[axis] + 1 for axis in (0, 1))
    for i in range(window[0]):
        for j in range(window[1]):
            end = (x.shape[0], i + (rows - 1) * strides[0] + 1, j + (columns - 1) * strides[1] + 1, x.shape[3])
            yield i, j, jax.lax.slice(padded, (0, i, j, 0), end, (1, *strides, 1))
