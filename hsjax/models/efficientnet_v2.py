"""EfficientNetV2 (Tan and Le 2021, https://arxiv.org/abs/2104.00298); S unless given other stages."""

import enum
import functools
from typing import NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from hsjax.models import efficientnet
from hsjax.models.efficientnet import HEAD_UNIFORM, mbconv, scaled
from hsjax.models.layers import (
    EVALUATION,
    Activation,
    BatchNorm,
    ConvNorm,
    Dense,
    Dropout,
    Execution,
    Padding,
    Pair,
    Phase,
    as_maps,
    global_average_pool,
    silu,
)
from hsjax.models.mobilenet_v2 import Layer, Residual, make_divisible
from hsjax.types import Outputs


class Stage(NamedTuple):
    """A row of the paper's table 4.

    Attributes:
      fused: whether its blocks are Fused-MBConv, which have one convolution for the first two of MBConv and no
        squeeze-and-excitation.
      shape: all else.
    """

    fused: bool
    shape: efficientnet.Stage


STAGES = (
    Stage(True, efficientnet.Stage(1, 3, 24, 2, 1)),
    Stage(True, efficientnet.Stage(4, 3, 48, 4, 2)),
    Stage(True, efficientnet.Stage(4, 3, 64, 4, 2)),
    Stage(False, efficientnet.Stage(4, 3, 128, 6, 2)),
    Stage(False, efficientnet.Stage(6, 3, 160, 9, 1)),
    Stage(False, efficientnet.Stage(6, 3, 256, 15, 2)),
)


class Variant(enum.Enum):
    """Whose details a network has; weights fit in either, but compute the same only in their own.

    KERAS: zeros as in TensorFlow's SAME, which at strides of 2 differ from equal ones.
    TORCHVISION: equal zeros on both sides; running variances divide by n - 1.
    """

    KERAS = "keras"
    TORCHVISION = "torchvision"

    def layer(self, execution: Execution) -> Layer:
        """What makes the network's convolutions."""
        if self is Variant.KERAS:
            padding, norm = Padding.SAME, BatchNorm(0.9, 1e-3, unbiased=False, parent=None)
        else:
            padding, norm = Padding.SYMMETRIC, BatchNorm(0.9, 1e-3, unbiased=True, parent=None)
        return functools.partial(ConvNorm, padding=padding, norm=norm, execution=execution)


class FusedMBConv(nn.Module):
    """A convolution that expands and one that projects, or where nothing is expanded, one alone.

    Submodules `expand` (where it expands), `project`, `residual`.

    Attributes:
      features: channels out.
      expansion: of the channels.
      kernel_size: of the first convolution.
      strides: of the first convolution.
      drop: see `InvertedResidual`.
      layer: see there.
      execution: see there.
    """

    features: int
    expansion: int
    kernel_size: Pair = (3, 3)
    strides: Pair = (1, 1)
    drop: float = 0.0
    layer: Layer = ConvNorm
    execution: Execution = Execution()

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], phase: Phase = EVALUATION
    ) -> Float[Array, "batch height2 width2 features"]:
        """Maps of `features` channels, smaller by the strides."""
        first = {"kernel_size": self.kernel_size, "strides": self.strides, "function": silu}
        if self.expansion == 1:
            y = self.layer(self.features, name="project", **first)(x, phase)
        else:
            y = self.layer(self.expansion * x.shape[-1], name="expand", **first)(x, phase)
            y = self.layer(self.features, (1, 1), function=None, name="project")(y, phase)
        return Residual(self.strides, self.drop, self.execution, name="residual")(x, y, phase)


class EfficientNetV2(nn.Module):
    """EfficientNetV2-S; 20,183,893 parameters with 5 classes. Blocks are `stage1_block1`, `stage1_block2`, ...

    Attributes:
      num_classes: width of the logits.
      channels: of the inputs that the stem is for; features of one channel stand for as many equal ones.
      variant: see there.
      dropout: before the linear layer.
      drop: probability that training leaves the last block out for an example (stochastic depth); falls linearly to 0
        at the first.
      width: factor on all channels.
      depth: factor on the repeats of all stages, rounded up.
      stages: what is between stem and head; the stem is as wide as the first.
      execution: see there.
    """

    num_classes: int
    channels: int = 3
    variant: Variant = Variant.TORCHVISION
    dropout: float = 0.2
    drop: float = 0.2
    width: float = 1.0
    depth: float = 1.0
    stages: tuple[Stage, ...] = STAGES
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the mean of the 1280 last maps; taps are the maps after stem, stages and head."""
        layer = self.variant.layer(self.execution)
        stages = [(stage.fused, scaled(stage.shape, self.width, self.depth)) for stage in self.stages]
        x = layer(stages[0][1].features, (3, 3), (2, 2), function=silu, channels=self.channels, name="stem")(
            as_maps(features), phase
        )
        taps, block, blocks = {"stem": x}, 0, sum(shape.repeats for _, shape in stages)
        for number, (fused, shape) in enumerate(stages, 1):
            for repeat in range(shape.repeats):
                strides, drop = 1 if repeat else shape.strides, self.drop * block / blocks
                name = f"stage{number}_block{repeat + 1}"
                if fused:
                    x = FusedMBConv(
                        shape.features, shape.expansion, (shape.kernel, shape.kernel), (strides, strides), drop,
                        layer, self.execution, name=name,
                    )(x, phase)  # fmt: skip
                else:
                    x = mbconv(x.shape[-1], shape, strides, drop, layer, self.execution, name)(x, phase)
                block += 1
            taps[f"stage{number}"] = x
        last = make_divisible(1280 * self.width)
        taps["head"] = x = layer(last, (1, 1), function=silu, name="head")(x, phase)
        pooled = Activation(None, self.execution, name="pooled")(global_average_pool(x), phase)
        embedding = Dropout(self.dropout, name="dropout")(pooled, phase)
        logits = Dense(self.num_classes, kernel_init=HEAD_UNIFORM, execution=self.execution, name="logits")
        return Outputs(logits(embedding), embedding, taps)
