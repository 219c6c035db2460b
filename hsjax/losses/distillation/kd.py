"""Knowledge distillation: the softened outputs of a teacher as targets (Hinton et al. 2015)."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from hsjax.losses.classification import cross_entropy
from hsjax.losses.logits import Scalar, check_pair, check_softmax


def soft_cross_entropy(
    logits: Float[Array, "batch classes"], teacher_logits: Float[Array, "batch classes"], temperature: Scalar
) -> Float[Array, " batch"]:
    """Cross-entropy of the student's softened distribution against the teacher's (Hinton et al. 2015, section 2).

    https://arxiv.org/abs/1503.02531.

    Args:
      logits: the student's, `(batch, classes)`.
      teacher_logits: `(batch, classes)`; no gradient flows into them.
      temperature: both logits are divided by it before the softmax. Positive; may be traced.

    Returns:
      `(batch,)`, in nats. Its smallest value is the teacher's entropy, not zero.

    Raises:
      UserError: for a single class.
    """
    check_pair(logits, teacher_logits)
    check_softmax(logits)
    target = jax.nn.softmax(jax.lax.stop_gradient(teacher_logits) / temperature, axis=-1)
    return -jnp.sum(target * jax.nn.log_softmax(logits / temperature, axis=-1), axis=-1)


def kl(
    logits: Float[Array, "batch classes"], teacher_logits: Float[Array, "batch classes"], temperature: Scalar
) -> Float[Array, " batch"]:
    """Kullback-Leibler divergence of the student's softened distribution from the teacher's.

    It is `soft_cross_entropy` less the teacher's entropy: the same gradient, and zero where they agree.

    Args:
      logits: the student's, `(batch, classes)`.
      teacher_logits: `(batch, classes)`; no gradient flows into them.
      temperature: both logits are divided by it before the softmax. Positive; may be traced.

    Returns:
      `(batch,)`, in nats. Its gradient shrinks as 1 / T^2; the factor T^2 that undoes it is the caller's.

    Raises:
      UserError: for a single class.
    """
    check_pair(logits, teacher_logits)
    check_softmax(logits)
    target = jax.nn.log_softmax(jax.lax.stop_gradient(teacher_logits) / temperature, axis=-1)
    return optax.losses.kl_divergence_with_log_targets(jax.nn.log_softmax(logits / temperature, axis=-1), target)


def hinton(
    logits: Float[Array, "batch classes"],
    label: Int[Array, " batch"],
    teacher_logits: Float[Array, "batch classes"],
    temperature: Scalar,
    alpha: Scalar,
    scale_by_t2: bool = False,
) -> Float[Array, " batch"]:
    """Weighted sum alpha CE(true class) + (1 - alpha) CE(teacher at temperature T) (Song et al., equation 2).

    Args:
      logits: the student's, `(batch, classes)`.
      label: `(batch,)`, integer classes.
      teacher_logits: `(batch, classes)`; no gradient flows into them.
      temperature: T; may be traced.
      alpha: weight of the true classes, 0 to 1; may be traced.
      scale_by_t2: multiply the soft term by T^2, which keeps its gradient's size independent of T. Hinton et al. advise
        it; Song et al. do not write it.

    Returns:
      `(batch,)`.

    Raises:
      UserError: for a single class.
    """
    soft = soft_cross_entropy(logits, teacher_logits, temperature)
    if scale_by_t2:
        soft = soft * temperature**2
    return alpha * cross_entropy(logits, label) + (1 - alpha) * soft
