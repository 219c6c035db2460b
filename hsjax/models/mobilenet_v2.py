"""MobileNetV2 (Sandler et al. 2018, https://arxiv.org/abs/1801.04381), and its block, which later families build on."""

import enum
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from hsjax.models.channels import ChannelGroups
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
    Pair,
    Phase,
    SqueezeExcite,
    as_maps,
    global_average_pool,
    relu6,
)
from hsjax.types import Outputs

Maps = Float[Array, "batch height width channels"]

# torchvision's initial distribution of linear layers after a MobileNet.
SMALL_NORMAL = nn.initializers.normal(0.01)


Layer = Callable[..., ConvNorm]
"""A `ConvNorm` with what all of a network's share: padding, batch norm, execution."""


class Variant(enum.Enum):
    """Whose details a network has; weights fit in either, but compute the same only in their own.

    KERAS: zeros as in TensorFlow's SAME, which at strides of 2 differ from equal ones; running statistics keep .999.
    TORCHVISION: equal zeros on both sides; running statistics keep .9 and divide by n - 1.
    """

    KERAS = "keras"
    TORCHVISION = "torchvision"

    def layer(self, execution: Execution) -> Layer:
        """What makes the network's convolutions."""
        if self is Variant.KERAS:
            padding, norm = Padding.SAME, BatchNorm(0.999, 1e-3, unbiased=False, parent=None)
        else:
            padding, norm = Padding.SYMMETRIC, BatchNorm(0.9, 1e-5, unbiased=True, parent=None)
        return functools.partial(ConvNorm, padding=padding, norm=norm, execution=execution)


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Channels times a width, rounded to a multiple of `divisor`, but not to less than 0.9 of them."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class InvertedResidual(nn.Module):
    """Expands the channels, convolves each by itself, projects them to few again (Sandler et al. 2018).

    With squeeze-and-excitation before the projection it is the block of MobileNetV3, and with stochastic depth besides
    the MBConv of EfficientNet. Submodules `expand` (where `expanded` is not what the maps have), `depthwise`, `squeeze`
    (where there is one), `project`, and `sum` where the block keeps the shape and its input is added.

    Attributes:
      features: channels out.
      expanded: channels in between.
      kernel_size: of the depthwise convolution.
      strides: of the depthwise convolution.
      function: nonlinearity after all but the projection.
      squeeze: squeeze-and-excitation, unnamed and not yet in a scope; None for none.
      drop: probability that training leaves the block out for an example (stochastic depth, Huang et al. 2016).
      layer: see there.
      execution: see there.
    """

    features: int
    expanded: int
    kernel_size: Pair = (3, 3)
    strides: Pair = (1, 1)
    function: Function = relu6
    squeeze: SqueezeExcite | None = None
    drop: float = 0.0
    layer: Layer = ConvNorm
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, x: Maps, phase: Phase = EVALUATION) -> Float[Array, "batch height2 width2 features"]:
        """Maps of `features` channels, smaller by the strides."""
        y = x
        if self.expanded != x.shape[-1]:
            y = self.layer(self.expanded, (1, 1), function=self.function, name="expand")(y, phase)
        y = self.layer(
            self.expanded, self.kernel_size, self.strides, groups=0, function=self.function, name="depthwise"
        )(y, phase)
        if self.squeeze is not None:
            y = self.squeeze(y, phase)
        y = self.layer(self.features, (1, 1), function=None, name="project")(y, phase)
        return Residual(self.strides, self.drop, self.execution, name="residual")(x, y, phase)


class Residual(nn.Module):
    """Adds a block's input to its output where the block keeps the shape.

    Attributes:
      strides: of the block.
      drop: see `InvertedResidual`.
      execution: see there.
    """

    strides: Pair = (1, 1)
    drop: float = 0.0
    execution: Execution = Execution()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        y: Float[Array, "batch height2 width2 features"],
        phase: Phase = EVALUATION,
    ) -> Float[Array, "batch height2 width2 features"]:
        """The sum, or `y` alone."""
        # Maps of one value keep their shape under any strides, but are no identity.
        if self.strides != (1, 1) or x.shape != y.shape:
            return y
        y = Dropout(self.drop, (1, 2, 3), name="depth")(y, phase)
        return Activation(None, self.execution, name="sum")(x + y, phase)


class Stage(NamedTuple):
    """A row of the paper's table 2.

    Attributes:
      expansion: of the channels in each block.
      features: channels out.
      repeats: blocks.
      strides: of the first block, in both directions.
    """

    expansion: int
    features: int
    repeats: int
    strides: int


STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)


