"""Depthwise convolutions of maps that have no more positions than the kernel: one matrix a channel.

At the end of a network for photographs a kernel of 5 x 5 meets maps of 2 x 2, and most of what it would multiply are
zeros of the padding. Here every output is the sum, over the positions of the maps, of what is there times the one
weight between the two: four products instead of 25, nothing is padded, and the gradient by all weights is one batched
product of matrices.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.models.layers.padding import Pads, Pair

_EXACT = jax.lax.Precision.HIGHEST


def fits(x: Float[Array, "batch height width channels"], kernel: Float[Array, "rows columns 1 channels"]) -> bool:
    """Whether the maps have no more positions than the kernel."""
    return x.shape[1] * x.shape[2] <= kernel.shape[0] * kernel.shape[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "rows columns 1 channels"],
    strides: Pair,
    pads: Pads,
) -> Float[Array, "batch height2 width2 channels"]:
    """A convolution of every channel by itself."""
    meets = _meets(x.shape, kernel.shape, strides, pads)
    size = meets[0].shape[1], meets[1].shape[1]
    return _sums(x, _weights(kernel, meets)).reshape(x.shape[0], *size, x.shape[3])


def _forward(x: Array, kernel: Array, strides: Pair, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    return depthwise(x, kernel, strides, pads), (x, kernel)


def _backward(strides: Pair, pads: Pads, saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    rows, columns = _meets(x.shape, kernel.shape, strides, pads)
    dy = jax.lax.optimization_barrier(dy)
    by_maps = _sums(dy, jnp.swapaxes(_weights(kernel, (rows, columns)), 0, 1)).reshape(x.shape)
    # As a sum of products over the batch XLA 0.10's CPU backend gets this wrong on some shapes, and is slower.
    by_weights = jnp.einsum("nopc,nhwc->cophw", dy, x, precision=_EXACT)
    by_kernel = jnp.einsum(
        "cophw,ioh,jpw->ijc", by_weights, rows.astype(x.dtype), columns.astype(x.dtype), precision=_EXACT
    )
    return by_maps, by_kernel[:, :, None]


depthwise.defvjp(_forward, _backward)


def _sums(x: Array, weights: Float[Array, "outputs inputs channels"]) -> Float[Array, "batch outputs channels"]:
    inputs = x.reshape(x.shape[0], -1, 1, x.shape[3])
    return functools.reduce(jnp.add, (inputs[:, i] * weights[:, i] for i in range(weights.shape[1])))


def _weights(kernel: Array, meets: tuple[np.ndarray, np.ndarray]) -> Float[Array, "outputs inputs channels"]:
    """What of the kernel is between an output and an input, 0 where they do not meet."""
    rows, columns = (axis.astype(kernel.dtype) for axis in meets)
    weights = jnp.einsum("ioh,jpw,ijc->ophwc", rows, columns, kernel[:, :, 0], precision=_EXACT)
    return weights.reshape(rows.shape[1] * columns.shape[1], -1, kernel.shape[3])


def _meets(size: tuple[int, ...], window: tuple[int, ...], strides: Pair, pads: Pads) -> tuple[np.ndarray, np.ndarray]:
    """For height and width, 1 where a position of the kernel lies between an output and an input: (kernel, out, in)."""
    axes = []
    for axis in (0, 1):
        outputs = (size[axis + 1] + sum(pads[axis]) - window[axis]) // strides[axis] + 1
        seen = np.arange(outputs)[:, None] * strides[axis] - pads[axis][0] + np.arange(window[axis])[:, None, None]
        axes.append(seen == np.arange(size[axis + 1]))
    return axes[0], axes[1]
