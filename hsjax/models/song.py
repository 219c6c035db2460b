"""Teacher and student of Song et al., "Cutting Weights of Deep Learning Models for Heart Sound Classification".

The paper gives the layers and the parameter counts (254.6 K and 43.3 K), not the widths and pools. On MFCCs of 13 x 101
the ones below give 254,594 and 43,250.
"""

import flax.linen as nn
from jaxtyping import Array, Float

from hsjax.models.layers import (
    EVALUATION,
    Activation,
    ConvReluMaxPool,
    Dense,
    Execution,
    Padding,
    Phase,
    as_maps,
    relu,
)
from hsjax.types import Outputs


class SongTeacher(nn.Module):
    """Four 3x3 convolutions of 32, 64, 128 and 128 channels, each with ReLU and max-pool, and one linear layer."""

    num_classes: int
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the flattened last map; taps are the maps after each pool."""
        # 13 rows padded to 14 and halved; the last pool keeps the size.
        layers = (
            (32, (2, 3), (2, 3), ((0, features.shape[1] % 2), (0, 0))),
            (64, (1, 2), (1, 2), Padding.VALID),
            (128, (1, 2), (1, 2), Padding.VALID),
            (128, (3, 3), (1, 1), Padding.SAME),
        )
        x, taps = as_maps(features), {}
        for layer, (width, window, strides, padding) in enumerate(layers, 1):
            x = ConvReluMaxPool(width, window, strides, padding, self.execution, name=f"conv{layer}")(x, phase)
            taps[f"conv{layer}"] = x
        embedding = x.reshape(x.shape[0], -1)
        return Outputs(Dense(self.num_classes, execution=self.execution, name="logits")(embedding), embedding, taps)


class SongStudent(nn.Module):
    """Two 3x3 convolutions of 16 and 32 channels, each with ReLU and 2x2 max-pool, and two linear layers."""

    num_classes: int
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the 16 hidden units; taps are the maps after each pool."""
        x, taps = as_maps(features), {}
        for layer, width in enumerate((16, 32), 1):
            x = ConvReluMaxPool(width, (2, 2), execution=self.execution, name=f"conv{layer}")(x, phase)
            taps[f"conv{layer}"] = x
        x = Dense(16, execution=self.execution, name="hidden")(x.reshape(x.shape[0], -1))
        embedding = Activation(relu, self.execution, name="act3")(x, phase)
        return Outputs(Dense(self.num_classes, execution=self.execution, name="logits")(embedding), embedding, taps)
