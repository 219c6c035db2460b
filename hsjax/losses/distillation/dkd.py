"""Decoupled knowledge distillation: how sure of the target class, and how the rest is spread, weighed apart."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hsjax.losses.logits import Scalar, check_pair, check_softmax, others, target_and_rest


def dkd(
    logits: Float[Array, "batch classes"],
    label: Int[Array, " batch"],
    teacher_logits: Float[Array, "batch classes"],
    temperature: Scalar,
    alpha: Scalar,
    beta: Scalar,
) -> Float[Array, " batch"]:
    """Decoupled knowledge distillation T^2 (alpha TCKD + beta NCKD) (Zhao et al. 2022).

    https://arxiv.org/abs/2203.08679. TCKD is the divergence of two-way distributions, true class against all others;
    NCKD that of the distributions among the others, each normalised without the true class. Ordinary distillation is
    TCKD + (1 - p) NCKD with the teacher's probability p of the true class, which silences NCKD where it is sure. The
    factor T^2, as Hinton's, is in the authors' code. The usual term of true classes is the caller's.

    With two classes there is one other class, which has probability 1 among the others: NCKD and its gradient are
    exactly 0, and with alpha = 1 this is ordinary distillation.

    Args:
      logits: the student's, `(batch, classes)`.
      label: `(batch,)`, integer classes, the true ones.
      teacher_logits: `(batch, classes)`; no gradient flows into them.
      temperature: T, which divides both logits. Positive; may be traced.
      alpha: weight of TCKD, 1 there too; may be traced.
      beta: weight of NCKD, 8 by default in the authors' code; may be traced.

    Returns:
      `(batch,)`, in nats; zero where student and teacher agree.

    Raises:
      UserError: for a single class.
    """
    chex.assert_rank(label, 1)
    chex.assert_type(label, jnp.integer)
    check_pair(logits, teacher_logits)
    check_softmax(logits)
    student, teacher = logits / temperature, jax.lax.stop_gradient(teacher_logits) / temperature
    (target_s, rest_s), (target_t, rest_t) = target_and_rest(student, label), target_and_rest(teacher, label)
    tckd = jnp.exp(target_t) * (target_t - target_s) + jnp.exp(rest_t) * (rest_t - rest_s)
    among_s, among_t = (_log_softmax_among_others(logits, label) for logits in (student, teacher))
    nckd = jnp.sum(others(student, label) * jnp.exp(among_t) * (among_t - among_s), axis=-1)
    return temperature**2 * (alpha * tckd + beta * nckd)


def _log_softmax_among_others(
    logits: Float[Array, "batch classes"], label: Int[Array, " batch"]
) -> Float[Array, "batch classes"]:
    """Log-softmax over all classes but the target, which has 0: its logit is no part of it, however large."""
    other = others(logits, label) > 0
    normaliser = jax.nn.logsumexp(logits, axis=-1, keepdims=True, where=other)
    return jnp.where(other, logits - normaliser, 0.0)
