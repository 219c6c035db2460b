"""Recursive filters (second-order sections): causal, zero-phase, and over chunks with carried state.

A recursion over samples is the slowest thing an accelerator, or a vector unit, can be given. The default form therefore
works on blocks: within a block the output is a matrix product of the block's input with the impulse response, plus
what the state at the block's beginning rings on to; the states at the blocks' beginnings follow from each other in the
same manner, over groups of blocks, and so on. Everything is matrix products designed on the host in float64. The
zero-phase filter, forward and backward, is a single such pass: its impulse response is symmetric, so that every block
needs one state from the left and one from the right.
"""

import enum

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float, Int, Shaped

from hsjax.dsp.inputs import floating
from hsjax.dsp.state_space import StateSpace, powers, state_space

_BLOCK = 64  # samples; a block costs 64 + 4 * states multiplications a sample
_GROUP = 16  # blocks whose states are found together


class Form(enum.Enum):
    """How a recursion is computed; the values agree to rounding."""

    SCAN = "scan"  # sample after sample
    BLOCK = "block"  # matrix products over blocks


class Extension(enum.Enum):
    """How a recording goes on beyond its ends; the values are SciPy's `padtype`."""

    NONE = "none"
    ODD = "odd"  # mirrored in time and in level about the end
    EVEN = "even"  # mirrored in time
    CONSTANT = "constant"  # the last value held


def sos_filter(
    samples: Shaped[Array, "*batch time"], sections: Float[np.ndarray, "sections 6"], form: Form = Form.BLOCK
) -> Float[Array, "*batch time"]:
    """Causal recursive filter with zero initial state: `scipy.signal.sosfilt(sections, samples)`.

    A sample that is not finite makes everything from it on NaN.

    Args:
      samples: `(..., time)`.
      sections: `(sections, 6)`, host array (`butterworth`).
      form: how it is computed.

    Returns:
      `(..., time)`.

    Raises:
      ValueError: no samples, or the sections are not second-order sections of a stable filter.
    """
    samples = floating(samples)
    return sos_filter_with_state(samples, sections, initial_state(sections, samples.shape[:-1], samples.dtype), form)[0]


def sos_filter_with_state(
    samples: Shaped[Array, "*batch time"],
    sections: Float[np.ndarray, "sections 6"],
    state: Float[Array, "*batch states"],
    form: Form = Form.BLOCK,
) -> tuple[Float[Array, "*batch time"], Float[Array, "*batch states"]]:
    """Causal recursive filter over one chunk of a stream; chunk after chunk equals the whole at once.

    Args:
      samples: `(..., time)`, the next chunk, of any length.
      sections: `(sections, 6)`, host array.
      state: `(..., states)`: `initial_state` at first, then what the last call returned. It is in coordinates of its
        own, for SciPy's `zi` does not survive float32 when an edge is low; `direct_form_state` converts.
      form: how it is computed.

    Returns:
      `(..., time)` and the state after the chunk.

    Raises:
      ValueError: no samples, or the sections are not second-order sections of a stable filter.
    """
    samples = floating(samples)
    system = state_space(sections)
    if samples.shape[-1] == 0:
        raise ValueError("want at least one sample to filter, got none")
    # A matrix product would spread a NaN over its block, the past included: it is kept out, and put back afterwards.
    finite = jnp.isfinite(samples)
    run = _causal_scan if form is Form.SCAN else _causal_blocks
    filtered, after = run(jnp.where(finite, samples, 0), system, state)
    time = samples.shape[-1]
    place = jnp.arange(time)
    first_bad = jnp.min(jnp.where(finite, time, place), axis=-1, keepdims=True)
    return jnp.where(place < first_bad, filtered, jnp.nan), jnp.where(first_bad == time, after, jnp.nan)


def initial_state(
    sections: Float[np.ndarray, "sections 6"], batch_shape: tuple[int, ...] = (), dtype: jax.typing.DTypeLike = float
) -> Float[Array, "..."]:
    """The state of a filter that has heard nothing yet: zeros `(*batch_shape, states)`."""
    return jnp.zeros((*batch_shape, len(state_space(sections).gain)), dtype)


