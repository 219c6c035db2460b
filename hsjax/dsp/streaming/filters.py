"""Filters and sample rate conversion over a stream.

What needs the whole signal has no place here: the zero-phase filter runs backwards from its end, and a mean to remove
is known then. A high-pass of second-order sections takes the mean off as it goes.
"""

import fractions

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.dsp.frames import Padding, frame
from hsjax.dsp.inputs import floating
from hsjax.dsp.polyphase import AntiAlias, low_pass, ratio
from hsjax.dsp.sos import Form, initial_state, sos_filter_with_state
from hsjax.dsp.state_space import state_space
from hsjax.dsp.streaming.stream import (
    Chunk,
    Count,
    Like,
    State,
    Stream,
    check_chunk,
    each,
    floating_dtype,
    ignore_before,
    ignore_from,
    onset,
)

_BLOCK = 64  # samples that one matrix product filters together
_LARGEST_MATRIX = 1 << 24  # entries


def sos_filter(sections: Float[np.ndarray, "sections 6"], form: Form = Form.BLOCK) -> Stream:
    """Causal recursive filter: `hsjax.dsp.sos.sos_filter` as a stream, without latency.

    A sample that is not finite makes everything from it on NaN, for good: begin again with `init` to recover.

    Args:
      sections: `(sections, 6)`, host array (`butterworth`).
      form: how it is computed; SCAN equals the whole signal's bit for bit, BLOCK to rounding.

    Returns:
      The stream from samples to as many samples.

    Raises:
      ValueError: the sections are not second-order sections of a stable filter.
    """
    state_space(sections)

    def after(skip: int) -> Stream:
        def init(chunk: Like) -> State:
            return initial_state(sections, chunk.shape[:-1], floating_dtype(chunk)), onset(skip)

        def step(state: State, chunk: Chunk) -> tuple[State, Array]:
            check_chunk(chunk, 1, -1)
            carried, begin = state
            begin, heard = ignore_before(begin, floating(jnp.asarray(chunk)), -1)
            filtered, carried = sos_filter_with_state(heard, sections, carried, form)
            return (carried, begin), filtered

        def flush(state: State, rest: Chunk, count: Count) -> Array:
            samples = floating(jnp.asarray(rest))
            return step(state, ignore_from(count, samples, -1))[1] if rest.shape[-1] else samples

        return Stream(init=init, step=step, flush=flush, flush_count=lambda count: count, after=after, delay=skip)

    return after(0)


def fir_filter(taps: Float[np.ndarray, " taps"]) -> Stream:
    """Causal convolution: `hsjax.dsp.fir.fir_filter` as a stream, without latency, equal to rounding.

    A sample that is not finite makes the outputs that it is multiplied into not finite, and others up to 63 samples
    around; then it is over.

    Args:
      taps: `(taps,)`, host array.

    Returns:
      The stream from samples to as many samples.

    Raises:
      ValueError: no taps.
    """
    if len(taps) == 0:
        raise ValueError("want at least one tap, got none")
    return _polyphase(np.asarray(taps, np.float64), 0, 1, 1)


def resample(rate_in: float | int, rate_out: float | int, anti_alias: AntiAlias = AntiAlias.SCIPY) -> Stream:
    """Samples at another rate: `hsjax.dsp.polyphase.resample` as a stream, equal to rounding.

    Output belongs to its input without delay, so that the stream must wait for what its low-pass sees of the future:
    10 periods of the slower rate with `AntiAlias.SCIPY`. A sample that is not finite spoils what it is multiplied into
    and what is computed with that; then it is over.

    Args:
      rate_in: Hz.
      rate_out: Hz.
      anti_alias: the low-pass filter.

    Returns:
      The stream from samples to `up / down` times as many; a chunk is a multiple of `down`.

    Raises:
      ValueError: a rate that is not positive, or rates whose ratio has no small numerator and denominator.
    """
    up, down = ratio(rate_in, rate_out)
    if up == down:
        return each(floating)
    if max(up, down) ** 2 > _LARGEST_MATRIX:
        raise ValueError(f"a ratio of {up} to {down} is too fine: choose rates with a larger common divisor")
    taps = low_pass(up, down, anti_alias)
    return _polyphase(taps, len(taps) // 2, up, down)


def _polyphase(taps: Float[np.ndarray, " taps"], lead: int, up: int, down: int) -> Stream:
    """`y[j] = sum_i x[i] taps[lead + j * down - i * up]`, as many as `ceil(time * up / down)`."""

    def after(skip: int) -> Stream:
        delay = (lead + skip * up) // down
        tail = (delay * down + len(taps) - 1 - lead) // up - skip

        def filtered(samples: Array, outputs: int) -> Array:
            """Of the tail and what follows it."""
            blocks_wanted = -(-outputs // up)  # of `down` input samples, `up` output samples
            repeats = min(-(-_BLOCK // down), blocks_wanted)
            blocks = -(-blocks_wanted // repeats)
            hop = repeats * down
            source = np.arange(tail + hop)[:, None] - tail - skip
            place = lead + (np.arange(repeats * up)[None, :] - delay) * down - source * up
            inside = (place >= 0) & (place < len(taps))
            kernel = np.where(inside, taps[np.clip(place, 0, len(taps) - 1)], 0.0)
            missing = tail + blocks * hop - samples.shape[-1]
            pad = [(0, 0)] * (samples.ndim - 1)
            samples = jnp.pad(samples, [*pad, (0, max(missing, 0))])[..., : tail + blocks * hop]
            rows = frame(samples, tail + hop, hop, Padding.NONE)
            products = jnp.matmul(rows, jnp.asarray(kernel, rows.dtype), precision=jax.lax.Precision.HIGHEST)
            return products.reshape(*samples.shape[:-1], -1)[..., :outputs]

        def init(chunk: Like) -> State:
            return jnp.zeros((*chunk.shape[:-1], tail), floating_dtype(chunk)), onset(skip)

        def step(state: State, chunk: Chunk) -> tuple[State, Array]:
            check_chunk(chunk, down, -1)
            before, begin = state
            begin, heard = ignore_before(begin, floating(jnp.asarray(chunk)), -1)
            samples = jnp.concatenate([before, heard], axis=-1)
            outputs = chunk.shape[-1] * up // down
            return (samples[..., samples.shape[-1] - tail :], begin), filtered(samples, outputs)

        def flush(state: State, rest: Chunk, count: Count) -> Array:
            before, begin = state
            _, heard = ignore_before(begin, ignore_from(count, floating(jnp.asarray(rest)), -1), -1)
            outputs = int(flush_count(rest.shape[-1]))
            samples = jnp.concatenate([before, heard], axis=-1)
            return filtered(samples, outputs) if outputs > 0 else samples[..., :0]

        def flush_count(count: Count) -> Count:
            return delay - (-(count - skip) * up // down)

        return Stream(
            init=init,
            step=step,
            flush=flush,
            flush_count=flush_count,
            after=after,
            multiple=down,
            ratio=fractions.Fraction(up, down),
            delay=delay,
        )

    return after(0)
