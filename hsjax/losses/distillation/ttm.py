"""Transformed teacher matching: only the teacher is softened."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from hsjax.losses.logits import Scalar, check_pair, check_softmax


def ttm(
    logits: Float[Array, "batch classes"], teacher_logits: Float[Array, "batch classes"], temperature: Scalar
) -> Float[Array, " batch"]:
    """KL divergence of the student's unsoftened distribution from the teacher's softened one (Zheng & Yang 2024).

    https://arxiv.org/abs/2402.11148. Softening is a power transform, p^(1/T) normalised. Compared with ordinary
    distillation, which softens both, leaving the student as it is adds its Renyi entropy of order 1/T as a regulariser.
    The usual term of true classes is the caller's.

    Args:
      logits: the student's, `(batch, classes)`.
      teacher_logits: `(batch, classes)`; no gradient flows into them.
      temperature: T, which divides the teacher's logits. Positive; may be traced.

    Returns:
      `(batch,)`, in nats; zero where the student equals the softened teacher.

    Raises:
      UserError: for a single class.
    """
    check_pair(logits, teacher_logits)
    check_softmax(logits)
    target = jax.nn.log_softmax(jax.lax.stop_gradient(teacher_logits) / temperature, axis=-1)
    return optax.losses.kl_divergence_with_log_targets(jax.nn.log_softmax(logits, axis=-1), target)


def wttm(
    logits: Float[Array, "batch classes"], teacher_logits: Float[Array, "batch classes"], temperature: Scalar
) -> Float[Array, " batch"]:
    """`ttm` weighted by the power sum of the teacher's probabilities, sum p^(1/T) (Zheng & Yang 2024, section 4).

    The weight is 1 where the teacher is sure and classes^(1 - 1/T) where it knows nothing: smooth targets, which the
    student finds hard to match, count more.

    Args:
      logits: the student's, `(batch, classes)`.
      teacher_logits: `(batch, classes)`; no gradient flows into them.
      temperature: T, which divides the teacher's logits. Positive; may be traced.

    Returns:
      `(batch,)`; zero where the student equals the softened teacher.

    Raises:
      UserError: for a single class.
    """
    log_p = jax.nn.log_softmax(jax.lax.stop_gradient(teacher_logits), axis=-1)
    return jnp.sum(jnp.exp(log_p / temperature), axis=-1) * ttm(logits, teacher_logits, temperature)
