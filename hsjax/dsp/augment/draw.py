"""What every augmentation does with its key, its strength and its batch.

A strength is a number, taken as it is, or a pair `(low, high)`, drawn from uniformly. Numbers may be traced arrays, so
that a schedule or a sweep of strengths compiles once.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, Real, Shaped

from hsjax.dsp.inputs import floating

Scalar = float | int | Real[Array, ""]
Range = Scalar | tuple[Scalar, Scalar]
Augmentation = Callable[..., Shaped[Array, "..."]]


def working(samples: Shaped[Array, "*channels time"]) -> Float[Array, "*channels time"]:
    """The samples of one example in the dtype they are computed in; half precision is computed in float32.

    Raises:
      TypeError: integers.
      ValueError: no samples.
    """
    samples = floating(samples)
    if samples.ndim < 1 or samples.size < 1:
        raise ValueError(f"want at least one sample to augment, got shape {samples.shape}")
    return samples


def draw(key: Key[Array, ""], strength: Range, dtype: jnp.dtype) -> Float[Array, ""]:
    """The strength of one example: the number itself, or uniform between the two.

    Raises:
      ValueError: a range of Python numbers the wrong way round.
    """
    if not isinstance(strength, tuple):
        return jnp.asarray(strength, dtype)
    low, high = _ordered(strength)
    return jax.random.uniform(key, (), dtype, jnp.asarray(low, dtype), jnp.asarray(high, dtype))


def draw_integer(key: Key[Array, ""], strength: Range) -> Int[Array, ""]:
    """As `draw`, of the whole numbers, both ends included.

    Raises:
      ValueError: as `draw`.
    """
    if not isinstance(strength, tuple):
        return jnp.asarray(strength).astype(jnp.int32)
    low, high = (jnp.asarray(end).astype(jnp.int32) for end in _ordered(strength))
    return jax.random.randint(key, (), low, high + 1)


def happens(key: Key[Array, ""], probability: Scalar) -> Bool[Array, ""]:
    """True with a probability; never at 0, always at 1."""
    return jax.random.uniform(key, (), jnp.float32) < probability


def sometimes(augmentation: Augmentation, probability: Scalar) -> Augmentation:
    """The augmentation with a probability, otherwise the example as it is.

    Both are computed, for the choice is made per example inside the compiled program.

    Args:
      augmentation: `(key, samples, ...) -> samples` of the same shape.
      probability: 0 to 1, may be traced.

    Returns:
      A function of the same arguments.
    """

    def apply(key: Key[Array, ""], samples: Shaped[Array, "..."], *arguments, **options) -> Shaped[Array, "..."]:
        choose, inside = jax.random.split(key)
        changed = augmentation(inside, samples, *arguments, **options)
        return jnp.where(happens(choose, probability), changed, samples)

    return apply


def batched(augmentation: Augmentation) -> Augmentation:
    """The augmentation of one example, for a batch of them, each with its own key.

    Example `i` gets `fold_in(key, i)`, so what it meets does not depend on the size of the batch.

    Args:
      augmentation: `(key, samples, ...) -> samples`.

    Returns:
      `(key, batch, ...) -> batch`; all further arguments are shared by the examples.
    """

    def apply(key: Key[Array, ""], batch: Shaped[Array, "..."], *arguments, **options) -> Shaped[Array, "..."]:
        def one(index: Int[Array, ""], samples: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
            return augmentation(jax.random.fold_in(key, index), samples, *arguments, **options)

        return jax.vmap(one)(jnp.arange(batch.shape[0]), batch)

    return apply


def _ordered(strength: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
    low, high = strength
    if isinstance(low, float | int) and isinstance(high, float | int) and low > high:
        raise ValueError(f"want a range from low to high, got ({low:g}, {high:g})")
    return low, high
