"""EfficientNet (Tan and Le 2019, https://arxiv.org/abs/1905.11946); B0 unless widened and deepened."""

import enum
import functools
import math
from typing import NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from hsjax.models.layers import (
    EVALUATION,
    Activation,
    BatchNorm,
    ConvNorm,
    Dense,
    Dropout,
    Execution,
    Padding,
    Phase,
    SqueezeExcite,
    as_maps,
    global_average_pool,
    sigmoid,
    silu,
)
from hsjax.models.mobilenet_v2 import InvertedResidual, Layer, make_divisible
from hsjax.types import Outputs

# U(-1/sqrt(classes), 1/sqrt(classes)), of the linear layer; the authors' own.
HEAD_UNIFORM = nn.initializers.variance_scaling(1 / 3, "fan_out", "uniform")


class Stage(NamedTuple):
    """A row of the paper's table 1.

    Attributes:
      expansion: of the channels in each block.
      kernel: height and width of the depthwise convolution.
      features: channels out.
      repeats: blocks.
      strides: of the first block, in both directions.
    """

    expansion: int
    kernel: int
    features: int
    repeats: int
    strides: int


STAGES = (
    Stage(1, 3, 16, 1, 1),
    Stage(6, 3, 24, 2, 2),
    Stage(6, 5, 40, 2, 2),
    Stage(6, 3, 80, 3, 2),
    Stage(6, 5, 112, 3, 1),
    Stage(6, 5, 192, 4, 2),
    Stage(6, 3, 320, 1, 1),
)


class Variant(enum.Enum):
    """Whose details a network has; weights fit in either, but compute the same only in their own.

    KERAS: zeros as in TensorFlow's SAME, which at strides of 2 differ from equal ones; running statistics keep .99.
    TORCHVISION: equal zeros on both sides; running statistics keep .9 and divide by n - 1.
    """

    KERAS = "keras"
    TORCHVISION = "torchvision"

    def layer(self, execution: Execution) -> Layer:
        """What makes the network's convolutions."""
        if self is Variant.KERAS:
            padding, norm = Padding.SAME, BatchNorm(0.99, 1e-3, unbiased=False, parent=None)
        else:
            padding, norm = Padding.SYMMETRIC, BatchNorm(0.9, 1e-5, unbiased=True, parent=None)
        return functools.partial(ConvNorm, padding=padding, norm=norm, execution=execution)


def mbconv(
    channels: int, stage: Stage, strides: int, drop: float, layer: Layer, execution: Execution, name: str
) -> InvertedResidual:
    """The block MBConv: an inverted residual with squeeze-and-excitation, stochastic depth and SiLU.

    Args:
      channels: in; a quarter of them is what is squeezed to.
      stage: for the rest but its strides.
      strides: in both directions.
      drop: probability that training leaves the block out for an example.
      layer: see there.
      execution: see there.
      name: of the submodule.
    """
    squeeze = SqueezeExcite(max(1, channels // 4), silu, sigmoid, execution=execution, parent=None)
    return InvertedResidual(
        stage.features, channels * stage.expansion, (stage.kernel, stage.kernel), (strides, strides), silu, squeeze,
        drop, layer, execution, name=name,
    )  # fmt: skip


def scaled(stage: Stage, width: float, depth: float) -> Stage:
    """Compound scaling of a stage."""
    return stage._replace(features=make_divisible(stage.features * width), repeats=math.ceil(stage.repeats * depth))


class EfficientNet(nn.Module):
    """EfficientNet; 5,288,548 parameters with 1000 classes as B0. Blocks are `stage1_block1`, `stage2_block1`, ...

    Attributes:
      num_classes: width of the logits.
      channels: of the inputs that the stem is for; features of one channel stand for as many equal ones.
      variant: see there.
      dropout: before the linear layer.
      drop: probability that training leaves the last block out for an example (stochastic depth); falls linearly to 0
        at the first.
      width: factor on all channels.
      depth: factor on the repeats of all stages, rounded up.
      stages: what is between stem and head.
      execution: see there.
    """

    num_classes: int
    channels: int = 3
    variant: Variant = Variant.KERAS
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
        x = layer(make_divisible(32 * self.width), (3, 3), (2, 2), function=silu, channels=self.channels, name="stem")(
            as_maps(features), phase
        )
        stages = [scaled(stage, self.width, self.depth) for stage in self.stages]
        taps, block, blocks = {"stem": x}, 0, sum(stage.repeats for stage in stages)
        for number, stage in enumerate(stages, 1):
            for repeat in range(stage.repeats):
                x = mbconv(
                    x.shape[-1], stage, 1 if repeat else stage.strides, self.drop * block / blocks, layer,
                    self.execution, f"stage{number}_block{repeat + 1}",
                )(x, phase)  # fmt: skip
                block += 1
            taps[f"stage{number}"] = x
        last = make_divisible(1280 * self.width)
        taps["head"] = x = layer(last, (1, 1), function=silu, name="head")(x, phase)
        pooled = Activation(None, self.execution, name="pooled")(global_average_pool(x), phase)
        embedding = Dropout(self.dropout, name="dropout")(pooled, phase)
        logits = Dense(self.num_classes, kernel_init=HEAD_UNIFORM, execution=self.execution, name="logits")
        return Outputs(logits(embedding), embedding, taps)
