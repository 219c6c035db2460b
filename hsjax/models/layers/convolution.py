"""Two-dimensional convolution; its fast form avoids what XLA's CPU backend is slow at."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers import kernel_gradient, small_maps
from hsjax.models.layers.execution import Execution, Form
from hsjax.models.layers.initial import torch_uniform
from hsjax.models.layers.padding import Padding, Pads, Pair, resolve
from hsjax.models.layers.shifted import depthwise, one_channel

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


class Conv(nn.Module):
    """Convolution. Parameters `kernel` (height, width, channels / groups, features) and, unless left out, `bias`.

    Attributes:
      features: channels out.
      kernel_size: height and width.
      strides: of the window.
      padding: a rule, or the zeros before and after in height and width.
      groups: of channels that do not see each other; as many as channels in a depthwise convolution.
      use_bias: whether there is a bias.
      kernel_init: distribution of the kernel; the bias begins at 0.
      channels: what the kernel is for, by default what the maps have. Where they have but one, it stands for as many
        equal ones (a spectrogram before an ImageNet stem), and the kernel's sum over them is applied to it.
      execution: see there.
    """

    features: int
    kernel_size: Pair = (3, 3)
    strides: Pair = (1, 1)
    padding: Padding | Sequence[Pair] = Padding.SAME
    groups: int = 1
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = torch_uniform
    channels: int | None = None
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height2 width2 features"]:
        """Convolve.

        Raises:
          UserError: the map is smaller than the kernel.
          ValueError: maps of another number of channels than the kernel.
        """
        channels = self.channels or x.shape[-1]
        if x.shape[-1] not in (channels, 1):
            raise ValueError(f"{'/'.join(self.path)} takes maps of {channels} channels or one, got {x.shape[-1]}")
        shape = (*self.kernel_size, channels // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        groups = self.groups
        if x.shape[-1] < channels:
            kernel, groups = jnp.sum(kernel, 2, keepdims=True), 1  # every group sees the one channel
        kernel = self.execution.quantiser.weight(self, "kernel", kernel)
        pads = resolve(
            self.padding, x.shape[1:3], self.kernel_size, self.strides, "/".join(self.path) or "the convolution"
        )
        y = convolve(x, kernel, self.strides, pads, groups, self.execution.form)
        return y + self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else y


def convolve(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "kernel_height kernel_width channels_in_group features"],
    strides: Pair = (1, 1),
    pads: Pads = ((0, 0), (0, 0)),
    groups: int = 1,
    form: Form = Form.PLAIN,
) -> Float[Array, "batch height2 width2 features"]:
    """Correlate with a kernel, as networks do.

    Args:
      x: maps.
      kernel: one per feature; of a depthwise convolution `(height, width, 1, features)`.
      strides: of the window.
      pads: zeros before and after, in height and width.
      groups: of channels.
      form: FAST computes one input channel and depthwise convolutions by shifted multiply-adds, on small maps by one
        matrix a channel, and kernel gradients as products of matrices; it has gradients in reverse mode only.
    """
    channels = x.shape[-1]
    if form is Form.FAST and channels == 1:
        return one_channel(x, kernel, strides, pads)
    if form is Form.FAST and groups == channels == kernel.shape[-1]:
        grouped = small_maps.depthwise if small_maps.fits(x, kernel) else depthwise
        return grouped(x, kernel, strides, pads)
    if form is Form.FAST and groups == 1:
        return kernel_gradient.convolution(x, kernel, strides, pads)
    return jax.lax.conv_general_dilated(
        x, kernel, strides, pads, dimension_numbers=_DIMENSIONS, feature_group_count=groups
    )
