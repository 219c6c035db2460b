"""Several teachers as one."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.losses.logits import check_softmax


def ensemble_logits(
    logits: Float[Array, "teachers batch classes"], weights: Float[Array, " teachers"] | None = None
) -> Float[Array, "batch classes"]:
    """Logarithm of the teachers' mean probability, so that its softmax is that mean.

    Teachers for any loss of softmaxes that asks for `teacher_logits`. At a temperature, it is the mean that is softened
    (Hinton et al. 2015, section 3, https://arxiv.org/abs/1503.02531, average the predictions of their ensemble
    likewise).

    Args:
      logits: `(teachers, batch, classes)`; no gradient flows into them.
      weights: `(teachers,)`, not negative and not all 0, scaled here to sum to 1. None for equal ones.

    Returns:
      `(batch, classes)`, logarithms of probabilities; finite also where a probability is too small for its dtype.

    Raises:
      UserError: for a single class.
    """
    chex.assert_rank(logits, 3)
    chex.assert_type(logits, jnp.floating)
    check_softmax(logits[0])
    teachers = logits.shape[0]
    weights = jnp.ones(teachers, logits.dtype) if weights is None else weights
    chex.assert_shape(weights, (teachers,))
    weights = (weights / jnp.sum(weights)).astype(logits.dtype)
    log_p = jax.nn.log_softmax(jax.lax.stop_gradient(logits), axis=-1)
    return jax.nn.logsumexp(log_p, axis=0, b=weights[:, None, None])


def ensemble_binary_logits(logits: Float[Array, "teachers batch classes"]) -> Float[Array, "batch classes"]:
    """Logit of the teachers' mean sigmoid, for losses that ask one binary question for each class (`soft_bce`).

    Args:
      logits: `(teachers, batch, classes)`; no gradient flows into them.

    Returns:
      `(batch, classes)`; finite also where a probability is too near 0 or 1 for its dtype.
    """
    chex.assert_rank(logits, 3)
    chex.assert_type(logits, jnp.floating)
    logits = jax.lax.stop_gradient(logits)
    yes, no = (jax.nn.logsumexp(jax.nn.log_sigmoid(sign * logits), axis=0) for sign in (1, -1))
    return yes - no
