"""DIST: probabilities that correlate with the teacher's, over classes and over examples, without equalling them."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.losses import masked
from hsjax.losses.correlation import pearson
from hsjax.losses.logits import Scalar, check_pair, check_softmax


def dist(
    logits: Float[Array, "batch classes"],
    teacher_logits: Float[Array, "batch classes"],
    mask: Float[Array, " batch"],
    temperature: Scalar,
    beta: Scalar,
    gamma: Scalar,
) -> Float[Array, ""]:
    """T^2 (beta inter + gamma intra), mean of 1 - correlation of probabilities (Huang et al. 2022).

    https://arxiv.org/abs/2205.10536. Inter: Pearson's correlation of student and teacher over the classes of an
    example, averaged over examples. Intra: over the examples of the batch for a class, averaged over classes. The
    factor T^2, as Hinton's, is in the authors' code.

    With two classes the probabilities are p and 1 - p, and the inter term's correlation can only be 1 or -1: it tells
    whether both prefer the same class, and has no gradient. The intra term is as good as with more.

    Args:
      logits: the student's, `(batch, classes)`.
      teacher_logits: `(batch, classes)`; no gradient flows into them.
      mask: `(batch,)`, 0 for padding.
      temperature: T, which divides both logits before the softmax. Positive; may be traced.
      beta: weight of the inter term; may be traced.
      gamma: weight of the intra term; may be traced.

    Returns:
      A scalar. A correlation with probabilities that are all equal counts as 0, without a gradient; the intra term of
      fewer than two examples is 0.

    Raises:
      UserError: for a single class.
    """
    chex.assert_rank(mask, 1)
    check_pair(logits, teacher_logits)
    check_softmax(logits)
    some = (mask > 0).astype(logits.dtype)
    teacher_logits = jax.lax.stop_gradient(teacher_logits)
    student, teacher = (jax.nn.softmax(masked.shown(x, mask) / temperature, axis=-1) for x in (logits, teacher_logits))
    inter = masked.mean(1 - pearson(student, teacher), some)
    if logits.shape[1] == 2:
        # The gradient of a correlation of two numbers is rounding error, and large where they are nearly equal.
        inter = jax.lax.stop_gradient(inter)
    intra = jnp.mean(1 - pearson(student.T, teacher.T, some))
    intra = jnp.where(jnp.sum(some) > 1, intra, 0.0)
    return temperature**2 * (beta * inter + gamma * intra)
