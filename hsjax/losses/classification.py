"""Losses of logits against true classes."""

import chex
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Real

from hsjax.losses.logits import Scalar, check_softmax, target_and_rest
from hsjax.types import UserError


def cross_entropy(
    logits: Float[Array, "batch classes"], label: Int[Array, " batch"], label_smoothing: Scalar = 0.0
) -> Float[Array, " batch"]:
    """Cross-entropy of the softmax of `logits` against the true class, in nats.

    With smoothing s the target is (1 - s) onehot(label) + s / classes (Szegedy et al. 2016, section 7,
    https://arxiv.org/abs/1512.00567).

    Args:
      logits: `(batch, classes)`.
      label: `(batch,)`, integer classes.
      label_smoothing: s, 0 to 1; may be traced.

    Returns:
      `(batch,)`. With smoothing, the smallest value is the target's entropy, not zero.

    Raises:
      UserError: for a single class.
    """
    chex.assert_rank([logits, label], [2, 1])
    chex.assert_type([logits, label], [jnp.floating, jnp.integer])
    check_softmax(logits)
    hard = optax.losses.softmax_cross_entropy_with_integer_labels(logits, label)
    uniform = -jnp.mean(jax.nn.log_softmax(logits, axis=-1), axis=-1)
    return (1 - label_smoothing) * hard + label_smoothing * uniform


def bce(
    logits: Float[Array, "batch classes"], label: Int[Array, " batch"], positive_weight: Scalar = 1.0
) -> Float[Array, " batch"]:
    """Binary cross-entropy of the sigmoid of `logits`, in nats.

    A single logit is that of class 1 against class 0. Several are one binary question each, whether the example is of
    that class, and their losses are averaged (Wightman et al. 2021, https://arxiv.org/abs/2110.00476, with one-hot
    targets). optax's `sigmoid_binary_cross_entropy` has no weight of the positive side.

    Args:
      logits: `(batch, 1)` or `(batch, classes)`.
      label: `(batch,)`, 0 or 1 for a single logit, else integer classes.
      positive_weight: factor on the losses whose target is 1, as PyTorch's `pos_weight`; negatives over positives
        balances them. May be traced.

    Returns:
      `(batch,)`.
    """
    chex.assert_rank([logits, label], [2, 1])
    chex.assert_type([logits, label], [jnp.floating, jnp.integer])
    classes = logits.shape[1]
    target = (label[:, None] if classes == 1 else jax.nn.one_hot(label, classes)).astype(logits.dtype)
    positive = positive_weight * target * jax.nn.log_sigmoid(logits)
    return -jnp.mean(positive + (1 - target) * jax.nn.log_sigmoid(-logits), axis=-1)


def focal(
    logits: Float[Array, "batch classes"],
    label: Int[Array, " batch"],
    gamma: Scalar,
    alpha: Float[Array, " labels"] | None = None,
) -> Float[Array, " batch"]:
    """Focal loss -alpha_t (1 - p_t)^gamma log p_t (Lin et al. 2017, equation 5, https://arxiv.org/abs/1708.02002).

    p_t is the probability of the true class: by the sigmoid for a single logit, as in the paper, else by the softmax.
    optax's `sigmoid_focal_loss` does the first; it has no softmax.

    Args:
      logits: `(batch, 1)` or `(batch, classes)`.
      label: `(batch,)`, 0 or 1 for a single logit, else integer classes.
      gamma: how much less well classified examples count; 0 is cross-entropy, the paper uses 2. Not negative; may be
        traced.
      alpha: weight of each class, `(2,)` for a single logit, else `(classes,)`; the paper's alpha = 0.25 is
        `[0.75, 0.25]`. See `class_balanced_weights`. None for 1.

    Returns:
      `(batch,)`. Finite, and so is its gradient, where p_t is 0 or 1.
    """
    chex.assert_rank([logits, label], [2, 1])
    chex.assert_type([logits, label], [jnp.floating, jnp.integer])
    classes = logits.shape[1]
    if classes == 1:
        values = optax.losses.sigmoid_focal_loss(logits[:, 0], label, gamma=gamma)
    else:
        target, rest = target_and_rest(logits, label)
        values = -jnp.exp(gamma * rest) * target
    if alpha is None:
        return values
    chex.assert_shape(alpha, (max(classes, 2),))
    return alpha[label] * values


def class_balanced_weights(count: Real[Array, " classes"], beta: Scalar) -> Float[Array, " classes"]:
    """Weight of each class by its effective number of examples: (1 - beta) / (1 - beta^n) (Cui et al. 2019).

    https://arxiv.org/abs/1901.05555; scaled as there so that the weights sum to the number of classes. Used
    as `focal`'s alpha, or as `weights[label]` on any other loss of examples.

    Args:
      count: n, examples of each class in the training part, `(classes,)`.
      beta: 0 gives all classes the same weight, values towards 1 the inverse of their counts; the paper tries 0.9,
        0.99, 0.999 and 0.9999. Below 1; may be traced.

    Returns:
      `(classes,)`. A class without examples has weight 0, and the others still sum to the number of classes.

    Raises:
      UserError: for a beta outside [0, 1) where it is not traced.
    """
    chex.assert_rank(count, 1)
    if isinstance(beta, float) and not 0 <= beta < 1:
        raise UserError(f"Set beta of the class-balanced weights to at least 0 and less than 1, not {beta}.")
    count = jnp.asarray(count, jnp.result_type(count, float))
    some = count > 0
    # expm1 and log1p: near beta = 1 both 1 - beta^n and log(beta) lose most of their digits.
    effective = -jnp.expm1(jnp.where(some, count, 1) * jnp.log1p(beta - 1)) / (1 - beta)
    weight = jnp.where(some, 1 / effective, 0)
    return weight * (len(count) / jnp.maximum(jnp.sum(weight), jnp.finfo(weight.dtype).tiny))
