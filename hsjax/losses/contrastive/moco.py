"""MoCo: the negatives are keys of earlier batches, kept in a queue."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hsjax.losses.masked import mean, shown, unit
from hsjax.types import UserError

Scalar = float | Float[Array, ""]


class MoCoQueue(NamedTuple):
    """Keys of earlier batches. A pytree.

    Attributes:
      keys: `(size, dims)`, of length 1; only the first `filled` hold any.
      filled: how many slots were written so far, at most `size`.
      cursor: the slot that is written next, which holds the oldest key once all are filled.
    """

    keys: Float[Array, "size dims"]
    filled: Int[Array, ""]
    cursor: Int[Array, ""]


def init_queue(size: int, dims: int, dtype: jnp.dtype | type = jnp.float32) -> MoCoQueue:
    """An empty queue for `size` keys.

    Raises:
      UserError: there is room for no key.
    """
    if size < 1:
        raise UserError(f"a queue of {size} keys holds no negatives: give it a size of at least 1")
    return MoCoQueue(jnp.zeros((size, dims), dtype), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def info_nce(
    query: Float[Array, "batch dims"],
    key: Float[Array, "batch dims"],
    queue: MoCoQueue,
    mask: Float[Array, " batch"],
    temperature: Scalar,
) -> Float[Array, ""]:
    """Cross-entropy of picking the query's own key among it and the queue's.

    He et al. 2020, MoCo, equation 1 (https://arxiv.org/abs/1911.05722); the same in v2 (Chen et al. 2020,
    https://arxiv.org/abs/2003.04297), which changes the head, the augmentation and the temperature (.07 to .2).
    Averaged over the unmasked. Keys of the batch itself are no negatives: `enqueue` them afterwards.

    Args:
      query: the trained encoder's projections of one view, `(batch, dims)`; their lengths do not matter.
      key: the momentum encoder's of the other view; no gradient flows into them, nor into the queue.
      queue: negatives, of which only the filled part counts.
      mask: `(batch,)`, 0 for padding.
      temperature: divides the cosine similarities. Positive; may be traced.

    Returns:
      In nats; 0 as long as the queue is empty.
    """
    chex.assert_rank([query, key, queue.keys, mask], [2, 2, 2, 1])
    chex.assert_equal_shape([query, key])
    chex.assert_equal_shape_prefix([query, mask], 1)
    chex.assert_equal_shape_suffix([query, queue.keys], 1)
    chex.assert_type([query, key, queue.keys], jnp.floating)
    query = unit(shown(query, mask))
    key = jax.lax.stop_gradient(unit(shown(key, mask)))
    negatives = jax.lax.stop_gradient(queue.keys)
    attraction = jnp.sum(query * key, -1) / temperature
    # What accelerators round a product to by default is amplified by 1 / temperature.
    repulsion = jnp.matmul(query, negatives.T, precision=jax.lax.Precision.HIGHEST) / temperature
    repulsion = jnp.where(jnp.arange(len(negatives)) < queue.filled, repulsion, -jnp.inf)
    total = jax.nn.logsumexp(jnp.concatenate([attraction[:, None], repulsion], -1), -1)
    return mean(total - attraction, (mask > 0).astype(total.dtype))


def enqueue(queue: MoCoQueue, keys: Float[Array, "batch dims"], mask: Float[Array, " batch"]) -> MoCoQueue:
    """The queue after the batch's unmasked keys took the places of the oldest ones, in their order.

    Args:
      queue: before.
      keys: `(batch, dims)`; they are brought to length 1, and no gradient flows into them.
      mask: `(batch,)`, 0 for padding, which is not written.
    """
    chex.assert_rank([keys, mask], [2, 1])
    chex.assert_equal_shape_prefix([keys, mask], 1)
    chex.assert_equal_shape_suffix([keys, queue.keys], 1)
    size, some = len(queue.keys), mask > 0
    order = jnp.cumsum(some, dtype=jnp.int32) - 1
    count = jnp.sum(some, dtype=jnp.int32)
    # Of more keys than slots only the last remain: writing a slot twice would leave to the backend which one does.
    written = some & (order >= count - size)
    slot = jnp.where(written, (queue.cursor + order) % size, size)  # beyond the last slot, so dropped
    units = jax.lax.stop_gradient(unit(shown(keys, mask))).astype(queue.keys.dtype)
    return MoCoQueue(
        keys=queue.keys.at[slot].set(units, mode="drop"),
        filled=jnp.minimum(queue.filled + count, size),
        cursor=(queue.cursor + count) % size,
    )
