"""BYOL: predict what a slowly following copy of the network makes of the other view."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.losses.masked import unit


def byol(prediction: Float[Array, "batch dims"], target: Float[Array, "batch dims"]) -> Float[Array, " batch"]:
    """Squared distance 2 - 2 cos of prediction and target, both brought to length 1.

    Grill et al. 2020, equation 2 (https://arxiv.org/abs/2006.07733). The paper adds the same loss with the views
    exchanged. There are no negatives, so it is a loss of each example.

    Args:
      prediction: the predictor's output for one view, `(batch, dims)`.
      target: the target network's projection of the other view; no gradient flows into it.

    Returns:
      `(batch,)`, 0 to 4; 2 where either vector is zero.
    """
    chex.assert_rank([prediction, target], 2)
    chex.assert_equal_shape([prediction, target])
    chex.assert_type([prediction, target], jnp.floating)
    return 2 - 2 * jnp.sum(unit(prediction) * unit(jax.lax.stop_gradient(target)), -1)
