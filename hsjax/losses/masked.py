"""What losses over a batch share: padding that reaches neither value nor gradient, and lengths that may be zero."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped


def shown(values: Shaped[Array, " batch *rest"], mask: Float[Array, " batch"]) -> Shaped[Array, " batch *rest"]:
    """`values` with zeros for masked examples, which may hold anything: neither inf nor NaN gets past."""
    return jnp.where((mask > 0).reshape(-1, *[1] * (values.ndim - 1)), values, jnp.zeros((), values.dtype))


def mean(values: Float[Array, "*shape"], weight: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Mean by weight of what has a weight above 0; 0 where nothing has, with zero gradient."""
    # where, not a product alone: a masked example may hold anything, and 0 * inf is not 0.
    total = jnp.sum(jnp.where(weight > 0, values, 0.0) * weight)
    return total / jnp.maximum(jnp.sum(weight), jnp.finfo(values.dtype).tiny)


def unit(vectors: Float[Array, "*batch dims"]) -> Float[Array, "*batch dims"]:
    """Vectors of length 1 in the same direction; zero stays zero, and its gradient too. NaN stays NaN."""
    # Squares of tiny and of huge numbers leave the range of floats.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(vectors), -1, keepdims=True))
    zero = largest <= jnp.finfo(vectors.dtype).tiny  # not its negation: NaN is neither, and must not be hidden
    scaled = vectors / jnp.where(zero, 1.0, largest)
    square = jnp.sum(jnp.square(scaled), -1, keepdims=True)
    return jnp.where(zero, 0.0, scaled * jax.lax.rsqrt(jnp.where(zero, 1.0, square)))


def pairs(mask: Float[Array, " batch"]) -> Float[Array, "batch batch"]:
    """1 for every pair of two different examples of which neither is masked, else 0."""
    some = (mask > 0).astype(mask.dtype)
    return some[:, None] * some[None, :] * (1 - jnp.eye(len(mask), dtype=mask.dtype))
