"""Residual networks: ResNet-18, -50 and -101.

He et al. 2015, "Deep Residual Learning for Image Recognition", https://arxiv.org/abs/1512.03385.
"""

import enum
import functools
from collections.abc import Callable

import flax.linen as nn
from jaxtyping import Array, Float

from hsjax.models.layers import (
    EVALUATION,
    Activation,
    BatchNorm,
    ConvNorm,
    Dense,
    Execution,
    Padding,
    Phase,
    as_maps,
    global_average_pool,
    max_pool,
    relu,
)
from hsjax.types import Outputs, UserError

Maps = Float[Array, "batch height width channels"]


class Variant(enum.Enum):
    """Whose details a network has; weights fit in either, but compute the same only in their own.

    KERAS: biases before batch norm (ResNet), the bottleneck's first convolution strides, running statistics keep .99.
    TORCHVISION: no biases, the 3x3 convolution strides ("v1.5"), running statistics keep .9 and divide by n - 1.
    """

    KERAS = "keras"
    TORCHVISION = "torchvision"

    @property
    def norm(self) -> BatchNorm:
        """Batch norm with its constants, not yet in a scope."""
        if self is Variant.KERAS:
            return BatchNorm(momentum=0.99, epsilon=1.001e-5, unbiased=False, parent=None)
        return BatchNorm(momentum=0.9, epsilon=1e-5, unbiased=True, parent=None)


class ResNet(nn.Module):
    """A residual network: stem, stages of residual blocks, mean over each map, one linear layer.

    Each stage but the first halves the maps; each has twice the channels of the one before.

    Attributes:
      num_classes: width of the logits.
      blocks: how many residual blocks each stage has.
      bottleneck: blocks of 1x1, 3x3 and 1x1 convolutions, the last four times as wide, instead of two of 3x3.
      width: channels of the stem and of the first stage's 3x3 convolutions.
      channels: what the stem's kernel is for; features of one channel stand for as many equal ones.
      variant: whose details.
      padding: SYMMETRIC as published; SAME spares an exported file its padding operations.
      execution: see there.
    """

    num_classes: int
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    bottleneck: bool = True
    width: int = 64
    channels: int = 3
    variant: Variant = Variant.KERAS
    padding: Padding = Padding.SYMMETRIC
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the mean of the last maps; taps are the maps after the stem's pool and each stage.

        Raises:
          UserError: `padding` is a rule that shrinks maps.
        """
        taps = residual_maps(
            features, phase, self.blocks, self.bottleneck, self.width, self.channels, self.variant, self.padding,
            self.execution,
        )  # fmt: skip
        embedding = global_average_pool(taps[f"stage{len(self.blocks)}"])
        embedding = Activation(None, self.execution, name="pooled")(embedding, phase)
        return Outputs(Dense(self.num_classes, execution=self.execution, name="logits")(embedding), embedding, taps)


def residual_maps(
    features: Float[Array, "batch coeffs frames *channels"],
    phase: Phase,
    blocks: tuple[int, ...],
    bottleneck: bool,
    width: int,
    channels: int,
    variant: Variant,
    padding: Padding,
    execution: Execution,
) -> dict[str, Maps]:
    """The maps after the stem's pool (`stem`) and after each stage (`stage1`, ...), in the scope of the calling module.

    Args:
      features: see `as_maps`.
      phase: of the call.
      blocks: this and the others: see `ResNet`.
      bottleneck: see there.
      width: see there.
      channels: see there.
      variant: see there.
      padding: see there.
      execution: see there.

    Raises:
      UserError: `padding` is a rule that shrinks maps.
    """
    require_whole_maps(padding)
    layer = functools.partial(
        ConvNorm, padding=padding, use_bias=variant is Variant.KERAS, norm=variant.norm, execution=execution
    )
    x = layer(width, (7, 7), (2, 2), channels=channels, name="stem")(as_maps(features), phase)
    x = max_pool(x, (3, 3), (2, 2), padding, execution.form, "the stem's pool")
    taps = {"stem": x}
    for stage, count in enumerate(blocks, 1):
        stride = 1 if stage == 1 else 2
        x = Stage(count, width << (stage - 1), stride, bottleneck, variant, layer, execution, name=f"stage{stage}")(
            x, phase
        )
        taps[f"stage{stage}"] = x
    return taps


class Stage(nn.Module):
    """Residual blocks of one size, `block1` and so on; the first may halve the maps.

    Attributes:
      blocks: how many.
      width: channels of the 3x3 convolutions.
      stride: of the first block.
      bottleneck: see `ResNet`.
      variant: see `ResNet`.
      layer: makes a `ConvNorm` with what all of them share.
      execution: see there.
    """

    blocks: int
    width: int
    stride: int
    bottleneck: bool
    variant: Variant
    layer: Callable[..., ConvNorm]
    execution: Execution

    @nn.compact
    def __call__(self, x: Maps, phase: Phase = EVALUATION) -> Float[Array, "batch height2 width2 channels2"]:
        """Apply all."""
        for block in range(1, self.blocks + 1):
            stride = self.stride if block == 1 else 1
            x = Residual(self._convolutions(stride), self.layer, self.execution, name=f"block{block}")(x, phase)
        return x

    def _convolutions(self, stride: int) -> tuple[tuple[int, int, int], ...]:
        """Channels, kernel and stride of each in one block."""
        if not self.bottleneck:
            return (self.width, 3, stride), (self.width, 3, 1)
        first, second = (stride, 1) if self.variant is Variant.KERAS else (1, stride)
        return (self.width, 1, first), (self.width, 3, second), (4 * self.width, 1, 1)


class Residual(nn.Module):
    """Convolutions (`conv1` and so on) whose result is added to their input, then ReLU.

    Where the shapes differ, a 1x1 convolution, `shortcut`, takes the input to the result's.

    Attributes:
      convolutions: channels, kernel and stride of each.
      layer: makes a `ConvNorm` with what all of them share.
      execution: see there.
    """

    convolutions: tuple[tuple[int, int, int], ...]
    layer: Callable[..., ConvNorm]
    execution: Execution

    @nn.compact
    def __call__(self, x: Maps, phase: Phase = EVALUATION) -> Float[Array, "batch height2 width2 channels2"]:
        """Apply it."""
        y, strides = x, 1
        for index, (features, size, stride) in enumerate(self.convolutions, 1):
            function = relu if index < len(self.convolutions) else None
            y = self.layer(features, (size, size), (stride, stride), function=function, name=f"conv{index}")(y, phase)
            strides *= stride
        if strides > 1 or x.shape[-1] != y.shape[-1]:
            x = self.layer(y.shape[-1], (1, 1), (strides, strides), function=None, name="shortcut")(x, phase)
        return Activation(relu, self.execution, name="sum")(x + y, phase)


def require_whole_maps(padding: Padding) -> None:
    """Branches that meet again must be of one size.

    Raises:
      UserError: `padding` is a rule that shrinks maps.
    """
    if padding not in (Padding.SYMMETRIC, Padding.SAME):
        raise UserError(
            f"this network's branches meet again only where maps keep their size: "
            f"set padding to symmetric or same, not {padding.value}"
        )


resnet18 = functools.partial(ResNet, blocks=(2, 2, 2, 2), bottleneck=False, variant=Variant.TORCHVISION)
resnet50 = functools.partial(ResNet, blocks=(3, 4, 6, 3))
resnet101 = functools.partial(ResNet, blocks=(3, 4, 23, 3))
