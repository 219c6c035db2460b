"""What losses on logits share: checks of their arguments, and the target class against all others."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hsjax.types import UserError

Scalar = float | Float[Array, ""]
"""A constant of a loss; may be traced, so that one compiled step serves a whole grid."""


def check_softmax(logits: Float[Array, "batch classes"]) -> None:
    """Asserts that `logits` have a softmax that says something.

    Raises:
      UserError: for a single class, whose softmax is 1 whatever the network says.
    """
    chex.assert_rank(logits, 2)
    chex.assert_type(logits, jnp.floating)
    if logits.shape[1] < 2:
        raise UserError(
            "Give the network one logit per class (at least 2), or train its single logit with bce, soft_bce or focal: "
            "the softmax of one logit is always 1, so this loss could not move it."
        )


def check_pair(logits: Float[Array, "batch classes"], teacher_logits: Float[Array, "batch classes"]) -> None:
    """Asserts that the logits of a student and its teacher are of the same examples and classes."""
    chex.assert_rank([logits, teacher_logits], 2)
    chex.assert_equal_shape([logits, teacher_logits])
    chex.assert_type([logits, teacher_logits], jnp.floating)


def binary(logits: Float[Array, "batch classes"]) -> Float[Array, "batch questions"]:
    """Logits of binary questions: of two classes the one whether it is the second, else one for each class.

    The sigmoid of the difference of two logits is their softmax's probability of the second class.

    Args:
      logits: `(batch, classes)`.

    Returns:
      `(batch, 1)` for two classes, else `logits`.
    """
    chex.assert_rank(logits, 2)
    return logits[:, 1:] - logits[:, :1] if logits.shape[1] == 2 else logits


def others(logits: Float[Array, "batch classes"], label: Int[Array, " batch"]) -> Float[Array, "batch classes"]:
    """1 for every class but the target, 0 for that, in the dtype of `logits`."""
    return 1 - jax.nn.one_hot(label, logits.shape[1], dtype=logits.dtype)


def target_and_rest(
    logits: Float[Array, "batch classes"], label: Int[Array, " batch"]
) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    """Logarithms of the softmax's probability of the target class, and of all other classes together.

    Neither is computed as 1 minus the other, so both are finite, with finite gradients, however sure the network is.

    Args:
      logits: `(batch, classes)`, at least 2 classes.
      label: `(batch,)`, integer classes.

    Returns:
      Two arrays `(batch,)`.
    """
    log_p = jax.nn.log_softmax(logits, axis=-1)
    target = jnp.take_along_axis(log_p, label[:, None], axis=-1)[:, 0]
    return target, jax.nn.logsumexp(log_p, axis=-1, where=others(logits, label) > 0)
