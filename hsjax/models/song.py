"""Teacher and student of Song et al., "Cutting Weights of Deep Learning Models for Heart Sound Classification".

The paper gives the layers and the parameter counts (254.6 K and 43.3 K), not the widths and pools. On MFCCs of 13 x 101
the ones below give 254,594 and 43,250.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from hsjax.models.channels import ChannelGroups
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
    """Four 3x3 convolutions, each with ReLU and max-pool, and one linear layer.

    Attributes:
      num_classes: width of the logits.
      widths: channels out of the convolutions.
      execution: see there.
    """

    num_classes: int
    widths: tuple[int, ...] = (32, 64, 128, 128)
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the flattened last map; taps are the maps after each pool."""
        # 13 rows padded to 14 and halved; the last pool keeps the size.
        pools = (
            ((2, 3), (2, 3), ((0, features.shape[1] % 2), (0, 0))),
            ((1, 2), (1, 2), Padding.VALID),
            ((1, 2), (1, 2), Padding.VALID),
            ((3, 3), (1, 1), Padding.SAME),
        )
        x, taps = as_maps(features), {}
        for layer, (width, (window, strides, padding)) in enumerate(zip(self.widths, pools, strict=True), 1):
            x = ConvReluMaxPool(width, window, strides, padding, self.execution, name=f"conv{layer}")(x, phase)
            taps[f"conv{layer}"] = x
        embedding = x.reshape(x.shape[0], -1)
        return Outputs(Dense(self.num_classes, execution=self.execution, name="logits")(embedding), embedding, taps)

    def channel_groups(self) -> ChannelGroups:
        """Each convolution's, `conv1` and so on."""
        return ChannelGroups(_convolutions(self.widths))

    def with_channels(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Options for other numbers of channels."""
        return {"widths": tuple(sizes[name] for name in _convolutions(self.widths))}


class SongStudent(nn.Module):
    """Two 3x3 convolutions, each with ReLU and 2x2 max-pool, and two linear layers.

    Attributes:
      num_classes: width of the logits.
      widths: channels out of the convolutions.
      hidden: units of the first linear layer.
      execution: see there.
    """

    num_classes: int
    widths: tuple[int, int] = (16, 32)
    hidden: int = 16
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the hidden units; taps are the maps after each pool."""
        x, taps = as_maps(features), {}
        for layer, width in enumerate(self.widths, 1):
            x = ConvReluMaxPool(width, (2, 2), execution=self.execution, name=f"conv{layer}")(x, phase)
            taps[f"conv{layer}"] = x
        x = Dense(self.hidden, execution=self.execution, name="hidden")(x.reshape(x.shape[0], -1))
        embedding = Activation(relu, self.execution, name="act3")(x, phase)
        return Outputs(Dense(self.num_classes, execution=self.execution, name="logits")(embedding), embedding, taps)

    def channel_groups(self) -> ChannelGroups:
        """`conv1`, `conv2`, and the units `hidden`."""
        return ChannelGroups(_convolutions(self.widths) | {"hidden": self.hidden})

    def with_channels(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Options for other numbers of channels."""
        return {"widths": (sizes["conv1"], sizes["conv2"]), "hidden": sizes["hidden"]}


def _convolutions(widths: tuple[int, ...]) -> dict[str, int]:
    return {f"conv{layer}": width for layer, width in enumerate(widths, 1)}
