"""Deviations from a mean as unit vectors: their inner product is Pearson's correlation."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.losses import masked


def deviations(
    values: Float[Array, "*batch count"], mask: Float[Array, " count"] | None = None
) -> Float[Array, "*batch count"]:
    """Deviations from the mean along the last axis, divided by their Euclidean length.

    Args:
      values: finite, `(*batch, count)`.
      mask: `(count,)`; values where it is 0 are no part of the mean and have deviation 0. None for all.

    Returns:
      `(*batch, count)`. Values that are all equal have no direction: their deviations are 0, and so is the gradient.
    """
    mask = jnp.ones(values.shape[-1], values.dtype) if mask is None else (mask > 0).astype(values.dtype)
    # Equal values less their greatest are exactly 0, less their mean only nearly; neither shift changes a deviation.
    least = jnp.finfo(values.dtype).min
    top = jax.lax.stop_gradient(jnp.max(values, -1, keepdims=True, where=mask > 0, initial=least))
    values = jnp.where(mask > 0, values - top, 0.0)
    mean = jnp.sum(values, -1, keepdims=True) / jnp.maximum(jnp.sum(mask), 1.0)
    values = jnp.where(mask > 0, values - mean, 0.0)
    # A unit vector does not depend on the length it came from: without this, squares of small probabilities underflow.
    scale = jax.lax.stop_gradient(jnp.max(jnp.abs(values), -1, keepdims=True))
    return masked.unit(values / jnp.where(scale > jnp.finfo(values.dtype).tiny, scale, 1.0))


def pearson(
    x: Float[Array, "*batch count"], y: Float[Array, "*batch count"], mask: Float[Array, " count"] | None = None
) -> Float[Array, "*batch"]:
    """Pearson's correlation of `x` and `y` along the last axis; 0 where either is constant.

    Args:
      x: finite, `(*batch, count)`.
      y: finite, `(*batch, count)`.
      mask: `(count,)`, see `deviations`.

    Returns:
      `(*batch,)`, -1 to 1.
    """
    return jnp.sum(deviations(x, mask) * deviations(y, mask), -1)