def direct_form_state(
    state: Float[Array, "*batch states"], sections: Float[np.ndarray, "sections 6"]
) -> Float[Array, "*batch sections 2"]:
    """The carried state as SciPy has it: `zi` of `scipy.signal.sosfilt`, with its batch axes leading.

    Args:
      state: `(..., states)`, of `sos_filter_with_state`.
      sections: `(sections, 6)`, host array.

    Returns:
      `(..., sections, 2)`.
    """
    converted = _times(state, state_space(sections).to_direct_form.T)
    return converted.reshape(*state.shape[:-1], len(sections), 2)


def from_direct_form_state(
    zi: Float[Array, "*batch sections 2"], sections: Float[np.ndarray, "sections 6"]
) -> Float[Array, "*batch states"]:
    """The state to carry that SciPy's `zi` (batch axes leading) means: the inverse of `direct_form_state`.

    `from_direct_form_state(jnp.asarray(scipy.signal.sosfilt_zi(sections)), sections) * samples[..., :1]` begins a
    stream as if its first sample had always been there.
    """
    return _times(zi.reshape(*zi.shape[:-2], 2 * len(sections)), state_space(sections).from_direct_form.T)


def default_padding_length(sections: Float[np.ndarray, "sections 6"]) -> int:
    """Samples that `scipy.signal.sosfiltfilt` pads on both sides if not told otherwise."""
    taps = 2 * len(sections) + 1
    return 3 * int(taps - min((sections[:, 2] == 0).sum(), (sections[:, 5] == 0).sum()))


def zero_phase(
    samples: Shaped[Array, "*batch time"],
    sections: Float[np.ndarray, "sections 6"],
    *,
    lengths: Int[Array, "*batch"] | Int[np.ndarray, "*batch"] | None = None,
    padding: Extension = Extension.ODD,
    padding_length: int | None = None,
    form: Form = Form.BLOCK,
) -> Float[Array, "*batch time"]:
    """Forward and backward through a recursive filter, without delay: `scipy.signal.sosfiltfilt(sections, samples)`.

    The ends are padded and both passes begin in the steady state of their first value, as SciPy's do. A sample that is
    not finite makes its whole recording not finite; silence stays silence.

    Args:
      samples: `(..., time)`.
      sections: `(sections, 6)`, host array (`butterworth`).
      lengths: `(...)`, samples of each recording when recordings of different length are padded to one; the first
        `length` values are what the recording alone would give, whatever lies behind it, and zeros follow. A
        recording not longer than the padding gives NaN (zeros if its length is 0).
      padding: how a recording goes on beyond its ends.
      padding_length: samples padded on both sides; as SciPy chooses if None. Ignored by `Extension.NONE`.
      form: how it is computed.

    Returns:
      `(..., time)`.

    Raises:
      ValueError: `time` is not greater than the padding, or the sections are not second-order sections of a stable
        filter.
    """
    samples = floating(samples)
    system = state_space(sections)
    if not isinstance(padding, Extension):
        raise ValueError(f"want a member of Extension for padding, got {padding!r}")
    pad = default_padding_length(sections) if padding_length is None else padding_length
    pad = 0 if padding is Extension.NONE else pad
    time = samples.shape[-1]
    if pad < 0 or time <= pad:
        raise ValueError(f"want more samples than the padding of {pad}, got {time}")
    run = _zero_phase_scan if form is Form.SCAN else _zero_phase_blocks
    if lengths is None:
        head, tail = _beyond(samples[..., : pad + 1], padding), _beyond(samples[..., ::-1][..., : pad + 1], padding)
        extended = jnp.concatenate([head[..., ::-1], samples, tail], axis=-1)
        return run(extended, jnp.zeros((), int), system)[..., pad : pad + time]

    # Aligned to their ends, the recordings of a batch end where arrays end; what is before them is 0 after the level
    # of their first padded value is taken off, which a filter at rest does not notice.
    lengths = jnp.clip(jnp.asarray(lengths), 0, time)
    head = _beyond(samples[..., : pad + 1], padding)[..., ::-1]
    aligned = _window(jnp.concatenate([jnp.zeros_like(samples), head, samples], axis=-1), lengths, time + pad)
    tail = _beyond(aligned[..., ::-1][..., : pad + 1], padding)
    filtered = run(jnp.concatenate([aligned, tail], axis=-1), time - lengths, system)[..., pad : pad + time]
    filtered = jnp.where((lengths > pad)[..., None], filtered, jnp.nan)
    filtered = _window(jnp.concatenate([filtered, jnp.zeros_like(samples)], axis=-1), time - lengths, time)
    return jnp.where(jnp.arange(time) < lengths[..., None], filtered, 0)


