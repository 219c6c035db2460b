"""A function of an endless signal: a state, a step per chunk and an end; and how such functions follow each other.

What a stream gives for a chunk has a fixed shape, so that steps compile once and scan. But the first frame is complete
only some chunks after its first sample. A stream therefore runs late by a fixed number of items, its `delay`: all that
its steps and its end give, joined and without the first `delay` items, is what the function of the whole signal gives.
A stream that follows another one ignores those first items by itself.
"""

import dataclasses
import fractions
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Shaped

Chunk = Shaped[Array, "..."] | Shaped[np.ndarray, "..."]
Like = Chunk | jax.ShapeDtypeStruct
Count = int | Int[Array, ""]
State = Any  # a pytree of arrays


@dataclasses.dataclass(frozen=True)
class Stream:
    """A function of a whole signal in steps. Batch axes lead; an item is a sample, or a frame of features.

    Attributes:
      init: of a chunk, or a `jax.ShapeDtypeStruct` of its shape and dtype: the state of a stream that has heard
        nothing. To forget (a NaN in a recursion stays forever) is to begin again with it.
      step: of the state and the next chunk: the next state and the next items, `chunk * ratio` of them.
      flush: of the state, the rest of the signal (any length, also none) and how many of its items count (a number,
        which may be traced): the last items. Of these `flush_count(count)` count; what is behind is arbitrary.
      flush_count: of the number of items in the rest.
      after: of a number of items: this stream when that many items are to be ignored at its beginning.
      multiple: a chunk is a positive multiple of so many items.
      ratio: items given for one that is taken.
      delay: items to drop at the beginning of the output.
      axis_in: the axis of the input along which items follow each other, negative.
      axis_out: that of the output.
    """

    init: Callable[[Like], State]
    step: Callable[[State, Chunk], tuple[State, Array]]
    flush: Callable[[State, Chunk, Count], Array]
    flush_count: Callable[[Count], Count]
    after: Callable[[int], "Stream"]
    multiple: int = 1
    ratio: fractions.Fraction = fractions.Fraction(1)
    delay: int = 0
    axis_in: int = -1
    axis_out: int = -1

    @property
    def latency(self) -> int:
        """By how many input items the output lags, before the wait for a chunk to be full.

        Output item t, which belongs to input item `t / ratio`, is there with the chunk that holds input item
        `(t + 1) / ratio + latency - 1`, or is so at the latest.
        """
        return math.ceil(self.delay / self.ratio)


def chain(*streams: Stream) -> Stream:
    """One stream of several, each taking what the one before gives.

    Args:
      *streams: at least one; what the first takes, the chain takes.

    Returns:
      The stream whose state is the tuple of theirs, and whose delay includes theirs.

    Raises:
      ValueError: no stream, or one that takes items along another axis than the one before gives them.
    """
    if not streams:
        raise ValueError("want at least one stream to chain, got none")
    linked = [streams[0]]
    for following in streams[1:]:
        if following.axis_in != linked[-1].axis_out:
            raise ValueError(
                f"stream {len(linked)} of the chain takes items along axis {following.axis_in}, "
                f"but the one before gives them along axis {linked[-1].axis_out}"
            )
        linked.append(following.after(linked[-1].delay))
    multiple, ratio = 1, fractions.Fraction(1)
    for link in linked:
        items = multiple * ratio  # so many reach this link at once
        multiple *= link.multiple // math.gcd(link.multiple, int(items))
        ratio *= link.ratio
    first, last = linked[0], linked[-1]

    def init(chunk: Like) -> State:
        states = []
        for link in linked:
            state = link.init(chunk)
            states.append(state)
            chunk = jax.eval_shape(link.step, state, struct(chunk))[1]
        return tuple(states)

    def step(state: State, chunk: Chunk) -> tuple[State, Array]:
        check_chunk(chunk, multiple, first.axis_in)
        states, items = [], chunk
        for link, old in zip(linked, state, strict=True):
            new, items = link.step(old, items)
            states.append(new)
        return tuple(states), jnp.asarray(items)

    def flush(state: State, rest: Chunk, count: Count) -> Array:
        items = rest
        for link, old in zip(linked, state, strict=True):
            items, count = link.flush(old, items, count), link.flush_count(count)
        return jnp.asarray(items)

    def flush_count(count: Count) -> Count:
        for link in linked:
            count = link.flush_count(count)
        return count

    return Stream(
        init=init,
        step=step,
        flush=flush,
        flush_count=flush_count,
        after=lambda skip: chain(streams[0].after(skip), *streams[1:]),
        multiple=multiple,
        ratio=ratio,
        delay=last.delay,
        axis_in=first.axis_in,
        axis_out=last.axis_out,
    )


