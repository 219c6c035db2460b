"""The small CNN of Li et al., "Lightweight End-to-End Neural Network Model for Automatic Heart Sound Classification".

Information 2021, 12(2), 54, https://doi.org/10.3390/info12020054; a comparator of Song's Table III; trained with focal
loss. Published: three convolutions, each with batch norm before its ReLU and no pool behind it; then one max-pool that
leaves 8 values (of 9,520 on their spectrograms); one linear layer; 4.29 K parameters; input the log magnitudes of a
short-time Fourier transform. Ours: kernels, the two other widths and strides. Of odd kernels that do not grow and
widths that are multiples of four, only 5x5 of 16, 5x5 of 8 and 3x3 of 8 channels, with biases, give 4.29 K for two
classes when everything trained is counted: 4,290. The pool is over the whole map, so the input may have any size.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers import (
    EVALUATION,
    BatchNorm,
    ConvNorm,
    Dense,
    Execution,
    Form,
    Padding,
    Pair,
    Phase,
    as_maps,
    max_pool,
    torch_uniform,
)
from hsjax.types import Outputs

Layer = tuple[int, int, Pair]
"""Channels out, kernel size, strides."""

_LAYERS: tuple[Layer, ...] = ((16, 5, (2, 2)), (8, 5, (2, 2)), (8, 3, (1, 1)))


class LiCNN(nn.Module):
    """Convolutions with batch norm and ReLU, the maximum of every map, a linear layer.

    Attributes:
      num_classes: width of the logits.
      channels: what the first kernel is for; features of one channel stand for that many equal ones.
      layers: of the convolutions.
      padding: of the convolutions.
      execution: see there.
    """

    num_classes: int
    channels: int = 1
    layers: tuple[Layer, ...] = _LAYERS
    padding: Padding = Padding.SAME
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the maximum of each of the last maps; taps are the maps of each convolution."""
        x, taps, channels = as_maps(features), {}, self.channels
        for layer, (width, size, strides) in enumerate(self.layers, 1):
            x = ConvNorm(
                width, (size, size), strides, self.padding, use_bias=True, kernel_init=torch_uniform,
                norm=BatchNorm(parent=None), channels=channels, execution=self.execution, name=f"conv{layer}",
            )(x, phase)  # fmt: skip
            taps[f"conv{layer}"], channels = x, None
        embedding = _global_max_pool(x, self.execution.form)
        return Outputs(Dense(self.num_classes, execution=self.execution, name="logits")(embedding), embedding, taps)


def _global_max_pool(x: Float[Array, "batch height width channels"], form: Form) -> Float[Array, "batch channels"]:
    """Maximum of every map; where values tie, the first has the gradient.

    Not `jnp.max`: its gradient compares values with their maximum, divides by how many are equal, and is not finite
    where XLA computes a value twice and rounds it in two ways. FAST finds the place and selects it.
    """
    batch, height, width, channels = x.shape
    if form is Form.PLAIN:
        return max_pool(x, (height, width))[:, 0, 0]
    positions = x.reshape(batch, height * width, channels)
    winner = jnp.argmax(positions, 1)[:, None]
    return jnp.sum(jnp.where(jnp.arange(height * width)[:, None] == winner, positions, 0), 1)
