"""The most probable states of a hidden semi-Markov model whose states follow each other in a circle.

Duration-dependent Viterbi decoding, Schmidt et al., Physiol. Meas. 31:513, 2010, with first and last states seen in
part, Springer et al., IEEE Trans. Biomed. Eng. 63:822, 2016. Every state has one predecessor, so a step costs
`states * longest` additions. Forward it keeps nothing but the best score of a state ending at each frame; which
duration gave it is found again on the way back, for the few frames that end a state on the best path.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Int8

from hsjax.dsp.segmentation.durations import Durations


class Path(NamedTuple):
    """What `viterbi` finds. A pytree.

    Attributes:
      states: `(..., frames)`, 1 to the number of states (`hsjax.types.HeartState`), 0 behind a recording's length.
      log_probability: `(...)`, joint log-probability (density) of path and emissions.
    """

    states: Int8[Array, "*batch frames"]
    log_probability: Float[Array, "*batch"]


@jax.jit
def viterbi(
    log_emission: Float[Array, "*batch frames states"],
    durations: Durations,
    lengths: Int[Array, "*batch"] | None = None,
) -> Path:
    """The best path through states that follow each other in a circle, 1, 2, ..., states, 1, ...

    A path is a division of the frames into segments of neighbouring states. Its log-probability is the sum of the
    emissions of its frames, `durations.first` of the first segment, `durations.last` of the last one and
    `durations.whole` of those between; a path of one segment counts `durations.first` alone.

    Args:
      log_emission: `(..., frames, states)`, log-probability or density of what is heard in a frame in each state, up to
        a constant per frame. A frame with a NaN tells nothing: it counts 0 for all states.
      durations: `(..., states, longest)` each, batch axes as those of `log_emission`.
      lengths: `(...)`, frames of each recording; all where None.

    Returns:
      States and log-probability; -inf, and meaningless states, where no path is possible. A recording of length 0 has
      log-probability 0.

    Raises:
      ValueError: shapes that do not fit, no frame or no duration.
    """
    *batch, frames, states = log_emission.shape
    longest = durations.whole.shape[-1]
    if frames < 1 or longest < 1:
        raise ValueError(f"want at least one frame and one duration, got {frames} and {longest}")
    for name, table in durations._asdict().items():
        if table.shape != (*batch, states, longest):
            raise ValueError(f"durations.{name} is {table.shape}, want {(*batch, states, longest)}")
    lengths = jnp.full(batch, frames) if lengths is None else jnp.asarray(lengths).astype(int)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[len(batch) :]), (log_emission, durations, lengths))
    path = jax.vmap(_decode)(*flat)
    return jax.tree.map(lambda x: x.reshape(*batch, *x.shape[1:]), path)


def _decode(log_emission: Float[Array, "frames states"], durations: Durations, length: Int[Array, ""]) -> Path:
    """`viterbi` of one recording."""
    frames, states = log_emission.shape
    longest = durations.whole.shape[-1]
    told = (jnp.arange(frames) < length) & ~jnp.isnan(log_emission).any(axis=-1)
    emission = jnp.where(told[:, None], log_emission, 0.0)
    first = _first_segment(emission, durations.first)
    best = _forward(emission, first, durations.whole)

    # Padded in front, so that windows of the last `longest` frames exist everywhere; nothing ends before the beginning.
    ended = jnp.pad(best, [(longest, 0), (0, 0)], constant_values=-jnp.inf)
    heard = jnp.pad(emission, [(longest, 0), (0, 0)])

    def scores(end: Int[Array, ""], log_duration: Float[Array, "states longest"]) -> Float[Array, "states longest"]:
        """Of a segment of every state and duration behind the best path before it, ending in frame `end`."""
        window = jax.lax.dynamic_slice_in_dim(heard, end + 1, longest)[::-1]
        before = jax.lax.dynamic_slice_in_dim(ended, end, longest)[::-1]
        return (jnp.cumsum(window, axis=0) + jnp.roll(before, 1, axis=1)).T + log_duration

    end = length - 1
    closing = scores(end, durations.last)
    only = first[jnp.maximum(end, 0)]
    final = jnp.maximum(closing.max(axis=-1), only)
    state = final.argmax()
    duration = jnp.where(only[state] >= closing[state].max(), length, closing[state].argmax() + 1)

    def step(carry):
        end, state, duration, mark = carry
        mark = mark.at[end].set((state + 1).astype(jnp.int8))
        end, state = end - duration, (state - 1) % states
        inner = scores(end, durations.whole)[state]
        duration = jnp.where(first[jnp.maximum(end, 0), state] >= inner.max(), end + 1, inner.argmax() + 1)
        return end, state, duration, mark

    carry = (end, state, duration, jnp.zeros(frames, jnp.int8))
    mark = jax.lax.while_loop(lambda carry: carry[0] >= 0, step, carry)[-1]
    # A mark stands in the last frame of each segment: a frame belongs to the next one.
    segment_end = jax.lax.cummin(jnp.where(mark > 0, jnp.arange(frames), frames - 1), reverse=True)
    found = jnp.where(jnp.arange(frames) < length, mark[segment_end], 0).astype(jnp.int8)
    return Path(found, jnp.where(length > 0, final[state], 0.0))


def _first_segment(
    emission: Float[Array, "frames states"], log_first: Float[Array, "states longest"]
) -> Float[Array, "frames states"]:
    """Score of the first segment lasting up to and with each frame."""
    frames, longest = len(emission), log_first.shape[-1]
    seen = jnp.cumsum(emission[:longest], axis=0) + log_first.T[:frames]
    return jnp.pad(seen, [(0, max(frames - longest, 0)), (0, 0)], constant_values=-jnp.inf)


def _forward(
    emission: Float[Array, "frames states"],
    first: Float[Array, "frames states"],
    log_whole: Float[Array, "states longest"],
) -> Float[Array, "frames states"]:
    """Score of the best path that ends a whole state with each frame.

    The carry holds, for every state and duration so far, the best path in it without its duration's probability: each
    frame moves it on by one duration and adds the frame's emission. Sums never grow and cancel, as differences of
    cumulative sums over a long recording would.
    """

    def step(carry, frame):
        running, entry = carry
        heard, opening = frame
        running = jnp.concatenate([entry[:, None], running[:, :-1]], axis=1) + heard[:, None]
        best = jnp.maximum((running + log_whole).max(axis=1), opening)
        return (running, jnp.roll(best, 1)), best

    nothing = jnp.full_like(log_whole, -jnp.inf)
    return jax.lax.scan(step, (nothing, nothing[:, 0]), (emission, first))[1]
