"""Losses of logits against true classes."""

import chex
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def cross_entropy(logits: Float[Array, "batch classes"], label: Int[Array, " batch"]) -> Float[Array, " batch"]:
    """Cross-entropy of the softmax of `logits` against the true class, in nats.

    Args:
      logits: `(batch, classes)`.
      label: `(batch,)`, integer classes.

    Returns:
      `(batch,)`.
    """
    chex.assert_rank([logits, label], [2, 1])
    chex.assert_type([logits, label], [jnp.floating, jnp.integer])
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, label)
