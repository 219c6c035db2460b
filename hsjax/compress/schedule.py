"""How sparsity grows during training."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def polynomial_sparsity(
    step: Int[Array, ""] | int,
    begin: int,
    end: int,
    final: Float[Array, ""] | float,
    initial: Float[Array, ""] | float = 0.0,
    power: float = 3.0,
) -> Float[Array, ""]:
    """The sparsity that is due after a number of steps: fast at first, while there is much to spare, then slowly.

    s_f + (s_i - s_f) (1 - (t - t_0) / (t_1 - t_0))^3, held at s_i before t_0 and at s_f after t_1 (Zhu and Gupta 2017,
    https://arxiv.org/abs/1710.01878, equation 1).

    Args:
      step: t, optimiser steps taken.
      begin: t_0.
      end: t_1; at least `begin`, and where it is the same, all is due at once.
      final: s_f, fraction of zeros in the end.
      initial: s_i, fraction of zeros at the beginning.
      power: 3 in the paper; 1 is a line.
    """
    left = 1.0 - jnp.clip((step - begin) / max(end - begin, 1), 0.0, 1.0)
    grown = final + (initial - final) * left**power
    return jnp.where(step >= end, final, jnp.where(step < begin, initial, grown))
