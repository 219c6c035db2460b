"""VICReg: views agree, every dimension varies, no two vary together."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.losses.contrastive.statistics import centred, square_off_diagonal
from hsjax.losses.masked import mean, shown

Scalar = float | Float[Array, ""]

# Section 4.1: the deviation every dimension should have, and what keeps its root's gradient finite.
_DEVIATION, _EPSILON = 1.0, 1e-4


def vicreg(
    first: Float[Array, "batch dims"],
    second: Float[Array, "batch dims"],
    mask: Float[Array, " batch"],
    invariance: Scalar = 25.0,
    variance: Scalar = 25.0,
    covariance: Scalar = 1.0,
) -> Float[Array, ""]:
    """Variance-invariance-covariance regularisation of two views.

    Bardes, Ponce and LeCun 2022 (https://arxiv.org/abs/2105.04906), as in their algorithm 1: `invariance` times the
    mean squared difference, plus, summed over both views, `variance` times the mean over dimensions of
    max(0, 1 - sqrt(Var + 1e-4)), and `covariance` times the squared covariances of different dimensions over `dims`.
    Variance and covariance divide by n - 1. (Their equation 5 sums the squared difference over dimensions, for which
    the weights are not meant; and their published code halves the variance term.)

    Args:
      first: projections of one view, `(batch, dims)`.
      second: of the other view, row by row of the same examples.
      mask: `(batch,)`, 0 for padding, which is in no statistic.
      invariance: weight of the first term; may be traced, as may the others.
      variance: weight of the second.
      covariance: weight of the third.

    Returns:
      The sum. With fewer than two unmasked examples the variance and covariance terms are 0.
    """
    chex.assert_rank([first, second, mask], [2, 2, 1])
    chex.assert_equal_shape([first, second])
    chex.assert_equal_shape_prefix([first, mask], 1)
    chex.assert_type([first, second], jnp.floating)
    square = jnp.mean(jnp.square(shown(first, mask) - shown(second, mask)), -1)
    loss = invariance * mean(square, (mask > 0).astype(square.dtype))
    for view in (first, second):
        deviation, count = centred(view, mask)
        freedom = jnp.maximum(count - 1, 1).astype(deviation.dtype)
        spread = jnp.sqrt(jnp.sum(jnp.square(deviation), 0) / freedom + _EPSILON)
        hinge = jnp.mean(jax.nn.relu(_DEVIATION - spread))
        matrix = jnp.matmul(deviation.T, deviation, precision=jax.lax.Precision.HIGHEST) / freedom
        terms = variance * hinge + covariance * square_off_diagonal(matrix) / view.shape[-1]
        loss = loss + jnp.where(count > 1, terms, 0.0)
    return loss
