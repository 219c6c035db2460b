"""Features of overlapping frames of a stream: the tail that the next frames need is carried."""

import fractions
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from hsjax.dsp.frames import Padding, left_padding
from hsjax.dsp.frames import frame as whole_frame
from hsjax.dsp.streaming.stream import (
    Chunk,
    Count,
    Like,
    State,
    Stream,
    check_chunk,
    empty,
    ignore_before,
    ignore_from,
    onset,
    struct,
)


def frame(frame_length: int, hop_length: int, padding: Padding = Padding.CENTER) -> Stream:
    """Overlapping frames: `hsjax.dsp.frames.frame` as a stream, bit for bit.

    A frame comes with the chunk that holds its last sample. A NaN stays in the frames that hold its sample.

    Args:
      frame_length: samples per frame.
      hop_length: samples between frames; a chunk is a multiple of it.
      padding: what stands before and behind the signal; with NONE, a signal shorter than a frame has no frames here.

    Returns:
      The stream from samples to `(..., frames, frame_length)`.

    Raises:
      ValueError: as `windowed`.
    """

    def cut(samples: Array) -> Array:
        return whole_frame(samples, frame_length, hop_length, Padding.NONE)

    return windowed(cut, frame_length, hop_length, padding)


def windowed(
    function: Callable[[Array], Array],
    frame_length: int,
    hop_length: int,
    padding: Padding = Padding.CENTER,
    axis_out: int = -2,
) -> Stream:
    """Any function that looks at a signal through overlapping frames, each by itself, as a stream.

    Args:
      function: of `((n - 1) * hop_length + frame_length)` samples in the last axis, which are n frames without
        padding; to n items along `axis_out`.
      frame_length: samples per frame.
      hop_length: samples between frames; a chunk is a multiple of it.
      padding: what stands before and behind the signal; with NONE, a signal shorter than a frame has no frames here.
      axis_out: which axis of the result counts frames, negative.

    Returns:
      The stream from samples to what `function` returns. Its latency is `frame_latency`.

    Raises:
      ValueError: a length is not positive, the padding is CENTER_REFLECT, or `function` makes of one frame something
        else than one item.
    """
    frame_latency(frame_length, hop_length, padding)  # which says what is wrong
    one = jax.eval_shape(function, jax.ShapeDtypeStruct((frame_length,), jnp.float32)).shape
    if len(one) < -axis_out or one[axis_out] != 1:
        raise ValueError(f"want one item along axis {axis_out} from {frame_length} samples, got the shape {one}")
    left = left_padding(frame_length, padding)

    def after(skip: int) -> Stream:
        delay = -(-(skip + frame_length - left) // hop_length) - 1
        # Where the next frame begins, before the next chunk's first sample (behind it, where hops leave gaps).
        tail = delay * hop_length + left - skip

        def frames_of(samples: Array, frames: int) -> Array:
            begin = max(-tail, 0)
            samples = jax.lax.slice_in_dim(
                samples, begin, begin + (frames - 1) * hop_length + frame_length, axis=samples.ndim - 1
            )
            return function(samples)

        def init(chunk: Like) -> State:
            like = struct(chunk)
            return jnp.zeros((*like.shape[:-1], max(tail, 0)), like.dtype), onset(skip)

        def step(state: State, chunk: Chunk) -> tuple[State, Array]:
            check_chunk(chunk, hop_length, -1)
            before, begin = state
            begin, heard = ignore_before(begin, jnp.asarray(chunk), -1)
            samples = jnp.concatenate([before, heard], axis=-1)
            features = frames_of(samples, chunk.shape[-1] // hop_length)
            return (samples[..., samples.shape[-1] - max(tail, 0) :], begin), features

        def flush(state: State, rest: Chunk, count: Count) -> Array:
            before, begin = state
            _, heard = ignore_before(begin, ignore_from(count, jnp.asarray(rest), -1), -1)
            frames = int(flush_count(rest.shape[-1]))
            wanted = max(-tail, 0) + (max(frames, 1) - 1) * hop_length + frame_length
            behind = max(wanted - before.shape[-1] - rest.shape[-1], 0)
            silence = jnp.zeros((*rest.shape[:-1], behind), before.dtype)
            samples = jnp.concatenate([before, heard, silence], axis=-1)
            if frames > 0:
                return frames_of(samples, frames)
            given = jax.eval_shape(lambda some: frames_of(some, 1), samples)
            return empty(given.shape, given.dtype, axis_out)

        def flush_count(count: Count) -> Count:
            own = count - skip
            if padding is Padding.END:
                return delay - (-own // hop_length)
            inside = own + 2 * left - frame_length
            return delay + 1 + (-(-inside // hop_length) if padding is Padding.SCIPY else inside // hop_length)

        return Stream(
            init=init,
            step=step,
            flush=flush,
            flush_count=flush_count,
            after=after,
            multiple=hop_length,
            ratio=fractions.Fraction(1, hop_length),
            delay=delay,
            axis_out=axis_out,
        )

    return after(0)


def frame_latency(frame_length: int, hop_length: int, padding: Padding = Padding.CENTER) -> int:
    """By how many samples frames lag their place in the signal: what of a frame is right of that place, in whole hops.

    Frame t, whose place is sample `t * hop_length`, is there when `(t + 1) * hop_length + frame_latency` samples are.

    Args:
      frame_length: samples per frame.
      hop_length: samples between frames.
      padding: with CENTER, half a frame is right of its place; with NONE, all of it.

    Returns:
      Samples, a multiple of the hop.

    Raises:
      ValueError: a length is not positive, or the padding is CENTER_REFLECT.
    """
    if padding is Padding.CENTER_REFLECT:
        raise ValueError("want zeros or nothing before a stream: its mirror image is not there when it begins")
    if frame_length < 1 or hop_length < 1:
        raise ValueError(f"frame_length and hop_length must be positive, got {frame_length}, {hop_length}")
    right = frame_length - left_padding(frame_length, padding)
    return (-(-right // hop_length) - 1) * hop_length