class MobileNetV2(nn.Module):
    """MobileNetV2; 3,504,872 parameters with 1000 classes. Blocks are `block1`, `block2`, ... through all stages.

    Attributes:
      num_classes: width of the logits.
      channels: of the inputs that the stem is for; features of one channel stand for as many equal ones.
      variant: see there.
      dropout: before the linear layer (torchvision has 0.2, Keras none).
      width: factor on all channels, which are then rounded to multiples of 8; 1 leaves them as they are.
      stages: what is between stem and head.
      stem: channels of the first convolution.
      last: channels of the head.
      expanded: channels in between of every block; empty: the expansion of its stage times what comes in.
      execution: see there.
    """

    num_classes: int
    channels: int = 3
    variant: Variant = Variant.KERAS
    dropout: float = 0.0
    width: float = 1.0
    stages: tuple[Stage, ...] = STAGES
    stem: int = 32
    last: int = 1280
    expanded: tuple[int, ...] = ()
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the mean of the 1280 last maps; taps are the maps after stem, stages and head."""
        layer = self.variant.layer(self.execution)
        x = layer(
            self._scaled(self.stem), (3, 3), (2, 2), function=relu6, channels=self.channels, name="stem"
        )(as_maps(features), phase)  # fmt: skip
        taps, block = {"stem": x}, 0
        for number, stage in enumerate(self.stages, 1):
            for repeat in range(stage.repeats):
                strides = (1, 1) if repeat else (stage.strides, stage.strides)
                expanded = self.expanded[block] if self.expanded else stage.expansion * x.shape[-1]
                block += 1
                x = InvertedResidual(
                    self._scaled(stage.features), expanded, strides=strides, layer=layer, execution=self.execution,
                    name=f"block{block}",
                )(x, phase)  # fmt: skip
            taps[f"stage{number}"] = x
        taps["head"] = x = layer(self._last, (1, 1), function=relu6, name="head")(x, phase)
        pooled = Activation(None, self.execution, name="pooled")(global_average_pool(x), phase)
        embedding = Dropout(self.dropout, name="dropout")(pooled, phase)
        logits = Dense(self.num_classes, kernel_init=SMALL_NORMAL, execution=self.execution, name="logits")
        return Outputs(logits(embedding), embedding, taps)

    def channel_groups(self) -> ChannelGroups:
        """`stem`, `stage1` and so on, what each block expands them to, `block2` and so on, and `head`."""
        sizes, apart = {"stem": self._scaled(self.stem)}, []
        for block in self._blocks():
            if block.features not in sizes:
                sizes[block.features] = self._scaled(self.stages[block.stage].features)
                if block.strides == 1:
                    apart.append((block.features, block.inputs))  # or the block would add its input
            if block.expanded != block.inputs:
                sizes[block.expanded] = block.width
                apart.append((block.expanded, block.inputs))  # or it would not expand
        return ChannelGroups(sizes | {"head": self._last}, tuple(apart))

    def with_channels(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Options for other numbers of channels."""
        blocks = self._blocks()
        features = {block.stage: sizes[block.features] for block in blocks}
        return {
            "width": 1.0,
            "stem": sizes["stem"],
            "stages": tuple(stage._replace(features=features[number]) for number, stage in enumerate(self.stages)),
            "expanded": tuple(sizes[block.expanded] for block in blocks),
            "last": sizes["head"],
        }

    def _blocks(self) -> list["_Block"]:
        blocks, channels, inputs = [], self._scaled(self.stem), "stem"
        for number, stage in enumerate(self.stages):
            features = self._scaled(stage.features)
            for repeat in range(stage.repeats):
                name, strides = f"block{len(blocks) + 1}", 1 if repeat else stage.strides
                width = self.expanded[len(blocks)] if self.expanded else stage.expansion * channels
                outputs = inputs if strides == 1 and features == channels else f"stage{number + 1}"
                blocks.append(_Block(number, strides, inputs, name if width != channels else inputs, width, outputs))
                channels, inputs = features, outputs
        return blocks

    def _scaled(self, channels: int) -> int:
        return channels if self.width == 1 else make_divisible(channels * self.width)

    @property
    def _last(self) -> int:
        # The last layer is not narrowed: "for multipliers less than one, we apply width multiplier to all layers except
        # the very last convolutional layer".
        return self.last if self.width <= 1 else make_divisible(self.last * self.width)


class _Block(NamedTuple):
    """Channels of a block.

    Attributes:
      stage: its number, from 0.
      strides: in both directions.
      inputs: the group of what comes in.
      expanded: the group of what is in between.
      width: how many these are.
      features: the group of what goes out.
    """

    stage: int
    strides: int
    inputs: str
    expanded: str
    width: int
    features: str
