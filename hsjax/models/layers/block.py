"""Small compositions that many families share."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from hsjax.models.layers.activation import Activation, Function, hard_sigmoid, relu
from hsjax.models.layers.convolution import Conv
from hsjax.models.layers.execution import EVALUATION, Execution, Phase
from hsjax.models.layers.initial import he_fan_out
from hsjax.models.layers.norm import BatchNorm
from hsjax.models.layers.padding import Padding, Pair
from hsjax.models.layers.pool import global_average_pool

Maps = Float[Array, "batch height width channels"]


class ConvNorm(nn.Module):
    """Convolution, batch norm, nonlinearity. Submodules `conv`, `norm` and `act`.

    Attributes:
      features: channels out.
      kernel_size: height and width.
      strides: of the window.
      padding: see `Conv`.
      groups: see `Conv`; 0 makes it depthwise.
      use_bias: of the convolution; superfluous before a norm, but some published networks have it.
      function: the nonlinearity, None for none.
      norm: a batch norm with the family's constants, unnamed and not yet in a scope.
      kernel_init: of the convolution.
      channels: see `Conv`.
      execution: see there.
    """

    features: int
    kernel_size: Pair = (3, 3)
    strides: Pair = (1, 1)
    padding: Padding | Sequence[Pair] = Padding.SYMMETRIC
    groups: int = 1
    use_bias: bool = False
    function: Function | None = relu
    norm: BatchNorm = BatchNorm(parent=None)
    kernel_init: nn.initializers.Initializer = he_fan_out
    channels: int | None = None
    execution: Execution = Execution()

    def __post_init__(self) -> None:
        """A norm of its own: one module that several hold is one set of parameters to Flax."""
        object.__setattr__(self, "norm", self.norm.clone(name=None))
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Maps, phase: Phase = EVALUATION) -> Float[Array, "batch height2 width2 features"]:
        """Apply all three."""
        groups = self.groups or x.shape[-1]
        x = Conv(
            self.features, self.kernel_size, self.strides, self.padding, groups, self.use_bias, self.kernel_init,
            self.channels, self.execution, name="conv",
        )(x)  # fmt: skip
        x = self.norm(x, phase)
        return Activation(self.function, self.execution, name="act")(x, phase)


class SqueezeExcite(nn.Module):
    """Scales each channel by what all channels' means say (Hu et al. 2018, https://arxiv.org/abs/1709.01507).

    Two 1x1 convolutions with bias, `reduce` and `expand`.

    Attributes:
      squeezed: channels between the two.
      function: after the first.
      gate: after the second; between 0 and 1.
      kernel_init: of both.
      execution: see there.
    """

    squeezed: int
    function: Function = relu
    gate: Function = hard_sigmoid
    kernel_init: nn.initializers.Initializer = he_fan_out
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, x: Maps, phase: Phase = EVALUATION) -> Maps:
        """Scale."""
        how = {"kernel_init": self.kernel_init, "execution": self.execution}
        mean = global_average_pool(x)[:, None, None, :]
        mean = Activation(None, self.execution, name="mean")(mean, phase)
        hidden = Conv(self.squeezed, (1, 1), name="reduce", **how)(mean)
        hidden = Activation(self.function, self.execution, name="reduce_act")(hidden, phase)
        gate = Conv(x.shape[-1], (1, 1), name="expand", **how)(hidden)
        gate = Activation(self.gate, self.execution, name="expand_act")(gate, phase)
        return Activation(None, self.execution, name="scaled")(x * gate, phase)


class Dropout(nn.Module):
    """Dropout; whole examples where `axes` names all axes but the first (stochastic depth, Huang et al. 2016).

    Attributes:
      rate: probability of a zero.
      axes: axes along which all values share their fate.
    """

    rate: float
    axes: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Float[Array, "..."], phase: Phase = EVALUATION) -> Float[Array, "..."]:
        """Drop, while training; needs the stream `dropout` of random keys."""
        return nn.Dropout(self.rate, self.axes, name="drop")(x, deterministic=not phase.trains(self.path))


def as_maps(features: Float[Array, "batch coeffs frames *channels"]) -> Maps:
    """Features as maps: `(batch, coeffs, frames)` get a channel axis, `(batch, coeffs, frames, channels)` have one."""
    return features[..., None] if features.ndim == 3 else features
