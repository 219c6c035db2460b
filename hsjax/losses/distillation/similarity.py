"""Similarity-preserving distillation: which examples of a batch activate a network alike."""

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from hsjax.losses import masked


def similarity_preserving(
    student: Float[Array, " batch *student"], teacher: Float[Array, " batch *teacher"], mask: Float[Array, " batch"]
) -> Float[Array, ""]:
    """Mean squared difference of the two batch similarity matrices.

    Similarity is the inner product of two examples' activations; each row of the matrix is scaled to length 1. Tung &
    Mori 2019, "Similarity-preserving knowledge distillation", https://arxiv.org/abs/1907.09682, for one pair of layers;
    the mean is over the square of the number of unmasked examples.

    Args:
      student: maps or embeddings, `(batch, ...)`.
      teacher: `(batch, ...)`, may have another shape; no gradient flows into it.
      mask: `(batch,)`, 0 for padding.

    Returns:
      A scalar; 0 if all are masked.
    """
    chex.assert_type([student, teacher], jnp.floating)
    chex.assert_equal_shape_prefix([student, teacher, mask], 1)
    difference = _similarity(student, mask) - _similarity(jax.lax.stop_gradient(teacher), mask)
    some = (mask > 0).astype(difference.dtype)
    return masked.mean(jnp.square(difference), some[:, None] * some[None, :])


def _similarity(values: Float[Array, " batch *rest"], mask: Float[Array, " batch"]) -> Float[Array, "batch batch"]:
    flat = masked.shown(values, mask).reshape(len(values), -1)
    return masked.unit(jnp.matmul(flat, flat.T, precision=lax.Precision.HIGHEST))
