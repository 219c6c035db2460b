"""Nonlinearities, and what a layer hands on to the next."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers.execution import EVALUATION, Execution, Phase
from hsjax.models.layers.quantiser import IDENTITY

Function = Callable[[Array], Array]

# The field's names; of Howard et al. 2019 (hard) and Ramachandran et al. 2017 (silu, also called swish).
relu: Function = jax.nn.relu
relu6: Function = jax.nn.relu6
hard_sigmoid: Function = jax.nn.hard_sigmoid
hard_swish: Function = jax.nn.hard_swish
sigmoid: Function = jax.nn.sigmoid
silu: Function = jax.nn.silu
tanh: Function = jnp.tanh

FUNCTIONS = {
    "relu": relu,
    "relu6": relu6,
    "hard-sigmoid": hard_sigmoid,
    "hard-swish": hard_swish,
    "sigmoid": sigmoid,
    "silu": silu,
    "tanh": tanh,
}
"""By the names that configs give them."""

# Inside the convolution in a TFLite file, so that its output before them is never rounded. A hard sigmoid is ReLU6 with
# 3 more in the bias, and a division by 6 that leaves the levels as they are.
_FUSED = (relu, relu6, hard_sigmoid)

# What TFLite's specification or the function itself says of the outputs' range, as int8 and as int16.
_FIXED = {
    sigmoid: ((0.0, 255 / 256), (0.0, 32767 / 32768)),
    tanh: ((-1.0, 127 / 128), (-32767 / 32768, 32767 / 32768)),
    hard_sigmoid: ((0.0, 1.0), (0.0, 1.0)),
}


def leaky_relu(x: Array) -> Array:
    """ReLU with a slope of 0.01 below zero, PyTorch's default."""
    return jax.nn.leaky_relu(x, 0.01)


class Activation(nn.Module):
    """A nonlinearity between two observations by the quantiser; the first is left out where int8 fuses it.

    Of silu, a sigmoid and a product in a file, the sigmoid is seen as well.

    Attributes:
      function: elementwise; None observes only (a sum of branches, a concatenation, the input).
      execution: see there.
    """

    function: Function | None = None
    execution: Execution = Execution()

    @nn.compact
    def __call__(
        self, x: Float[Array, "..."], phase: Phase = EVALUATION, then: Function = lambda y: y
    ) -> Float[Array, "..."]:
        """Apply it, and `then` what keeps the scale (a pool) before the last observation."""
        quantiser = self.execution.quantiser
        observe = quantiser.activation
        if self.function is None:
            return observe(self, "after", then(x), phase)
        if self.function not in _FUSED:
            x = observe(self, "before", x, phase)
        if self.function is silu and quantiser is not IDENTITY:
            y = x * observe(self, "gate", sigmoid(x), phase)
        else:
            y = self.function(x)
        return observe(self, "after", then(y), phase)


def fixed_range(layer: nn.Module, name: str, bits: int) -> tuple[float, float] | None:
    """The range that an activation has whatever its inputs are; None where these decide.

    Args:
      layer: that shows it to the quantiser.
      name: by which it does.
      bits: 8 or 16.
    """
    function = sigmoid if name == "gate" else layer.function if isinstance(layer, Activation) else None
    if name == "before" or function not in _FIXED:
        return None
    return _FIXED[function][bits == 16]
