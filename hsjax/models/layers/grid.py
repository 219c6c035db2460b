"""Rounding to the numbers that an integer file can hold, with gradients that pass through it.

Real numbers are `scale * (level - zero_point)` (Jacob et al. 2018, https://arxiv.org/abs/1712.05877; TFLite's
quantisation specification). Levels of activations are int8 from -128 to 127, or int16 from -32767 to 32767 around a
zero point of 0; levels of weights have a zero point of 0 too, and leave out the lowest of their type. Zero is a level.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_LEAST = 1e-8
"""Of a scale: a layer whose values are all 0 has one too."""


class Levels(NamedTuple):
    """The lowest and the highest whole number."""

    lowest: int
    highest: int


def activation_levels(bits: int) -> Levels:
    """Of activations with 8 or 16 bits."""
    return Levels(-128, 127) if bits == 8 else Levels(-32767, 32767)


def weight_levels(bits: int) -> Levels:
    """Of weights with 4 or 8 bits."""
    highest = 2 ** (bits - 1) - 1
    return Levels(-highest, highest)


def activation_grid(
    low: Float[Array, ""], high: Float[Array, ""], bits: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Scale and zero point, a whole number, for values between `low`, not above 0, and `high`, not below.

    The range is moved a little, by less than half a step, so that 0 is a level.
    """
    lowest, highest = activation_levels(bits)
    if bits == 16:
        return jnp.maximum(jnp.maximum(-low, high) / highest, _LEAST), jnp.zeros_like(low)
    scale = jnp.maximum((high - low) / (highest - lowest), _LEAST)
    return scale, jnp.clip(half_away(lowest - low / scale), lowest, highest)


def half_away(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The nearest whole number, halves away from zero: TFLite's rounding."""
    return jnp.trunc(x + jnp.copysign(jnp.asarray(0.5, x.dtype), x))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def within(x: Float[Array, "*shape"], low: Float[Array, ""], high: Float[Array, ""], bits: int):
    """Activations on the grid of a range, beyond which they saturate.

    The gradient by `x` is 1 within the range and 0 beyond. By the range's ends it is LSQ's (Esser et al. 2020,
    https://arxiv.org/abs/1902.08153, equation 3) by the scale, with the other end held (Bhalgat et al. 2020,
    https://arxiv.org/abs/2004.09576): 1 for values beyond the end, and within the range the rounding error as a part of
    the range; both over the root of the number of values in an example times that of the highest level.

    Args:
      x: activations, with the batch as first axis.
      low: end of the range, not above 0.
      high: end of the range, not below 0.
      bits: 8 or 16.
    """
    scale, zero = activation_grid(low, high, bits)
    lowest, highest = activation_levels(bits)
    return (jnp.clip(half_away(x / scale) + zero, lowest, highest) - zero) * scale


def _within_forward(x: Array, low: Array, high: Array, bits: int) -> tuple[Array, tuple[Array, Array, Array]]:
    return within(x, low, high, bits), (x, low, high)


def _within_backward(bits: int, saved: tuple[Array, Array, Array], dy: Array) -> tuple[Array, Array, Array]:
    x, low, high = saved
    scale, zero = activation_grid(low, high, bits)
    lowest, highest = activation_levels(bits)
    below, above = x < (lowest - zero) * scale, x > (highest - zero) * scale
    inside = ~(below | above)
    size = x.size // x.shape[0] if x.ndim else 1
    part = jax.lax.rsqrt(jnp.asarray(size * highest, x.dtype))
    error = within(x, low, high, bits) - x
    if bits == 8:
        error = jnp.where(inside, error / (scale * (highest - lowest)), 0)
        by_low, by_high = jnp.sum(dy * (below - error)), jnp.sum(dy * (above + error))
    else:  # one number, the larger of both, makes the scale
        by_largest = jnp.sum(dy * (above.astype(x.dtype) - below + jnp.where(inside, error / (scale * highest), 0)))
        by_low, by_high = jnp.where(high < -low, -by_largest, 0), jnp.where(high < -low, 0, by_largest)
    return jnp.where(inside, dy, 0), part * by_low, part * by_high


within.defvjp(_within_forward, _within_backward)


def weight_step(kernel: Float[Array, "..."], bits: int, axis: int = -1) -> Float[Array, " channels"]:
    """Of each output channel, the step that makes its largest weight the highest level; 1 where all weights are 0."""
    largest = jnp.max(jnp.abs(kernel), _others(kernel, axis))
    return jnp.where(largest > 0, largest / weight_levels(bits).highest, 1)


def learnt_step(kernel: Float[Array, "..."], bits: int, axis: int = -1) -> Float[Array, " channels"]:
    """Of each output channel, where learning the step begins: LSQ's for 4 bits, which saturates few weights.

    Of 8 bits LSQ's would leave most levels unused.
    """
    if bits == 8:
        return weight_step(kernel, bits, axis)
    mean = jnp.mean(jnp.abs(kernel), _others(kernel, axis))
    return jnp.where(mean > 0, 2 * mean / weight_levels(bits).highest ** 0.5, 1)


def weight_integers(
    kernel: Float[Array, "..."], step: Float[Array, " channels"], bits: int, axis: int = -1
) -> Float[Array, "..."]:
    """Levels of weights."""
    return jnp.clip(half_away(kernel / along(step, kernel, axis)), *weight_levels(bits))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def on_steps(kernel: Float[Array, "..."], step: Float[Array, " channels"], bits: int, axis: int = -1):
    """Weights as whole multiples of their channel's step.

    Gradients are LSQ's: by a weight 1 within the levels and 0 beyond; by the step the rounding error in steps, or the
    level where a weight saturates, over the root of the number of a channel's weights times the highest level.

    Args:
      kernel: weights.
      step: of each channel.
      bits: 4 or 8.
      axis: of the channels.
    """
    return weight_integers(kernel, step, bits, axis) * along(step, kernel, axis)


def _on_steps_forward(kernel: Array, step: Array, bits: int, axis: int) -> tuple[Array, tuple[Array, Array]]:
    return on_steps(kernel, step, bits, axis), (kernel, step)


def _on_steps_backward(bits: int, axis: int, saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    kernel, step = saved
    highest = weight_levels(bits).highest
    scaled = kernel / along(step, kernel, axis)
    inside = jnp.abs(scaled) <= highest
    levels = weight_integers(kernel, step, bits, axis)
    by_step = jnp.sum(dy * jnp.where(inside, levels - scaled, levels), _others(kernel, axis))
    part = jax.lax.rsqrt(jnp.asarray(kernel.size // step.size * highest, kernel.dtype))
    return jnp.where(inside, dy, 0), part * by_step


on_steps.defvjp(_on_steps_forward, _on_steps_backward)


def along(step: Float[Array, " channels"], kernel: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """`step` in a shape that broadcasts along an axis of `kernel`."""
    shape = [1] * kernel.ndim
    shape[axis] = step.shape[0]
    return step.reshape(shape)


def _others(kernel: Array, axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(kernel.ndim) if other != axis % kernel.ndim)
