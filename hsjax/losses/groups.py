"""Losses over groups of examples, such as sub-datasets: what counts is how badly off a group is, not its size."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hsjax.losses.logits import Scalar


class Risks(NamedTuple):
    """The loss of each group in a batch. A pytree.

    Attributes:
      mean: by weight; 0 where the batch has nothing of a group.
      present: whether it has.
    """

    mean: Float[Array, " groups"]
    present: Bool[Array, " groups"]


def risks(
    values: Float[Array, " batch"], weight: Float[Array, " batch"], group: Int[Array, " batch"], num_groups: int
) -> Risks:
    """Mean loss of each group's examples.

    Args:
      values: losses of examples; where the weight is 0 they may be anything.
      weight: of the examples, 0 where masked.
      group: of the examples, 0 to `num_groups` - 1; where the weight is 0 it may be anything.
      num_groups: that there are.
    """
    chex.assert_rank([values, weight, group], 1)
    chex.assert_equal_shape([values, weight, group])
    counted = weight > 0
    member = jax.nn.one_hot(jnp.where(counted, group, -1), num_groups, dtype=values.dtype)
    total = jnp.matmul(weight, member, precision=jax.lax.Precision.HIGHEST)
    # where, not a product alone: a masked example may hold anything, and 0 * inf is not 0.
    summed = jnp.matmul(jnp.where(counted, values, 0.0) * weight, member, precision=jax.lax.Precision.HIGHEST)
    present = total > 0
    return Risks(summed / jnp.where(present, total, 1.0), present)


def group_dro(found: Risks, share: Float[Array, " groups"], step: Scalar) -> tuple[Float[Array, ""], Array]:
    """Sum of the groups' losses by shares that grow where the loss is high (distributionally robust optimisation).

    Sagawa et al. 2020, algorithm 1, https://arxiv.org/abs/1911.08731: each share is multiplied by exp(step * loss),
    the shares are scaled to sum to 1, and the loss is weighed with the new ones. Groups that the batch lacks keep
    theirs before scaling; those present are counted by their shares among each other, so that the size of the
    gradient does not depend on who is missing.

    Args:
      found: losses of the groups.
      share: of each, not negative, sum 1; 1 / groups to begin with.
      step: of the shares; 0 leaves them as they are, the paper has 0.01. May be traced.

    Returns:
      The loss (no gradient by the shares; 0 of an empty batch), and the shares after.
    """
    chex.assert_equal_shape([found.mean, found.present, share])
    risk = jax.lax.stop_gradient(jnp.where(found.present, found.mean, 0.0))
    # The largest exponent is taken out: whatever the loss, nothing overflows.
    grown = jnp.log(jnp.maximum(share, jnp.finfo(share.dtype).tiny)) + step * risk
    after = jnp.where(jnp.any(found.present), jax.nn.softmax(grown), share)
    here = jnp.where(found.present, after, 0.0)
    here = here / jnp.maximum(jnp.sum(here), jnp.finfo(share.dtype).tiny)
    return jnp.sum(here * found.mean), after


def v_rex(found: Risks, penalty: Scalar) -> Float[Array, ""]:
    """Mean of the groups' losses plus `penalty` times their variance (V-REx).

    Krueger et al. 2021, equation 8, https://arxiv.org/abs/2003.00688, over the groups that the batch has; divided by
    the penalty where that is above 1, as in the authors' program, so that the step stays as long.

    Args:
      found: losses of the groups.
      penalty: beta; 0 is the mean over groups. May be traced.
    """
    chex.assert_equal_shape([found.mean, found.present])
    present = found.present.astype(found.mean.dtype)
    count = jnp.maximum(jnp.sum(present), 1.0)
    mean = jnp.sum(present * found.mean) / count
    variance = jnp.sum(present * jnp.square(found.mean - mean)) / count
    return (mean + penalty * variance) / jnp.maximum(penalty, 1.0)
