"""MobileNetV3, small and large (Howard et al. 2019, https://arxiv.org/abs/1905.02244)."""

import enum
import functools
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
    Function,
    Padding,
    Phase,
    SqueezeExcite,
    as_maps,
    global_average_pool,
    hard_sigmoid,
    hard_swish,
    relu,
)
from hsjax.models.mobilenet_v2 import SMALL_NORMAL, InvertedResidual, Layer, make_divisible
from hsjax.types import Outputs


class Block(NamedTuple):
    """A `bneck` row of the paper's tables 1 and 2.

    Attributes:
      kernel: height and width of the depthwise convolution.
      expanded: channels of the depthwise convolution.
      features: channels out.
      squeeze: whether there is squeeze-and-excitation.
      function: nonlinearity.
      strides: in both directions.
    """

    kernel: int
    expanded: int
    features: int
    squeeze: bool
    function: Function
    strides: int


SMALL = (
    Block(3, 16, 16, True, relu, 2),
    Block(3, 72, 24, False, relu, 2),
    Block(3, 88, 24, False, relu, 1),
    Block(5, 96, 40, True, hard_swish, 2),
    Block(5, 240, 40, True, hard_swish, 1),
    Block(5, 240, 40, True, hard_swish, 1),
    Block(5, 120, 48, True, hard_swish, 1),
    Block(5, 144, 48, True, hard_swish, 1),
    Block(5, 288, 96, True, hard_swish, 2),
    Block(5, 576, 96, True, hard_swish, 1),
    Block(5, 576, 96, True, hard_swish, 1),
)

LARGE = (
    Block(3, 16, 16, False, relu, 1),
    Block(3, 64, 24, False, relu, 2),
    Block(3, 72, 24, False, relu, 1),
    Block(5, 72, 40, True, relu, 2),
    Block(5, 120, 40, True, relu, 1),
    Block(5, 120, 40, True, relu, 1),
    Block(3, 240, 80, False, hard_swish, 2),
    Block(3, 200, 80, False, hard_swish, 1),
    Block(3, 184, 80, False, hard_swish, 1),
    Block(3, 184, 80, False, hard_swish, 1),
    Block(3, 480, 112, True, hard_swish, 1),
    Block(3, 672, 112, True, hard_swish, 1),
    Block(5, 672, 160, True, hard_swish, 2),
    Block(5, 960, 160, True, hard_swish, 1),
    Block(5, 960, 160, True, hard_swish, 1),
)


class Variant(enum.Enum):
    """Whose details a network has; weights fit in either, but compute the same only in their own.

    KERAS: zeros as in TensorFlow's SAME, which at strides of 2 differ from equal ones; running statistics keep .999.
    TORCHVISION: equal zeros on both sides; running statistics keep .99 and divide by n - 1.
    """

    KERAS = "keras"
    TORCHVISION = "torchvision"

    def layer(self, execution: Execution, momentum: float = 0.0) -> Layer:
        """What makes the network's convolutions; `momentum` as of `MobileNetV3`."""
        if self is Variant.KERAS:
            padding, norm = Padding.SAME, BatchNorm(momentum or 0.999, 1e-3, unbiased=False, parent=None)
        else:
            padding, norm = Padding.SYMMETRIC, BatchNorm(momentum or 0.99, 1e-3, unbiased=True, parent=None)
        return functools.partial(ConvNorm, padding=padding, norm=norm, execution=execution)


class MobileNetV3(nn.Module):
    """MobileNetV3; 1,522,981 parameters as small and 4,208,437 as large, with 5 classes. Blocks are `block1`, ...

    The paper's tables put squeeze-and-excitation into the small network's last convolution too; its authors' code and
    both libraries do not.

    Attributes:
      num_classes: width of the logits.
      channels: of the inputs that the stem is for; features of one channel stand for as many equal ones.
      variant: see there.
      dropout: before the last linear layer.
      momentum: part of the running statistics that a step keeps; 0: the variant's, under which what random weights
        begin with fades so slowly that through some forty norms the network says nothing for hundreds of steps.
      width: factor on all channels, as torchvision's `width_mult` (Keras's `alpha` leaves the stem as it is).
      blocks: what is between stem and head.
      hidden: width of the first of the two linear layers: 1024 in the small network, 1280 in the large one.
      execution: see there.
    """

    num_classes: int
    channels: int = 3
    variant: Variant = Variant.TORCHVISION
    dropout: float = 0.2
    momentum: float = 0.0
    width: float = 1.0
    blocks: tuple[Block, ...] = SMALL
    hidden: int = 1024
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the hidden units; taps are the maps after stem, blocks and head."""
        layer = self.variant.layer(self.execution, self.momentum)
        x = layer(
            make_divisible(16 * self.width), (3, 3), (2, 2), function=hard_swish, channels=self.channels, name="stem"
        )(as_maps(features), phase)
        taps = {"stem": x}
        for number, block in enumerate(self.blocks, 1):
            expanded = make_divisible(block.expanded * self.width)
            squeeze = SqueezeExcite(
                make_divisible(expanded / 4), relu, hard_sigmoid, execution=self.execution, parent=None
            )
            x = InvertedResidual(
                make_divisible(block.features * self.width), expanded, (block.kernel, block.kernel),
                (block.strides, block.strides), block.function, squeeze if block.squeeze else None,
                layer=layer, execution=self.execution, name=f"block{number}",
            )(x, phase)  # fmt: skip
            taps[f"block{number}"] = x
        taps["head"] = x = layer(6 * x.shape[-1], (1, 1), function=hard_swish, name="head")(x, phase)
        pooled = Activation(None, self.execution, name="pooled")(global_average_pool(x), phase)
        dense = {"kernel_init": SMALL_NORMAL, "execution": self.execution}
        hidden = Dense(make_divisible(self.hidden * self.width), name="hidden", **dense)(pooled)
        hidden = Activation(hard_swish, self.execution, name="hidden_act")(hidden, phase)
        embedding = Dropout(self.dropout, name="dropout")(hidden, phase)
        return Outputs(Dense(self.num_classes, name="logits", **dense)(embedding), embedding, taps)


mobilenet_v3_small = functools.partial(MobileNetV3, blocks=SMALL, hidden=1024)
mobilenet_v3_large = functools.partial(MobileNetV3, blocks=LARGE, hidden=1280)
