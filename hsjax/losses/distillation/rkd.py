"""Relational knowledge distillation: distances and angles between the embeddings of a batch.

Park et al. 2019, "Relational knowledge distillation", https://arxiv.org/abs/1904.05068. The paper sums over pairs and
triples; here, as in the authors' released code, it is a mean, but over those of different examples only.
"""

import chex
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float

from hsjax.losses import masked


def rkd_distance(
    student: Float[Array, "batch student_dims"],
    teacher: Float[Array, "batch teacher_dims"],
    mask: Float[Array, " batch"],
) -> Float[Array, ""]:
    """Huber loss (delta 1) between the student's and the teacher's pairwise Euclidean distances.

    Each distance is divided by the mean distance over the pairs of different unmasked examples; gradients flow through
    that mean. Where all examples coincide, their distances are 0, and so is the
    gradient.

    Args:
      student: embeddings, `(batch, dims)`.
      teacher: `(batch, dims)`, any number of dims; no gradient flows into it.
      mask: `(batch,)`, 0 for padding.

    Returns:
      A scalar, the mean over ordered pairs; 0 with fewer than two unmasked examples.
    """
    student, teacher, among = _checked(student, teacher, mask)
    loss = optax.losses.huber_loss(_distances(student, among), _distances(teacher, among))
    return masked.mean(loss, among)


def rkd_angle(
    student: Float[Array, "batch student_dims"],
    teacher: Float[Array, "batch teacher_dims"],
    mask: Float[Array, " batch"],
) -> Float[Array, ""]:
    """Huber loss (delta 1) between the cosines of the angles in the student's and the teacher's triangles.

    The angle is at one example towards two others, for all triples of different unmasked examples. Towards a duplicate
    there is no direction: the cosine counts as 0 and has no gradient. Memory grows with batch^3: 1 MiB for each float32
    array of triples at 64 examples, 64 MiB at 256.

    Args:
      student: embeddings, `(batch, dims)`.
      teacher: `(batch, dims)`, any number of dims; no gradient flows into it.
      mask: `(batch,)`, 0 for padding.

    Returns:
      A scalar, the mean over ordered triples; 0 with fewer than three unmasked examples.
    """
    student, teacher, among = _checked(student, teacher, mask)
    triples = among[:, :, None] * among[:, None, :] * among[None, :, :]
    # Coordinates of duplicates differ by rounding, which has a direction, too.
    theirs = _cosines(_coordinates(teacher), rounding=30 * float(jnp.finfo(teacher.dtype).eps))
    return masked.mean(optax.losses.huber_loss(_cosines(student), theirs), triples)


def _checked(
    student: Float[Array, "batch student_dims"],
    teacher: Float[Array, "batch teacher_dims"],
    mask: Float[Array, " batch"],
) -> tuple[Float[Array, "batch student_dims"], Float[Array, "batch teacher_dims"], Float[Array, "batch batch"]]:
    """Both with zeros for the masked, and 1 for every pair that counts."""
    chex.assert_rank([student, teacher, mask], [2, 2, 1])
    chex.assert_type([student, teacher, mask], jnp.floating)
    chex.assert_equal_shape_prefix([student, teacher, mask], 1)
    teacher = jax.lax.stop_gradient(teacher)
    return masked.shown(student, mask), masked.shown(teacher, mask), masked.pairs(mask.astype(student.dtype))


def _distances(values: Float[Array, "batch dims"], among: Float[Array, "batch batch"]) -> Float[Array, "batch batch"]:
    # Differences, not |a|^2 + |b|^2 - 2ab: near examples cancel there. The root's slope at 0 is infinite.
    square = jnp.sum(jnp.square(values[:, None] - values[None, :]), -1)
    apart = square > jnp.finfo(square.dtype).tiny
    distance = jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0)
    scale = masked.mean(distance, among)
    return distance / jnp.where(scale > 0, scale, 1.0)


def _coordinates(values: Float[Array, "batch dims"]) -> Float[Array, "batch fewer"]:
    """The same points in as many dimensions as there are points at most: all distances and angles stay (QR).

    Flattened maps of a teacher have thousands of dimensions, and directions between all pairs of them would take
    a second a step.
    """
    if values.shape[0] >= values.shape[1]:
        return values
    return jnp.linalg.qr(values.T, mode="r").T


def _cosines(values: Float[Array, "batch dims"], rounding: float = 0.0) -> Float[Array, "batch batch batch"]:
    """Cosine at the first example between the directions to the second and to the third.

    Args:
      values: `(batch, dims)`.
      rounding: what counts as a duplicate: a distance of at most so much of the largest example's length.
    """
    difference = values[None, :] - values[:, None]
    largest = jnp.max(jnp.sum(jnp.square(values), -1))
    apart = jnp.sum(jnp.square(difference), -1, keepdims=True) > rounding**2 * largest
    direction = masked.unit(difference) * apart.astype(values.dtype)
    return jnp.einsum("jid,jkd->jik", direction, direction, precision=lax.Precision.HIGHEST)
