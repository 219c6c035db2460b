"""The gradient of a convolution by its kernel as matrix products.

XLA's CPU backend computes it as a convolution whose kernel is a whole map, and takes three to eight times as long as
for the convolution itself where maps are large. As one product of matrices per position of the kernel - what that
position saw, times the output's gradient - it takes two to four times less.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers.padding import Pads, Pair

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")

_SMALL, _DEEP = 100, 512
"""Positions of a map below which, and channels from which on, XLA's own way is as fast."""


def convolution(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "kernel_height kernel_width channels features"],
    strides: Pair,
    pads: Pads,
) -> Float[Array, "batch height2 width2 features"]:
    """XLA's convolution, except for the gradient by the kernel where that is slow."""
    if kernel.shape[:2] == (1, 1) and strides == (1, 1) and pads == ((0, 0), (0, 0)):
        return x @ kernel[0, 0]
    if x.shape[1] * x.shape[2] < _SMALL or x.shape[3] >= _DEEP:
        return _convolve(x, kernel, strides, pads)
    return _with_products(x, kernel, strides, pads)


def _convolve(x: Array, kernel: Array, strides: Pair, pads: Pads) -> Array:
    return jax.lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=_DIMENSIONS)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _with_products(x: Array, kernel: Array, strides: Pair, pads: Pads) -> Array:
    return _convolve(x, kernel, strides, pads)


def _forward(x: Array, kernel: Array, strides: Pair, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(x, kernel, strides, pads), (x, kernel)


def _backward(strides: Pair, pads: Pads, saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    _, pullback = jax.vjp(lambda maps: _convolve(maps, kernel, strides, pads), x)
    return pullback(dy)[0], _by_kernel(x, dy, kernel.shape, strides, pads)


def _by_kernel(x: Array, dy: Array, shape: tuple[int, ...], strides: Pair, pads: Pads) -> Array:
    batch, rows, columns, features = dy.shape
    # Barriers: fused into what pads and shifts, the products would be computed without the matrix library.
    padded = jax.lax.optimization_barrier(jnp.pad(x, [(0, 0), *pads, (0, 0)]))
    flat = dy.reshape(-1, features)
    products = []
    for i in range(shape[0]):
        for j in range(shape[1]):
            end = (batch, i + (rows - 1) * strides[0] + 1, j + (columns - 1) * strides[1] + 1, x.shape[3])
            seen = jax.lax.slice(padded, (0, i, j, 0), end, (1, *strides, 1)).reshape(-1, x.shape[3])
            contracted = (((0,), (0,)), ((), ()))
            products.append(jax.lax.dot_general(jax.lax.optimization_barrier(seen), flat, contracted))
    return jnp.stack(products).reshape(shape)


_with_products.defvjp(_forward, _backward)
