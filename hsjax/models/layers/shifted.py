"""Convolutions as sums of shifted products, where XLA's CPU backend has no fast path: one input channel, depthwise."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers.padding import Pads, Pair


def one_channel(
    x: Float[Array, "batch height width 1"],
    kernel: Float[Array, "kernel_height kernel_width 1 features"],
    strides: Pair,
    pads: Pads,
) -> Float[Array, "batch height2 width2 features"]:
    """A convolution of maps with one channel."""
    return functools.reduce(jnp.add, (seen * weight[0] for seen, weight in _products(x, kernel, strides, pads)))


def depthwise(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "kernel_height kernel_width 1 channels"],
    strides: Pair,
    pads: Pads,
) -> Float[Array, "batch height2 width2 channels"]:
    """A convolution of every channel by itself."""
    return functools.reduce(jnp.add, (seen * weight[0] for seen, weight in _products(x, kernel, strides, pads)))


def _products(x: Array, kernel: Array, strides: Pair, pads: Pads):
    """Every position of the kernel: what it sees of the padded map, and its weights."""
    padded = jnp.pad(x, [(0, 0), *pads, (0, 0)])
    height, width = kernel.shape[:2]
    rows, columns = ((padded.shape[d + 1] - kernel.shape[d]) // strides[d] + 1 for d in (0, 1))
    for i in range(height):
        for j in range(width):
            begin, end = (0, i, j, 0), (
                x.shape[0], i + (rows - 1) * strides[0] + 1, j + (columns - 1) * strides[1] + 1, x.shape[3]
            )  # fmt: skip
            yield jax.lax.slice(padded, begin, end, (1, *strides, 1)), kernel[i, j]
