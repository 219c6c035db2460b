"""Densely connected networks: DenseNet-201.

Huang et al. 2017, "Densely Connected Convolutional Networks", https://arxiv.org/abs/1608.06993.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers import (
    EVALUATION,
    Activation,
    Conv,
    ConvNorm,
    Dense,
    Dropout,
    Execution,
    Padding,
    Phase,
    as_maps,
    average_pool,
    global_average_pool,
    max_pool,
    relu,
)
from hsjax.models.resnet import Variant, require_whole_maps
from hsjax.types import Outputs

Maps = Float[Array, "batch height width channels"]

# He et al. 2015 over what comes in: torchvision's choice for this network (for ResNet, over what goes out).
he_fan_in = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class DenseNet(nn.Module):
    """A densely connected network; by default DenseNet-201.

    Stem, stages of dense layers with a transition after each but the last, batch norm, mean over each map, one linear
    layer. keras's and torchvision's forms differ in the constants of batch norm alone.

    Attributes:
      num_classes: width of the logits.
      blocks: how many dense layers each stage has.
      growth: channels that a dense layer adds; the stem has twice as many.
      dropout: of what a dense layer adds.
      channels: what the stem's kernel is for; features of one channel stand for as many equal ones.
      variant: whose constants.
      padding: SYMMETRIC as published; SAME spares an exported file its padding operations.
      execution: see there.
    """

    num_classes: int
    blocks: tuple[int, ...] = (6, 12, 48, 32)
    growth: int = 32
    dropout: float = 0.0
    channels: int = 3
    variant: Variant = Variant.KERAS
    padding: Padding = Padding.SYMMETRIC
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the mean of the last maps; taps are the maps after the stem's pool and each stage.

        Raises:
          UserError: the input is too small for the transitions' pools, or `padding` is a rule that shrinks maps.
        """
        require_whole_maps(self.padding)
        x = ConvNorm(
            2 * self.growth, (7, 7), (2, 2), self.padding, norm=self.variant.norm, kernel_init=he_fan_in,
            channels=self.channels, execution=self.execution, name="stem",
        )(as_maps(features), phase)  # fmt: skip
        x = max_pool(x, (3, 3), (2, 2), self.padding, self.execution.form, "the stem's pool")
        taps = {"stem": x}
        for stage, layers in enumerate(self.blocks, 1):
            if stage > 1:
                x = Transition(self.variant, self.execution, name=f"transition{stage - 1}")(x, phase)
            x = Stage(
                layers, self.growth, self.dropout, self.variant, self.padding, self.execution, name=f"stage{stage}"
            )(x, phase)
            taps[f"stage{stage}"] = x
        x = self.variant.norm.copy(name="norm")(x, phase)
        x = Activation(relu, self.execution, name="act")(x, phase)
        embedding = Activation(None, self.execution, name="pooled")(global_average_pool(x), phase)
        return Outputs(Dense(self.num_classes, execution=self.execution, name="logits")(embedding), embedding, taps)


class Stage(nn.Module):
    """Dense layers of one map size, `layer1` and so on. Each sees the stage's input and what all before it have added.

    Attributes:
      layers: how many.
      growth: see `DenseNet`.
      dropout: see there.
      variant: see there.
      padding: see there.
      execution: see there.
    """

    layers: int
    growth: int
    dropout: float
    variant: Variant
    padding: Padding
    execution: Execution

    @nn.compact
    def __call__(self, x: Maps, phase: Phase = EVALUATION) -> Float[Array, "batch height width channels2"]:
        """Apply all."""
        for index in range(1, self.layers + 1):
            x = DenseLayer(self.growth, self.dropout, self.variant, self.padding, self.execution, name=f"layer{index}")(
                x, phase
            )
        return x


class DenseLayer(nn.Module):
    """Batch norm, ReLU, 1x1 convolution (with norm and ReLU, `reduce`), 3x3 convolution; appended to its input.

    Attributes:
      growth: channels that it adds; the 1x1 convolution has four times as many.
      dropout: of what it adds.
      variant: see `DenseNet`.
      padding: see there.
      execution: see there.
    """

    growth: int
    dropout: float
    variant: Variant
    padding: Padding
    execution: Execution

    @nn.compact
    def __call__(self, x: Maps, phase: Phase = EVALUATION) -> Float[Array, "batch height width channels2"]:
        """Append."""
        y = self.variant.norm.copy(name="norm")(x, phase)
        y = Activation(relu, self.execution, name="act")(y, phase)
        y = ConvNorm(
            4 * self.growth,
            (1, 1),
            norm=self.variant.norm,
            kernel_init=he_fan_in,
            execution=self.execution,
            name="reduce",
        )(y, phase)
        y = Conv(
            self.growth, (3, 3), padding=self.padding, use_bias=False, kernel_init=he_fan_in, execution=self.execution,
            name="conv",
        )(y)  # fmt: skip
        y = Dropout(self.dropout, name="dropout")(y, phase)
        # One scale for the whole in an int8 file, whose concatenation cannot rescale.
        return Activation(None, self.execution, name="concat")(jnp.concatenate([x, y], -1), phase)


class Transition(nn.Module):
    """Batch norm, ReLU, 1x1 convolution to half the channels, 2x2 average pool.

    Attributes:
      variant: see `DenseNet`.
      execution: see there.
    """

    variant: Variant
    execution: Execution

    @nn.compact
    def __call__(self, x: Maps, phase: Phase = EVALUATION) -> Float[Array, "batch height2 width2 channels2"]:
        """Halve.

        Raises:
          UserError: the map is smaller than the pool.
        """
        x = self.variant.norm.copy(name="norm")(x, phase)
        x = Activation(relu, self.execution, name="act")(x, phase)
        x = Conv(
            x.shape[-1] // 2, (1, 1), use_bias=False, kernel_init=he_fan_in, execution=self.execution, name="conv"
        )(x)
        x = Activation(None, self.execution, name="reduced")(x, phase)
        return average_pool(x, (2, 2), where="/".join(self.path))