def each(function: Callable[[Array], Array], axis_in: int = -1, axis_out: int | None = None) -> Stream:
    """A function that takes every item by itself, a logarithm or a change of axes, as a stream without state.

    Args:
      function: of an array with any positive number of items along an axis.
      axis_in: that axis, negative.
      axis_out: the same axis of the result; `axis_in` where None.

    Returns:
      The stream; its delay is that of what comes before.
    """
    axis_out = axis_in if axis_out is None else axis_out

    def step(state: State, chunk: Chunk) -> tuple[State, Array]:
        check_chunk(chunk, 1, axis_in)
        return state, function(jnp.asarray(chunk))

    def flush(state: State, rest: Chunk, count: Count) -> Array:
        if rest.shape[axis_in] > 0:
            return function(jnp.asarray(rest))
        one = list(rest.shape)
        one[axis_in] = 1
        given = jax.eval_shape(function, jax.ShapeDtypeStruct(tuple(one), rest.dtype))
        return empty(given.shape, given.dtype, axis_out)

    def after(skip: int) -> Stream:
        return Stream(
            init=lambda chunk: (),
            step=step,
            flush=flush,
            flush_count=lambda count: count,
            after=after,
            delay=skip,
            axis_in=axis_in,
            axis_out=axis_out,
        )

    return after(0)


def in_chunks(stream: Stream, samples: Shaped[Array, "..."], chunk: int) -> Array:
    """What the stream makes of a whole signal, chunk after chunk under `jax.lax.scan`, and its rest.

    Equal to the function of the whole signal, with the memory of one chunk beside input and output. Use it inside
    `jit`, or every call compiles its scan anew.

    Args:
      stream: which function.
      samples: the signal, of any length, along the axis that the stream takes.
      chunk: items of a step, a multiple of `stream.multiple`.

    Returns:
      All output items.

    Raises:
      ValueError: no items, or a chunk that is not a positive multiple of `stream.multiple`.
    """
    time = samples.shape[stream.axis_in]
    if time == 0:
        raise ValueError("want at least one sample, got none")
    axis = stream.axis_in % samples.ndim
    steps = time // chunk if chunk > 0 else 0
    like = struct(samples, axis, chunk)
    check_chunk(like, stream.multiple, stream.axis_in)
    state, outputs = stream.init(like), []
    if steps:
        whole = jax.lax.slice_in_dim(samples, 0, steps * chunk, axis=axis)
        shape = whole.shape
        chunks = jnp.moveaxis(whole.reshape(*shape[:axis], steps, chunk, *shape[axis + 1 :]), axis, 0)
        state, items = jax.lax.scan(stream.step, state, chunks)
        place = items.ndim + stream.axis_out
        items = jnp.moveaxis(items, 0, place - 1)
        outputs.append(items.reshape(*items.shape[: place - 1], -1, *items.shape[place + 1 :]))
    rest = jax.lax.slice_in_dim(samples, steps * chunk, time, axis=axis)
    outputs.append(stream.flush(state, rest, time - steps * chunk))
    joined = jnp.concatenate(outputs, axis=stream.axis_out)
    late = min(stream.delay, joined.shape[stream.axis_out])
    return jax.lax.slice_in_dim(joined, late, None, axis=stream.axis_out % joined.ndim)


# What the streams themselves are made with.


def check_chunk(chunk: Like, multiple: int, axis: int) -> None:
    """Raises ValueError where a chunk is not a positive multiple of some items."""
    length = chunk.shape[axis]
    if length < 1 or length % multiple:
        raise ValueError(f"want chunks of a positive multiple of {multiple} items along axis {axis}, got {length}")


def struct(chunk: Like, axis: int = -1, length: int | None = None) -> jax.ShapeDtypeStruct:
    """Shape and dtype of a chunk, or of one of another length."""
    shape = list(chunk.shape)
    if length is not None:
        shape[axis] = length
    return jax.ShapeDtypeStruct(tuple(shape), jax.dtypes.canonicalize_dtype(chunk.dtype))


def floating_dtype(chunk: Like) -> np.dtype:
    """The dtype that `hsjax.dsp.inputs.floating` computes in."""
    return jnp.promote_types(jax.dtypes.canonicalize_dtype(chunk.dtype), jnp.float32)


def empty(shape: tuple[int, ...], dtype: jax.typing.DTypeLike, axis: int) -> Array:
    """No items."""
    shape_of_none = list(shape)
    shape_of_none[axis] = 0
    return jnp.zeros(shape_of_none, dtype)


def onset(skip: int) -> Int[Array, ""] | None:
    """How many items are still to be ignored: a part of the state, and nothing where nothing is to be ignored."""
    return jnp.asarray(skip, jnp.int32) if skip else None


def ignore_before(
    begin: Int[Array, ""] | None, items: Array, axis: int, fill: float = 0.0
) -> tuple[Int[Array, ""] | None, Array]:
    """What is still to be ignored after these items, and the items with the ignored ones replaced."""
    if begin is None:
        return None, items
    left = jnp.maximum(begin - items.shape[axis], 0)
    return left, jnp.where(places(items, axis) < begin, jnp.asarray(fill, items.dtype), items)


def ignore_from(count: Count, items: Array, axis: int) -> Array:
    """Items with those from `count` on replaced by zeros."""
    if isinstance(count, int) and count >= items.shape[axis]:
        return items
    return jnp.where(places(items, axis) < count, items, jnp.zeros((), items.dtype))


def places(items: Array, axis: int) -> Int[Array, "..."]:
    """0, 1, ... along an axis."""
    return jax.lax.broadcasted_iota(jnp.int32, items.shape, axis % items.ndim)
