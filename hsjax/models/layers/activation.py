"""Nonlinearities, and what a layer hands on to the next."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers.execution import EVALUATION, Execution, Phase

Function = Callable[[Array], Array]

# The field's names; of Howard et al. 2019 (hard) and Ramachandran et al. 2017 (silu, also called swish).
relu: Function = jax.nn.relu
relu6: Function = jax.nn.relu6
hard_sigmoid: Function = jax.nn.hard_sigmoid
hard_swish: Function = jax.nn.hard_swish
sigmoid: Function = jax.nn.sigmoid
silu: Function = jax.nn.silu
tanh: Function = jnp.tanh

_FUSED = (relu, relu6)  # TFLite has them inside the convolution, whose output before them is never rounded


def leaky_relu(x: Array) -> Array:
    """ReLU with a slope of 0.01 below zero, PyTorch's default."""
    return jax.nn.leaky_relu(x, 0.01)


class Activation(nn.Module):
    """A nonlinearity between two observations by the quantiser; the first is left out where int8 fuses it.

    Attributes:
      function: elementwise; None observes only (a sum of branches, a concatenation, the input).
      execution: see there.
    """

    function: Function | None = None
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, x: Float[Array, "..."], phase: Phase = EVALUATION) -> Float[Array, "..."]:
        """Apply it."""
        observe = self.execution.quantiser.activation
        if self.function is None:
            return observe(self, "after", x, phase)
        if self.function not in _FUSED:
            x = observe(self, "before", x, phase)
        return observe(self, "after", self.function(x), phase)
