"""Convolution, ReLU and max-pooling in one layer: the first of small networks, where their time goes.

On maps of one channel the fast form never makes the map between convolution and pool, which is the largest of all; nor
its gradient, of which all but one value a window are zero. The products of the kernel's gradient need what each
position of kernel and window saw, and that is small while there is but one channel.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers.activation import Activation, relu
from hsjax.models.layers.convolution import convolve
from hsjax.models.layers.execution import EVALUATION, Execution, Form, Phase
from hsjax.models.layers.initial import torch_uniform
from hsjax.models.layers.padding import Padding, Pads, Pair, resolve
from hsjax.models.layers.pool import max_pool


class ConvReluMaxPool(nn.Module):
    """3x3 convolution to maps of the same size, ReLU, max-pooling. Parameters `kernel` and `bias`.

    Pooling before the ReLU gives the same values and gradients with less to do: so the fast form does.

    Attributes:
      features: channels out.
      window: height and width of the pool's window.
      strides: of the window; the window itself by default.
      padding: of the pool; a rule, or what is added before and after, for height and width.
      execution: see there.
    """

    features: int
    window: Pair
    strides: Pair | None = None
    padding: Padding | Sequence[Pair] = Padding.VALID
    execution: Execution = Execution()

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], phase: Phase = EVALUATION
    ) -> Float[Array, "batch height2 width2 features"]:
        """Apply all three.

        Raises:
          UserError: the map is smaller than the pool's window.
        """
        kernel = self.param("kernel", torch_uniform, (3, 3, x.shape[-1], self.features))
        kernel = self.execution.quantiser.weight(self, "kernel", kernel)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        strides, form, where = self.strides or self.window, self.execution.form, "/".join(self.path) or "the pool"
        pads = resolve(self.padding, x.shape[1:3], self.window, strides, where)
        around = ((1, 1), (1, 1))
        activation = Activation(relu, self.execution, name="relu")
        if form is Form.PLAIN:
            x = convolve(x, kernel, pads=around, form=form) + bias
            return activation(x, phase, lambda y: max_pool(y, self.window, strides, pads, form))
        if x.shape[-1] == 1 and strides == self.window and not pads[0][0] and not pads[1][0]:
            pooled = one_channel_pooled(x, kernel, self.window, pads)
        else:
            pooled = max_pool(convolve(x, kernel, pads=around, form=form), self.window, strides, pads, form)
        return activation(pooled + bias, phase)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def one_channel_pooled(
    x: Float[Array, "batch height width 1"],
    kernel: Float[Array, "3 3 1 features"],
    window: Pair,
    pads: Pads,
) -> Float[Array, "batch height2 width2 features"]:
    """The maximum in windows that do not overlap of a 3x3 convolution to maps of the same size.

    Args:
      x: maps.
      kernel: of the convolution.
      window: of the pool, and its strides.
      pads: rows and columns that may be missing in the last windows.
    """
    return _forward(x, kernel, window, pads)[0]


def _forward(x: Array, kernel: Array, window: Pair, pads: Pads) -> tuple[Array, tuple[Array, Array, Array]]:
    rows = jnp.arange((x.shape[1] + pads[0][1]) // window[0])[:, None, None] * window[0]
    columns = jnp.arange((x.shape[2] + pads[1][1]) // window[1])[:, None] * window[1]
    seen = _seen(x, window, pads)
    y, winner = -jnp.inf, jnp.zeros((), jnp.int8)
    for position in range(window[0] * window[1]):
        row, column = divmod(position, window[1])
        value = _convolved(seen, kernel, row, column)
        if row >= window[0] - pads[0][1] or column >= window[1] - pads[1][1]:
            there = (rows + row < x.shape[1]) & (columns + column < x.shape[2])
            value = jnp.where(there, value, -jnp.inf)
        winner = jnp.where(value > y, jnp.int8(position), winner)
        y = jnp.maximum(value, y)
    y, winner = jax.lax.optimization_barrier((y, winner))
    return y, (x, kernel, winner)


def _backward(window: Pair, pads: Pads, saved: tuple[Array, Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel, winner = saved
    won = [jnp.where(winner == position, dy, 0) for position in range(window[0] * window[1])]
    # What every place around a window holds, times what each position in it has won.
    seen = _seen(x, window, pads)
    places = jnp.stack([part.reshape(-1) for line in seen for part in line])
    by_kernel = jnp.zeros((), dy.dtype)
    for position, part in enumerate(won):
        row, column = divmod(position, window[1])
        products = (places @ part.reshape(-1, dy.shape[-1])).reshape(len(seen), len(seen[0]), 1, -1)
        by_kernel += products[row : row + 3, column : column + 3]
    return _by_maps(x, kernel, window, pads, won), by_kernel


def _by_maps(x: Array, kernel: Array, window: Pair, pads: Pads, won: list[Array]) -> Array:
    """The gradient by the maps; of a network's input, where nobody asks for it, it is never computed."""

    def unpooled(maps: Array) -> list[Array]:
        seen = _seen(maps, window, pads)
        return [_convolved(seen, kernel, row, column) for row in range(window[0]) for column in range(window[1])]

    return jax.vjp(unpooled, x)[1](won)[0]


one_channel_pooled.defvjp(_forward, _backward)


def _convolved(seen: list[list[Array]], kernel: Array, row: int, column: int) -> Array:
    """The convolution at one position of every window."""
    terms = (kernel[i, j, 0] * seen[row + i][column + j] for i in range(3) for j in range(3))
    return functools.reduce(jnp.add, terms)


def _seen(x: Array, window: Pair, pads: Pads) -> list[list[Array]]:
    """The value at every place that a window's convolutions see, by row and column; each (batch, rows, columns, 1)."""
    height, width = ((x.shape[axis + 1] + pads[axis][1]) // window[axis] * window[axis] for axis in (0, 1))
    padded = jnp.pad(x, [(0, 0), (1, 1 + pads[0][1]), (1, 1 + pads[1][1]), (0, 0)])
    return [
        [
            jax.lax.slice(
                padded,
                (0, row, column, 0),
                (x.shape[0], row + height - window[0] + 1, column + width - window[1] + 1, 1),
                (1, *window, 1),
            )
            for column in range(window[1] + 2)
        ]
        for row in range(window[0] + 2)
    ]
