"""Mixtures of two examples of a batch, of their inputs and of their labels: mixup and cutmix.

The label is left to the loss: with `mixed, partner, weight`, an example's loss is
`weight * loss(logits, label) + (1 - weight) * loss(logits, label[partner])`, for indices and one-hot rows alike.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from hsjax.dsp.augment.draw import Scalar, working


class Mixed(NamedTuple):
    """A batch of mixtures. A pytree.

    Attributes:
      samples: `(batch, ...)`.
      partner: `(batch,)`, the index of the example mixed in. Its own where an example is masked or alone.
      weight: `(batch,)`, the part that is the example itself, 0 to 1; the partner's is the rest. 1 where masked.
    """

    samples: Float[Array, " batch *rest"]
    partner: Int[Array, " batch"]
    weight: Float[Array, " batch"]


def mixup(
    key: Key[Array, ""],
    samples: Float[Array, " batch *rest"],
    alpha: Scalar,
    mask: Shaped[Array, " batch"] | None = None,
) -> Mixed:
    """Convex combinations of pairs of examples (Zhang et al. 2018, arXiv:1710.09412), a weight for each pair.

    Args:
      key: of this batch.
      samples: `(batch, ...)`, signals or features. A NaN spreads to the one example whose partner holds it.
      alpha: the weight is drawn from Beta(alpha, alpha); 0 changes nothing. May be traced.
      mask: `(batch,)`, 0 or False for examples that are padding: these stay as they are and are nobody's partner.

    Returns:
      The mixtures; samples of the same shape and dtype.

    Raises:
      ValueError: an empty batch.
    """
    values, valid = working(samples), _valid(samples, mask)
    for_pairs, for_weight = jax.random.split(key)
    partner = _partners(for_pairs, valid)
    weight = jnp.where(valid, _beta(for_weight, alpha, values), 1.0)
    share = weight.reshape(-1, *[1] * (values.ndim - 1))
    # where, not a product: what is not mixed may hold anything, and 0 * inf is not 0.
    mixed = jnp.where(share < 1, share * values + (1 - share) * values[partner], values)
    return Mixed(mixed.astype(samples.dtype), partner, weight)


def cutmix(
    key: Key[Array, ""],
    samples: Float[Array, "batch *rest time"],
    alpha: Scalar,
    mask: Shaped[Array, " batch"] | None = None,
) -> Mixed:
    """Examples with one stretch of time replaced by the same stretch of a partner (Yun et al. 2019, arXiv:1905.04899).

    The stretch is as long as the drawn weight leaves, rounded to whole samples, and lies anywhere it fits; the
    weight returned is that of the stretch as it is.

    Args:
      key: of this batch.
      samples: `(batch, ..., time)`, signals or features; the last axis is cut. A NaN goes where its stretch goes.
      alpha: the part that stays is drawn from Beta(alpha, alpha); 0 changes nothing. May be traced.
      mask: as for `mixup`.

    Returns:
      The mixtures; samples of the same shape and dtype.

    Raises:
      ValueError: an empty batch.
    """
    values, valid = working(samples), _valid(samples, mask)
    time = values.shape[-1]
    for_pairs, for_weight, for_start = jax.random.split(key, 3)
    partner = _partners(for_pairs, valid)
    kept = jnp.where(valid, _beta(for_weight, alpha, values), 1.0)
    width = jnp.round((1 - kept) * time).astype(jnp.int32)
    start = jax.random.randint(for_start, width.shape, 0, time - width + 1)
    place = jnp.arange(time)
    replaced = (place >= start[:, None]) & (place < (start + width)[:, None])
    replaced = replaced.reshape(-1, *[1] * (values.ndim - 2), time)
    mixed = jnp.where(replaced, values[partner], values)
    return Mixed(mixed.astype(samples.dtype), partner, 1 - width.astype(values.dtype) / time)


def _valid(samples: Shaped[Array, " batch *rest"], mask: Shaped[Array, " batch"] | None) -> Bool[Array, " batch"]:
    return jnp.ones(samples.shape[0], bool) if mask is None else jnp.asarray(mask) > 0


def _partners(key: Key[Array, ""], valid: Bool[Array, " batch"]) -> Int[Array, " batch"]:
    """A random cycle through the valid examples: each is the partner of exactly one other. The rest have themselves."""
    order = jnp.argsort(jnp.where(valid, jax.random.uniform(key, valid.shape), jnp.inf))
    rank = jnp.argsort(order)
    following = jnp.where(rank + 1 < jnp.sum(valid), rank + 1, 0)
    return jnp.where(valid, order[following], jnp.arange(valid.size))


def _beta(key: Key[Array, ""], alpha: Scalar, like: Float[Array, " batch *rest"]) -> Float[Array, " batch"]:
    """Beta(alpha, alpha), one for each example; 1 where alpha is 0."""
    alpha = jnp.asarray(alpha, like.dtype)
    drawn = jax.random.beta(key, jnp.where(alpha > 0, alpha, 1.0), jnp.where(alpha > 0, alpha, 1.0), like.shape[:1])
    return jnp.where(alpha > 0, drawn.astype(like.dtype), 1.0)
