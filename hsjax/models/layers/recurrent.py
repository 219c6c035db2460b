"""Recurrent layers over `(batch, frames, dims)`: LSTM and Elman's network.

FAST scans over the frames; PLAIN is unrolled, because TFLite and ONNX files cannot hold loops. In both, what the input
contributes is one matrix product for all frames, and only the recurrent product is left to the steps.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers.execution import EVALUATION, Execution, Form, Phase

# More steps in one body compile much longer, and for LSTMs run no faster.
_SCAN_UNROLL = 1

Step = Callable[[Any, Array], tuple[Any, Array]]
"""State and projected frame to the next state and the output."""


class LSTM(nn.Module):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    Gates are sigmoid, cell and output tanh. Parameters as in Keras: `kernel` (dims, 4 * units), `recurrent_kernel`
    (units, 4 * units), `bias` (4 * units), columns in the order input, forget, cell, output; the forget gate's bias
    begins at 1 (Jozefowicz et al. 2015). The quantiser sees both kernels, the projected input and the outputs.

    Attributes:
      units: dims out.
      reverse: whether to walk from the last frame to the first; the outputs keep the order of the input.
      kernel_init: distribution of `kernel`; Keras's by default.
      recurrent_init: distribution of `recurrent_kernel`; Keras's by default.
      execution: see there.
    """

    units: int
    reverse: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.xavier_uniform()
    recurrent_init: nn.initializers.Initializer = nn.initializers.orthogonal()
    execution: Execution = Execution()

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames dims"], phase: Phase = EVALUATION
    ) -> Float[Array, "batch frames {self.units}"]:
        """The output of every frame."""
        projected, recurrent = _project(self, x, 4, phase)

        def step(state: tuple[Array, Array], frame: Array) -> tuple[tuple[Array, Array], Array]:
            output, cell = state
            i, f, c, o = jnp.split(frame + output @ recurrent, 4, -1)
            cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(c)
            output = jax.nn.sigmoid(o) * jnp.tanh(cell)
            return (output, cell), output

        rest = jnp.zeros((x.shape[0], self.units), projected.dtype)
        y = _walk(step, (rest, rest), projected, self.reverse, self.execution.form)
        return self.execution.quantiser.activation(self, "after", y, phase)


class SimpleRNN(nn.Module):
    """Elman's network (Elman 1990): the output is the tanh of the input and the last output, each through a kernel.

    Parameters as in Keras: `kernel` (dims, units), `recurrent_kernel` (units, units), `bias` (units). The quantiser
    sees both kernels, the projected input and the outputs.

    Attributes:
      units: dims out.
      reverse: whether to walk from the last frame to the first; the outputs keep the order of the input.
      kernel_init: distribution of `kernel`; Keras's by default.
      recurrent_init: distribution of `recurrent_kernel`; Keras's by default.
      execution: see there.
    """

    units: int
    reverse: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.xavier_uniform()
    recurrent_init: nn.initializers.Initializer = nn.initializers.orthogonal()
    execution: Execution = Execution()

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames dims"], phase: Phase = EVALUATION
    ) -> Float[Array, "batch frames {self.units}"]:
        """The output of every frame."""
        projected, recurrent = _project(self, x, 1, phase)

        def step(last: Array, frame: Array) -> tuple[Array, Array]:
            output = jnp.tanh(frame + last @ recurrent)
            return output, output

        rest = jnp.zeros((x.shape[0], self.units), projected.dtype)
        y = _walk(step, rest, projected, self.reverse, self.execution.form)
        return self.execution.quantiser.activation(self, "after", y, phase)


def _project(layer: LSTM | SimpleRNN, x: Array, gates: int, phase: Phase) -> tuple[Array, Array]:
    """What the input of every frame contributes, and the recurrent kernel; declares the layer's parameters."""
    units, width = layer.units, gates * layer.units
    kernel = layer.param("kernel", layer.kernel_init, (x.shape[-1], width))
    recurrent = layer.param("recurrent_kernel", layer.recurrent_init, (units, width))
    bias = layer.param("bias", _forget_nothing if gates == 4 else nn.initializers.zeros, (width,))
    quantiser = layer.execution.quantiser
    projected = x @ quantiser.weight(layer, "kernel", kernel) + bias
    recurrent = quantiser.weight(layer, "recurrent_kernel", recurrent)
    return quantiser.activation(layer, "projected", projected, phase), recurrent


def _forget_nothing(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """1 for the forget gate, 0 for the others."""
    del key
    units = shape[0] // 4
    return jnp.zeros(shape, dtype).at[units : 2 * units].set(1)


def _walk(step: Step, state: Any, projected: Array, reverse: bool, form: Form) -> Array:
    """The outputs of all frames, `(batch, frames, units)`."""
    if form is Form.FAST:
        frames = jnp.swapaxes(projected, 0, 1)
        _, y = jax.lax.scan(step, state, frames, reverse=reverse, unroll=_SCAN_UNROLL)
        return jnp.swapaxes(y, 0, 1)
    outputs: list[Array] = []
    order = range(projected.shape[1])
    for frame in reversed(order) if reverse else order:
        state, y = step(state, projected[:, frame])
        outputs.append(y)
    return jnp.stack(outputs[::-1] if reverse else outputs, 1)
