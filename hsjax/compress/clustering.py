"""Weight clustering: every kernel has a few distinct values, its codebook (Han et al. 2016, "Deep Compression").

https://arxiv.org/abs/1510.00149. A weight is then an index of log2(k) bits. Exact zeros, of pruning, are a cluster of
their own, which stays at zero.
"""

import enum
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from hsjax.types import UserError

MOST = 256
"""Values of a codebook, of which an index is one byte."""


class Beginning(enum.Enum):
    """Where k-means begins.

    LINEAR: evenly over the range; of the paper's three it keeps large weights best. PLUS_PLUS: k-means++ (Arthur and
    Vassilvitskii 2007), each next one at a weight drawn by its squared distance to the nearest so far.
    """

    LINEAR = "linear"
    PLUS_PLUS = "k-means++"


class Codebook(NamedTuple):
    """A clustered kernel.

    Attributes:
      centroids: its distinct values; where there are fewer, the rest is 0 and nobody's.
      assigned: which of them each weight is.
      holds_zeros: whether the first one is that of exact zeros, which never moves.
    """

    centroids: Float[Array, " k"]
    assigned: UInt8[Array, "..."]
    holds_zeros: Bool[Array, ""]


@functools.partial(jax.jit, static_argnames=("k", "beginning", "iterations"))
def codebook(
    kernel: Float[Array, "..."], key: Array, *, k: int, beginning: Beginning, iterations: int = 100
) -> Codebook:
    """Cluster a kernel by k-means (Lloyd 1982) on its weights; one that has no more than k values keeps them.

    Args:
      kernel: any shape.
      key: of what k-means++ draws; the same key gives the same clusters.
      k: values, that of zeros included where there are any; 2 to `MOST`.
      beginning: see there.
      iterations: at most; it ends where no weight changes its cluster.

    Raises:
      UserError: k does not fit.
    """
    if not 2 <= k <= MOST:
        raise UserError(f"set the number of clusters from 2 to {MOST}, not to {k}")
    values = kernel.reshape(-1)
    counts = values != 0
    holds_zeros = jnp.any(~counts)
    free = k - holds_zeros
    start = _spread(values, counts, free, k) if beginning is Beginning.LINEAR else _drawn(values, counts, key, k)
    # What is not free lies at infinity, where it is nobody's nearest.
    start = jnp.sort(jnp.where(jnp.arange(k) < free, start, jnp.inf))
    own = jnp.unique(jnp.where(counts, values, jnp.inf), size=k + 1, fill_value=jnp.inf)
    start = jnp.where(jnp.sum(jnp.isfinite(own)) <= free, own[:k], start)

    def update(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        centroids, _, count = state
        moved = _moved(values, counts, _nearest(centroids, values), centroids)
        return moved, jnp.any(moved != centroids), count + 1

    def goes_on(state: tuple[Array, Array, Array]) -> Array:
        return state[1] & (state[2] < iterations)

    centroids, _, _ = jax.lax.while_loop(goes_on, update, (start, jnp.array(True), jnp.array(0)))
    assigned = jnp.where(counts, _nearest(centroids, values) + holds_zeros, 0)
    centroids = jnp.where(holds_zeros, jnp.concatenate([jnp.zeros(1), centroids[:-1]]), centroids)
    centroids = jnp.where(jnp.isfinite(centroids), centroids, 0.0)
    return Codebook(centroids, assigned.astype(jnp.uint8).reshape(kernel.shape), holds_zeros)


def clustered(book: Codebook) -> Float[Array, "..."]:
    """The kernel that a codebook stands for."""
    return book.centroids[book.assigned]


def summed(gradient: Float[Array, "..."], book: Codebook) -> Float[Array, "..."]:
    """For every weight, the gradient by its cluster's value: the sum of its members'; of zeros, 0.

    Args:
      gradient: by each weight as if it were its own.
      book: of the kernel.
    """
    total = jax.ops.segment_sum(_flat(gradient), _flat(book.assigned), len(book.centroids))
    return _without_zeros(total, book)[book.assigned]


def followed(book: Codebook, kernel: Float[Array, "..."]) -> Codebook:
    """The codebook once its weights have moved: each value by the mean of what its members did; zeros stay.

    Args:
      book: before.
      kernel: what an optimiser has made of `clustered(book)`.
    """
    moved = jax.ops.segment_sum(_flat(kernel - clustered(book)), _flat(book.assigned), len(book.centroids))
    members = jax.ops.segment_sum(jnp.ones(kernel.size), _flat(book.assigned), len(book.centroids))
    # Not the mean of the weights, whose rounding would move tens of thousands of equal ones a little in every step.
    return book._replace(centroids=book.centroids + _without_zeros(moved / jnp.maximum(members, 1), book))


def inertia(kernel: Float[Array, "..."], book: Codebook) -> Float[Array, ""]:
    """Sum of squared distances of the weights to their clusters' values: what k-means makes small."""
    return jnp.sum(jnp.square(kernel - clustered(book)))


def _flat(values: Array) -> Array:
    return values.reshape(-1)


def _without_zeros(values: Float[Array, " k"], book: Codebook) -> Float[Array, " k"]:
    return values.at[0].set(jnp.where(book.holds_zeros, 0.0, values[0]))


def _nearest(centroids: Float[Array, " k"], values: Float[Array, " n"]) -> Int[Array, " n"]:
    """The nearest of ascending centroids; between two, the lower."""
    return jnp.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)