def _beyond(end: Float[Array, "*batch padded"], padding: Extension) -> Float[Array, "*batch pad"]:
    """What follows beyond an end, outwards, given the end itself and its neighbours inwards."""
    if padding is Extension.ODD:
        return 2 * end[..., :1] - end[..., 1:]
    if padding is Extension.EVEN:
        return end[..., 1:]
    return jnp.broadcast_to(end[..., :1], end[..., 1:].shape)


def _window(samples: Float[Array, "*batch time"], start: Int[Array, "*batch"], length: int) -> Float[Array, "*batch w"]:
    """`length` samples of every recording from its own start on."""
    rows = samples.reshape(-1, samples.shape[-1])
    cut = jax.vmap(lambda row, first: jax.lax.dynamic_slice(row, (first,), (length,)))(rows, start.reshape(-1))
    return cut.reshape(*samples.shape[:-1], length)


def _times(left: Float[Array, "*batch k"], right: Float[np.ndarray, "k n"]) -> Float[Array, "*batch n"]:
    return jnp.matmul(left, jnp.asarray(right, left.dtype), precision=jax.lax.Precision.HIGHEST)


# Sample after sample: the definition.


def _causal_scan(samples, system: StateSpace, state):
    transition, gain, readout = (
        jnp.asarray(part, samples.dtype) for part in (system.transition.T, system.gain, system.readout)
    )

    def step(state, x):
        y = jnp.matmul(state, readout, precision=jax.lax.Precision.HIGHEST) + system.direct * x
        return jnp.matmul(state, transition, precision=jax.lax.Precision.HIGHEST) + x[..., None] * gain, y

    state, filtered = jax.lax.scan(step, state, jnp.moveaxis(samples, -1, 0))
    return jnp.moveaxis(filtered, 0, -1), state


def _zero_phase_scan(extended, begin, system: StateSpace):
    steady = jnp.asarray(system.steady, extended.dtype)
    place = jnp.arange(extended.shape[-1])
    first = jnp.take_along_axis(extended, jnp.broadcast_to(begin[..., None], (*extended.shape[:-1], 1)), axis=-1)
    extended = jnp.where(place < begin[..., None], first, extended)  # at rest until it begins
    forward, _ = _causal_scan(extended, system, first * steady)
    backward, _ = _causal_scan(forward[..., ::-1], system, forward[..., -1:] * steady)
    return backward[..., ::-1]


# Block after block: the same as matrix products.


def _toeplitz(values: Float[np.ndarray, " lags"], block: int) -> Float[np.ndarray, "block block"]:
    """`(block, block)`: row = input, column = output, `values[output - input]`, 0 where the output is earlier."""
    return np.asarray(scipy.linalg.toeplitz(np.r_[values[0], np.zeros(block - 1)], values))


