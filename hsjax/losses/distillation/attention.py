"""Attention transfer: where a network is active."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.losses import masked
from hsjax.losses.distillation import maps


def attention_transfer(
    student: Float[Array, "batch *student_space student_channels"],
    teacher: Float[Array, "batch *teacher_space teacher_channels"],
    power: int = 2,
) -> Float[Array, " batch"]:
    """Mean squared difference of the two attention maps, each scaled to length 1.

    A position's attention is the mean over channels of |activation|^power. Zagoruyko & Komodakis 2017, "Paying more
    attention to attention", https://arxiv.org/abs/1612.03928, equation 2. The mean over positions of the squared
    difference is that of the authors' released code; the paper writes its root summed. Maps of different sizes meet as
    attention maps, which `maps.common` pools. A map that is zero everywhere has zero attention, and zero gradient.

    Args:
      student: map `(batch, *space, channels)`, at least one space axis.
      teacher: its space and channels may differ; no gradient flows into it.
      power: p, at least 1; the higher, the more the strongest positions count.

    Returns:
      `(batch,)`; at most 4 over the number of positions.
    """
    chex.assert_rank([student, teacher], {3, 4})
    chex.assert_type([student, teacher], jnp.floating)
    chex.assert_scalar_positive(power)
    first, second = maps.common(_attention(student, power), _attention(jax.lax.stop_gradient(teacher), power))
    difference = _scaled(first) - _scaled(second)
    return jnp.mean(jnp.square(difference), -1)


def _attention(values: Float[Array, "batch *space channels"], power: int) -> Float[Array, "batch *space 1"]:
    return jnp.mean(jnp.abs(values) ** power, -1, keepdims=True)


def _scaled(attention: Float[Array, "batch *space 1"]) -> Float[Array, "batch positions"]:
    return masked.unit(attention.reshape(len(attention), -1))
