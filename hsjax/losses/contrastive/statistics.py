"""Statistics over the unmasked examples of a batch."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hsjax.losses.masked import shown


def centred(
    values: Float[Array, "batch dims"], mask: Float[Array, " batch"]
) -> tuple[Float[Array, "batch dims"], Int[Array, ""]]:
    """`values` less their mean over the unmasked examples, zeros for the masked; and how many are unmasked."""
    values, count = shown(values, mask), jnp.sum(mask > 0)
    average = jnp.sum(values, 0) / jnp.maximum(count, 1).astype(values.dtype)
    return shown(values - average, mask), count


def square_off_diagonal(matrix: Float[Array, "dims dims"]) -> Float[Array, ""]:
    """Sum of the squares of what is not on the diagonal."""
    return jnp.sum(jnp.square(jnp.where(jnp.eye(len(matrix), dtype=bool), 0.0, matrix)))