def _states(increments, transition: Float[np.ndarray, "n n"], state):
    """The states before every block and after the last: `s[k + 1] = transition s[k] + increments[k]`.

    Args:
      increments: `(..., blocks, n)`.
      transition: over one block.
      state: `(..., n)`, before the first block.

    Returns:
      `(..., blocks + 1, n)`.
    """
    *batch, blocks, n = increments.shape
    group = min(_GROUP, blocks + 1)
    groups = -(-(blocks + 1) // group)
    rows = jnp.pad(increments, [(0, 0)] * len(batch) + [(0, groups * group - blocks), (0, 0)])
    rows = rows.reshape(*batch, groups, group * n)
    over = powers(transition, group + 1)
    within = np.zeros((group, n, group + 1, n))  # from increment j to the state before block k of a group
    for j in range(group):
        for k in range(j + 1, group + 1):
            within[j, :, k, :] = over[k - 1 - j].T
    local = _times(rows, within[:, :, :-1].reshape(group * n, group * n))
    if groups == 1:
        starts = state[..., None, :]
    else:
        into = _times(rows[..., :-1, :], within[:, :, -1].reshape(group * n, n))
        starts = _states(into, over[-1], state)
    carried = _times(starts, np.concatenate([power.T for power in over[:-1]], axis=1))
    return (local + carried).reshape(*batch, groups * group, n)[..., : blocks + 1, :]


def _causal_blocks(samples, system: StateSpace, state):
    *batch, time = samples.shape
    block = min(_BLOCK, time)
    whole = time // block * block  # the rest goes in a block of its own length, so that the last state is at the end
    if whole < time:
        head, state = _causal_blocks(samples[..., :whole], system, state)
        tail, state = _causal_blocks(samples[..., whole:], system, state)
        return jnp.concatenate([head, tail], axis=-1), state
    over = system.powers(block + 1)
    response = np.r_[system.direct, [system.readout @ over[lag] @ system.gain for lag in range(block - 1)]]
    into = np.stack([over[block - 1 - j] @ system.gain for j in range(block)])  # (block, n)
    out = np.stack([system.readout @ over[k] for k in range(block)], axis=1)  # (n, block)
    rows = samples.reshape(*batch, time // block, block)
    states = _states(_times(rows, into), over[-1], state)
    filtered = _times(rows, _toeplitz(response, block)) + _times(states[..., :-1, :], out)
    return filtered.reshape(samples.shape), states[..., -1, :]


def _zero_phase_blocks(extended, begin, system: StateSpace):
    # Forward `s' = A s + B x, y = C s + D x`; backward over y `w = A w' + B y'`, `z = C w + D y`. With the X that
    # solves X = A X A + B C, `v = w - X s'` obeys `v = A v' + G x'`, G = A X B + D B: it hears x alone, and
    # `z = C v + E s + F x` with E = C X A + D C and F = C X B + D D.
    a, b, c, d = system.transition, system.gain, system.readout, system.direct
    n = len(b)
    x = np.linalg.solve(np.eye(n * n) - np.kron(a, a.T), np.outer(b, c).ravel()).reshape(n, n)
    g, e, f = a @ x @ b + d * b, c @ x @ a + d * c, c @ x @ b + d * d

    time = extended.shape[-1]
    batch = extended.shape[:-1]
    block = _BLOCK
    blocks = -(-time // block)
    level = jnp.take_along_axis(extended, jnp.broadcast_to(begin[..., None], (*batch, 1)), axis=-1)
    begun = jnp.arange(time) >= begin[..., None]
    moved = jnp.where(begun, extended - level, 0)
    rows = jnp.pad(moved, [(0, 0)] * len(batch) + [(blocks * block - time, 0)]).reshape(*batch, blocks, block)

    over = system.powers(block + 1)
    causal = np.r_[f, [e @ over[lag] @ b for lag in range(block - 1)]]
    symmetric = _toeplitz(causal, block)
    symmetric = symmetric + np.tril(symmetric.T, -1)
    into_s = np.stack([over[block - 1 - j] @ b for j in range(block)])
    into_v = np.stack([over[j] @ g for j in range(block)])
    out_s = np.stack([e @ over[k] for k in range(block)], axis=1)
    out_v = np.stack([c @ over[block - 1 - k] for k in range(block)], axis=1)

    increments = _times(rows, np.concatenate([into_s, into_v], axis=1))
    s = _states(increments[..., :n], over[-1], jnp.zeros((*batch, n), extended.dtype))
    # The backward pass begins in the steady state of the last forward value.
    response = np.r_[d, [c @ over[lag] @ b for lag in range(block - 1)]]
    last = _times(rows[..., -1, :], response[::-1][:, None]) + _times(s[..., -2, :], (c @ over[block - 1])[:, None])
    v_end = last * jnp.asarray(system.steady, extended.dtype) - _times(s[..., -1, :], x.T)
    v = _states(increments[..., ::-1, n:], over[-1], v_end)[..., -2::-1, :]
    filtered = _times(rows, symmetric) + _times(
        jnp.concatenate([s[..., :-1, :], v], axis=-1), np.concatenate([out_s, out_v])
    )
    filtered = filtered.reshape(*batch, blocks * block)[..., blocks * block - time :]
    return filtered + level * system.constant_gain**2
