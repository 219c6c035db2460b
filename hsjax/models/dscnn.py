"""Our own family: depthwise-separable convolutions for microcontrollers, at most 50,000 parameters.

After Zhang et al. 2017 ("Hello Edge: Keyword Spotting on Microcontrollers", https://arxiv.org/abs/1711.07128), whose
DS-CNN has one size of maps throughout; here stages shrink maps and widen them as in MobileNet. All operators run as
int8 in TFLite Micro: convolution, depthwise convolution, ReLU, add, mean, and with squeeze-excite multiply and hard
sigmoid's add and ReLU6. The first stage has the largest maps, so the stem has strides: as int8 one map takes 11 KB on
13 x 101 MFCCs and 51 KB on 64 x 100 log-mel spectrograms.
"""

import itertools
from collections.abc import Mapping
from typing import Any

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
    relu,
)
from hsjax.types import Outputs, UserError


class DSCNN(nn.Module):
    """A strided stem, stages of depthwise-separable blocks, the mean of every map, a linear layer.

    Attributes:
      num_classes: width of the logits.
      channels: what the stem's kernel is for; features of one channel stand for that many equal ones.
      stem: channels out of the stem.
      stem_kernel: coefficients and frames that it sees.
      stem_strides: of the stem.
      widths: channels out of the blocks of each stage.
      depths: blocks of each stage.
      strides: of each stage's first block, coefficients and frames.
      kernel: of the depthwise convolutions.
      squeeze_excite: channels of a block for one between squeeze and excite; 0 for none.
      dropout: rate before the linear layer.
      padding: of all convolutions.
      execution: see there.
    """

    num_classes: int
    channels: int = 1
    stem: int = 24
    stem_kernel: Pair = (5, 5)
    stem_strides: Pair = (2, 2)
    widths: tuple[int, ...] = (32, 64, 96)
    depths: tuple[int, ...] = (2, 2, 2)
    strides: tuple[Pair, ...] = ((1, 1), (2, 2), (2, 2))
    kernel: Pair = (3, 3)
    squeeze_excite: int = 0
    dropout: float = 0.2
    padding: Padding = Padding.SAME
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the mean of each of the last maps; taps are the maps of the stem and each stage."""
        x = ConvNorm(
            self.stem, self.stem_kernel, self.stem_strides, self.padding, function=relu, norm=_norm(),
            channels=self.channels, execution=self.execution, name="stem",
        )(as_maps(features), phase)  # fmt: skip
        taps = {"stem": x}
        for stage, (width, depth, strides) in enumerate(zip(self.widths, self.depths, self.strides, strict=True), 1):
            for block in range(1, depth + 1):
                x = SeparableBlock(
                    width, self.kernel, strides if block == 1 else (1, 1), self.padding, self.squeeze_excite,
                    execution=self.execution, name=f"stage{stage}_block{block}",
                )(x, phase)  # fmt: skip
            taps[f"stage{stage}"] = x
        embedding = Activation(None, self.execution, name="pooled")(global_average_pool(x), phase)
        seen = Dropout(self.dropout, name="dropout")(embedding, phase)
        return Outputs(Dense(self.num_classes, execution=self.execution, name="logits")(seen), embedding, taps)

    def channel_groups(self) -> ChannelGroups:
        """`stem`, and the channels of each stage, `stage1` and so on.

        Raises:
          UserError: with squeeze-excite, whose hidden channels follow from those of the block.
        """
        if self.squeeze_excite:
            raise UserError("channels can be taken out of a dscnn without squeeze_excite; set it to 0")
        names, widths = self._groups(), (self.stem, *self.widths)
        # The first block of a stage would add its input if it had as many channels.
        apart = tuple((name, before) for before, name in itertools.pairwise(names) if name != before)
        return ChannelGroups(dict(zip(names, widths, strict=True)), apart)

    def with_channels(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Options for other numbers of channels."""
        stem, *widths = (sizes[name] for name in self._groups())
        return {"stem": stem, "widths": tuple(widths)}

    def _groups(self) -> list[str]:
        """Of the stem and of each stage; one whose first block adds its input is of one group with what is before."""
        names = ["stem"]
        for stage, (before, width) in enumerate(itertools.pairwise((self.stem, *self.widths)), 1):
            adds = width == before and tuple(self.strides[stage - 1]) == (1, 1)
            names.append(names[-1] if adds else f"stage{stage}")
        return names


class SeparableBlock(nn.Module):
    """Depthwise convolution, squeeze-excite if wanted, pointwise convolution; added to the input where sizes agree.

    Attributes:
      features: channels out.
      kernel: of the depthwise convolution.
      strides: of the depthwise convolution.
      padding: of the depthwise convolution.
      squeeze_excite: channels for one between squeeze and excite; 0 for none.
      function: after each convolution.
      execution: see there.
    """

    features: int
    kernel: Pair = (3, 3)
    strides: Pair = (1, 1)
    padding: Padding = Padding.SAME
    squeeze_excite: int = 0
    function: Function = relu
    execution: Execution = Execution()

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], phase: Phase = EVALUATION
    ) -> Float[Array, "batch height2 width2 features"]:
        """Depth, then width."""
        how = {"function": self.function, "execution": self.execution}
        channels = x.shape[-1]
        y = ConvNorm(
            channels, self.kernel, self.strides, self.padding, groups=0, norm=_norm(), name="depthwise", **how
        )(x, phase)
        if self.squeeze_excite:
            squeezed = max(channels // self.squeeze_excite, 4)
            y = SqueezeExcite(squeezed, execution=self.execution, name="squeeze_excite")(y, phase)
        y = ConvNorm(self.features, (1, 1), norm=_norm(), name="pointwise", **how)(y, phase)
        return Activation(None, self.execution, name="sum")(x + y, phase) if x.shape == y.shape else y


def _norm() -> BatchNorm:
    return BatchNorm(parent=None)