def _moved(
    values: Float[Array, " n"], counts: Bool[Array, " n"], assigned: Int[Array, " n"], centroids: Float[Array, " k"]
) -> Float[Array, " k"]:
    """The mean of those that count in each cluster; an empty one goes to whoever is farthest from his."""
    k = len(centroids)
    members = jax.ops.segment_sum(counts.astype(values.dtype), assigned, k)
    # Of the differences, so that equal weights have exactly their value as mean.
    away = jax.ops.segment_sum(jnp.where(counts, values - centroids[assigned], 0.0), assigned, k)
    means = jnp.where(members > 0, centroids + away / jnp.maximum(members, 1), centroids)
    empty = (members == 0) & jnp.isfinite(centroids)

    def fill(means: Array) -> Array:
        distance, who = jax.lax.top_k(jnp.where(counts, jnp.abs(values - means[assigned]), 0.0), min(k, values.size))
        place = jnp.minimum(jnp.cumsum(empty) - 1, len(who) - 1)
        return jnp.sort(jnp.where(empty & (distance[place] > 0), values[who[place]], means))

    return jax.lax.cond(jnp.any(empty), fill, lambda means: means, means)


def _spread(values: Array, counts: Array, free: Array, k: int) -> Float[Array, " k"]:
    """`free` values evenly from the least to the largest, both included."""
    least = jnp.min(jnp.where(counts, values, jnp.inf), initial=jnp.inf)
    most = jnp.max(jnp.where(counts, values, -jnp.inf), initial=-jnp.inf)
    some = jnp.any(counts)
    least, most = jnp.where(some, least, 0.0), jnp.where(some, most, 0.0)
    return least + (most - least) * jnp.arange(k) / jnp.maximum(free - 1, 1)


def _drawn(values: Array, counts: Array, key: Array, k: int) -> Float[Array, " k"]:
    """k-means++; zeros are never drawn."""
    keys = jax.random.split(key, k)

    def draw(key: Array, weights: Array) -> Array:
        below = jnp.cumsum(weights)
        place = jnp.searchsorted(below, jax.random.uniform(key) * below[-1], side="right")
        return values[jnp.minimum(place, values.size - 1)]

    def add(number: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        centroids, distance = state
        centroid = draw(keys[number], jnp.where(counts, distance, 0.0))
        return centroids.at[number].set(centroid), jnp.minimum(distance, jnp.square(values - centroid))

    # The first is drawn from all alike.
    first = draw(keys[0], counts.astype(values.dtype))
    start = jnp.zeros(k).at[0].set(first), jnp.square(values - first)
    return jax.lax.fori_loop(1, k, add, start)[0]
