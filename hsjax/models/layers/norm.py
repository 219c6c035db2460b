"""Batch normalisation."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers.execution import EVALUATION, Phase


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167).

    Parameters `scale` and `bias`; running `mean` and `var` in the collection `batch_stats`. Masked examples are in no
    statistic. On several devices the batch is the whole one, whatever device an example is on. Maps in bfloat16
    are normalised in float32, and come out in bfloat16.

    Attributes:
      momentum: part of the running statistics that a step keeps (Keras's convention; PyTorch's `momentum` is the rest).
      epsilon: added to the variance.
      unbiased: whether the running variance is that of the batch divided by n - 1 (PyTorch) or by n (Keras).
      scale_init: where `scale` begins.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    unbiased: bool = True
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, "batch *space channels"], phase: Phase = EVALUATION):
        """Normalise, by the batch while training and by the running statistics otherwise."""
        dtype, channels = x.dtype, x.shape[-1:]
        scale = self.param("scale", self.scale_init, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        var = self.variable("batch_stats", "var", jnp.ones, channels)
        half = dtype == jnp.bfloat16
        x = x.astype(jnp.float32) if half else x
        if not phase.trains(self.path):
            gain = scale * jax.lax.rsqrt(var.value + self.epsilon)
            y = x * gain + (bias - mean.value * gain)
            return y.astype(dtype) if half else y
        batch_mean, batch_var, count = _moments(x, phase.mask)
        if not self.is_initializing():
            correction = count / jnp.maximum(count - 1, 1) if self.unbiased else 1.0
            # A batch without a single example says nothing.
            keep = jnp.where(count > 0, self.momentum, 1.0)
            mean.value = keep * mean.value + (1 - keep) * batch_mean
            var.value = keep * var.value + (1 - keep) * batch_var * correction
        gain = scale * jax.lax.rsqrt(batch_var + self.epsilon)
        y = x * gain + (bias - batch_mean * gain)
        return y.astype(dtype) if half else y


def _moments(x: Array, mask: Array | None) -> tuple[Array, Array, Array]:
    """Mean and variance of every channel, and of how many values."""
    axes = tuple(range(x.ndim - 1))
    if mask is None:
        mean = jnp.mean(x, axes)
        return mean, jnp.mean(jnp.square(x - mean), axes), jnp.float32(x.size // x.shape[-1])
    shown = (mask > 0).reshape(-1, *[1] * (x.ndim - 1))
    x = jnp.where(shown, x, 0)  # a masked example may hold anything, and must not reach the gradient either
    count = jnp.sum(shown) * (x.size // x.shape[0] // x.shape[-1])
    divisor = jnp.maximum(count, 1).astype(x.dtype)
    mean = jnp.sum(x, axes) / divisor
    return mean, jnp.sum(jnp.where(shown, jnp.square(x - mean), 0), axes) / divisor, count.astype(x.dtype)
