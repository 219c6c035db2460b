"""Probabilistic knowledge transfer: who is whose neighbour in a batch."""

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from hsjax.losses import masked

FLOOR = 1e-7
"""Added to every kernel value, so that the divergence stays finite; the authors' code adds it to probabilities."""


def pkt(
    student: Float[Array, "batch student_dims"],
    teacher: Float[Array, "batch teacher_dims"],
    mask: Float[Array, " batch"],
) -> Float[Array, ""]:
    """Kullback-Leibler divergence of the student's neighbour probabilities from the teacher's, in nats.

    The probability of example i given j is (1 + cosine) / 2 of their embeddings, divided by its sum over all i other
    than j. Passalis & Tefas 2018, "Learning deep representations with probabilistic knowledge transfer",
    https://arxiv.org/abs/1803.10837. As in the paper an example is no neighbour of itself (in the
    authors' released code it is). The paper sums over j; here it is the mean over the unmasked j.

    Args:
      student: embeddings, `(batch, dims)`.
      teacher: `(batch, dims)`, any number of dims; no gradient flows into it.
      mask: `(batch,)`, 0 for padding.

    Returns:
      A scalar, 0 at its smallest; 0 also with fewer than three unmasked examples, as one neighbour has probability 1.
    """
    chex.assert_rank([student, teacher, mask], [2, 2, 1])
    chex.assert_type([student, teacher, mask], jnp.floating)
    chex.assert_equal_shape_prefix([student, teacher, mask], 1)
    mask = (mask > 0).astype(student.dtype)
    among = masked.pairs(mask)
    of_student = _neighbours(masked.shown(student, mask), among)
    of_teacher = _neighbours(masked.shown(jax.lax.stop_gradient(teacher), mask), among)
    divergence = jnp.sum(of_teacher * (_log(of_teacher) - _log(of_student)), -1)
    return masked.mean(divergence, mask)


def _neighbours(values: Float[Array, "batch dims"], among: Float[Array, "batch batch"]) -> Float[Array, "batch batch"]:
    """Probability of the second given the first; 0 for pairs that do not count."""
    direction = masked.unit(values)
    cosine = jnp.matmul(direction, direction.T, precision=lax.Precision.HIGHEST)
    # Rounding takes a cosine a little below -1.
    kernel = (jnp.maximum(1 + cosine, 0.0) / 2 + FLOOR) * among
    total = jnp.sum(kernel, -1, keepdims=True)
    return kernel / jnp.where(total > 0, total, 1.0)


def _log(probability: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.log(jnp.where(probability > 0, probability, 1.0))
