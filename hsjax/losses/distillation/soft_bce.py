"""Binary distillation: a teacher's sigmoids as targets."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from hsjax.losses.logits import Scalar, check_pair


def soft_bce(
    logits: Float[Array, "batch classes"], teacher_logits: Float[Array, "batch classes"], temperature: Scalar = 1.0
) -> Float[Array, " batch"]:
    """Binary cross-entropy of the student's sigmoids against the teacher's, averaged over logits (Sriram et al.).

    A contrastive teacher's outputs are the only labels that their student sees, at temperature 1.

    Args:
      logits: the student's, `(batch, 1)` or `(batch, classes)`.
      teacher_logits: of the same shape; no gradient flows into them.
      temperature: both logits are divided by it before the sigmoid. Positive; may be traced.

    Returns:
      `(batch,)`, in nats. Its smallest value is the teacher's mean binary entropy, not zero.
    """
    check_pair(logits, teacher_logits)
    target = jax.nn.sigmoid(jax.lax.stop_gradient(teacher_logits) / temperature)
    return jnp.mean(optax.losses.sigmoid_binary_cross_entropy(logits / temperature, target), axis=-1)
