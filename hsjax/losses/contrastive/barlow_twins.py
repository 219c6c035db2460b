"""Barlow Twins: each dimension agrees between the views and with no other dimension."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.losses.contrastive.statistics import centred, square_off_diagonal
from hsjax.losses.masked import shown

Scalar = float | Float[Array, ""]


def barlow_twins(
    first: Float[Array, "batch dims"],
    second: Float[Array, "batch dims"],
    mask: Float[Array, " batch"],
    off_diagonal: Scalar = 5e-3,
) -> Float[Array, ""]:
    """Squared distance of the views' cross-correlation matrix from the identity.

    Zbontar et al. 2021, equations 1 and 2 (https://arxiv.org/abs/2103.03230): sum of (1 - C_ii)^2 plus
    `off_diagonal` (lambda) times the sum of C_ij^2, where C_ij correlates dimension i of one view with dimension j of
    the other over the unmasked examples. No epsilon is added to the deviations; a dimension that does not vary
    correlates with nothing, and gets no gradient.

    Args:
      first: projections of one view, `(batch, dims)`.
      second: of the other view, row by row of the same examples.
      mask: `(batch,)`, 0 for padding, which is in no statistic.
      off_diagonal: lambda, .005 in the paper; may be traced.

    Returns:
      A sum over dimensions and their pairs; 0 with fewer than two unmasked examples, which have no correlation.
    """
    chex.assert_rank([first, second, mask], [2, 2, 1])
    chex.assert_equal_shape([first, second])
    chex.assert_equal_shape_prefix([first, mask], 1)
    chex.assert_type([first, second], jnp.floating)
    correlation = jnp.matmul(
        _standardised(first, mask).T, _standardised(second, mask), precision=jax.lax.Precision.HIGHEST
    )
    loss = jnp.sum(jnp.square(1 - jnp.diagonal(correlation))) + off_diagonal * square_off_diagonal(correlation)
    return jnp.where(jnp.sum(mask > 0) > 1, loss, 0.0)


def _standardised(values: Float[Array, "batch dims"], mask: Float[Array, " batch"]) -> Float[Array, "batch dims"]:
    """Every dimension less its mean and with a sum of squares of 1, so that products are correlations."""
    deviation, _ = centred(values, mask)
    square = jnp.sum(jnp.square(deviation), 0)
    # Of a constant, rounding of the mean leaves a little, which would be blown up to a deviation of 1.
    rounding = 100 * jnp.finfo(values.dtype).eps
    constant = square <= rounding**2 * jnp.sum(jnp.square(shown(values, mask)), 0)
    return jnp.where(constant, 0.0, deviation * jax.lax.rsqrt(jnp.where(constant, 1.0, square)))
