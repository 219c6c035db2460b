"""Logit standardisation: the order and spacing of a teacher's logits without their size."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.losses.correlation import deviations
from hsjax.losses.distillation.kd import kl
from hsjax.losses.logits import Scalar, check_pair
from hsjax.types import UserError


def standardise(logits: Float[Array, "batch classes"]) -> Float[Array, "batch classes"]:
    """Z-score of each example's logits over its classes (Sun et al. 2024).

    https://arxiv.org/abs/2403.01427. Meant before any loss on logits; `standardised_kl` is ordinary distillation with
    it. The standard deviation divides by the number of classes, as in the paper (the authors' code: one less).

    Two classes have the z-scores 1 and -1 or -1 and 1 whatever their logits: only the sign would be left.

    Args:
      logits: `(batch, classes)`, at least 3 classes.

    Returns:
      `(batch, classes)`, mean 0 and variance 1 over classes. Equal logits have z-scores 0, without a gradient.

    Raises:
      UserError: for fewer than three classes.
    """
    chex.assert_rank(logits, 2)
    chex.assert_type(logits, jnp.floating)
    classes = logits.shape[1]
    if classes < 3:
        raise UserError(
            f"Use kl, hinton or soft_bce instead: standardised logits need at least 3 classes, and of {classes} "
            "they keep nothing but which is larger."
        )
    return deviations(logits) * classes**0.5


def standardised_kl(
    logits: Float[Array, "batch classes"], teacher_logits: Float[Array, "batch classes"], temperature: Scalar
) -> Float[Array, " batch"]:
    """T^2 times the KL divergence of the student from the teacher, after the z-score of both (Sun et al. 2024).

    The authors mostly weigh it 9 at T = 2; the usual term of true classes is the caller's.

    Args:
      logits: the student's, `(batch, classes)`, at least 3 classes.
      teacher_logits: `(batch, classes)`; no gradient flows into them.
      temperature: T, the base temperature, which divides both z-scores. Positive; may be traced.

    Returns:
      `(batch,)`, in nats; zero where the student's logits are a positive multiple of the teacher's plus a constant.

    Raises:
      UserError: for fewer than three classes.
    """
    check_pair(logits, teacher_logits)
    teacher_logits = jax.lax.stop_gradient(teacher_logits)
    return temperature**2 * kl(standardise(logits), standardise(teacher_logits), temperature)
