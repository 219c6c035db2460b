"""R peaks of electrocardiograms, after Pan and Tompkins (IEEE Trans. Biomed. Eng. 32(3):230-236, 1985).

Theirs runs sample by sample on a monitor. Here whole recordings are at hand: the filters have no delay, candidates are
found in all recordings at once, one per refractory period, and only what must be decided in order, the adaptive
thresholds, is a scan, over candidates instead of samples.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Shaped

from hsjax.dsp.design import butterworth
from hsjax.dsp.inputs import floating
from hsjax.dsp.sos import zero_phase

# Of the paper:
_BAND = (5.0, 15.0)  # Hz, where the QRS complex stands out
_INTEGRATION = 0.150  # s, about the widest complex
_REFRACTORY = 0.200  # s, no ventricle contracts again sooner
_T_WAVE = 0.360  # s, a peak as soon after a beat may be its T wave ...
_T_WAVE_SLOPE = 0.5  # ... and is if its steepest slope is below this share of the beat's
_SEARCH_BACK = 1.66  # mean RR intervals without a beat: one was missed
_SEARCH_BACK_THRESHOLD = 0.5  # share of the threshold that it must exceed
_INTERVALS = 8  # of the mean RR interval
_UPDATE = 0.125  # weight of a new peak in the level of its kind ...
_UPDATE_FOUND = 0.25  # ... and of a beat found by searching back

# Ours. The paper compares powers, at a quarter of the way from noise to signal; a ventricular beat may have ten times
# another's, so amplitudes are compared here.
_THRESHOLD = 0.3
_USUAL_INTERVAL = 0.8  # s, before any is known
_LONGEST_INTERVAL = 2.0  # s, beyond it is a pause, which tells nothing about the rate
_LOUDEST = 2.0  # times the signal level: as much of an artefact moves the level
_LOST = 2.0  # s without a beat: the amplitude may have dropped ...
_FADING = 0.9  # ... and the signal level falls by this with every candidate ...
_FADED = 0.4  # ... to this share of the recording's usual level
_FLAT = 0.02  # of the recording's usual level: below is no candidate
_SILENT_SECOND = 1e-4  # of the recording's greatest amplitude: such a second says nothing about the usual level


class RPeaks(NamedTuple):
    """Where the beats of recordings are. A pytree.

    Attributes:
      index: sample of each R peak, ascending, -1 where `mask` is false.
      mask: true for the first `count` places.
      count: beats of each recording; greater than `peaks` if there was no place for the last of them.
    """

    index: Int32[Array, "*batch peaks"]
    mask: Bool[Array, "*batch peaks"]
    count: Int32[Array, "*batch"]


class _Candidates(NamedTuple):
    """Local maxima of the integrated signal, one per block of a refractory period. Each (recordings, blocks)."""

    block: Int32[Array, "..."]
    position: Int32[Array, "..."]  # samples; without a candidate some sample of the block
    height: Float[Array, "..."]  # root mean square slope; 0 without a candidate
    steepest: Float[Array, "..."]  # greatest squared slope


class _State(NamedTuple):
    """What the decisions up to one candidate have left behind. Each (recordings,), intervals (recordings, 8)."""

    signal: Float[Array, "..."]
    noise: Float[Array, "..."]
    last: _Candidates  # the last beat
    intervals: Float[Array, "..."]
    missed: _Candidates  # the highest candidate since, that was not taken for a beat


def r_peaks(
    samples: Shaped[Array, "*batch time"],
    sample_rate: float | int,
    lengths: Int[Array, "*batch"] | Int[np.ndarray, "*batch"] | None = None,
    *,
    max_peaks: int | None = None,
) -> RPeaks:
    """The R peaks of ECG recordings of one lead.

    Band-pass 5-15 Hz without delay, slope, mean power over 150 ms; its local maxima are beats if they exceed a
    threshold between the running levels of beats and noise, come 200 ms after the last beat and are no T wave; where
    1.66 mean intervals bring none, the best since the last beat is reconsidered at half the threshold. A beat's place
    is the extremum, of either sign, of the band-passed ECG within 75 ms: an inverted or biphasic complex is as good. No
    two places are less than 200 ms apart.

    Samples that are not finite are bridged by a straight line, and no peak lies on them. Recordings that are flat,
    without a finite sample, or shorter than one second have no peaks. The scale of the samples does not matter. What is
    less than a fiftieth of a recording's usual amplitude is no beat; noise alone has beats, for want of better ones.

    Args:
      samples: `(..., time)`, any unit.
      sample_rate: Hz, 100 to 1000.
      lengths: `(...)`, samples of each recording where recordings of different length are padded to one.
      max_peaks: places for peaks in the result; as many as there can be, five a second, if None.

    Returns:
      `index` and `mask` `(..., peaks)`, `count` `(...)`.

    Raises:
      ValueError: no samples, a rate outside 100 to 1000 Hz, or `max_peaks` is not positive.
    """
    samples = floating(samples)
    time, batch = samples.shape[-1], samples.shape[:-1]
    if not 100 <= sample_rate <= 1000:
        raise ValueError(f"want an ECG sampled at 100 to 1000 Hz, got {sample_rate:g} Hz")
    if time == 0:
        raise ValueError("want at least one sample of ECG, got none")
    refractory = round(_REFRACTORY * sample_rate)
    places = -(-time // refractory) if max_peaks is None else max_peaks
    if places < 1:
        raise ValueError(f"want max_peaks to be at least 1, got {max_peaks}")
    if time < sample_rate:
        none = jnp.full((*batch, places), -1, jnp.int32)
        return RPeaks(none, none >= 0, jnp.zeros(batch, jnp.int32))

    rows = samples.reshape(-1, time)
    ends = jnp.full(len(rows), time) if lengths is None else jnp.clip(jnp.asarray(lengths).reshape(-1), 0, time)
    inside = jnp.arange(time) < ends[:, None]
    finite = jnp.isfinite(rows) & inside
    # Over the whole batch, so that without vmap nothing is spent on gaps where there are none.
    rows = jax.lax.cond(jnp.all(finite == inside), lambda: jnp.where(inside, rows, 0), lambda: _bridge(rows, finite))
    # A constant becomes exactly 0, whatever its value.
    centred = jnp.where(inside, rows - rows[:, :1], 0)
    sections = butterworth(1, _BAND, sample_rate)
    filtered = zero_phase(centred, sections, lengths=None if lengths is None else ends)
    filtered = jnp.where(finite, filtered, 0)

    long_enough = ends >= sample_rate
    candidates, usual = _candidates(filtered, finite, ends, sample_rate)
    beat = _decide(candidates, usual, ends, sample_rate) & long_enough[:, None]
    position = _extremum(filtered, candidates.position, sample_rate)
    # Two that have moved towards one another may now be too close: the earlier is the beat.
    before = jax.lax.cummax(jnp.where(beat, position, -refractory), axis=1)
    before = jnp.pad(before[:, :-1], ((0, 0), (1, 0)), constant_values=-refractory)
    beat &= position - before >= refractory
    count = jnp.sum(beat, axis=-1, dtype=jnp.int32)
    mask = jnp.arange(places) < count[:, None]
    place = jnp.where(beat, jnp.cumsum(beat, axis=-1) - 1, places)
    put = jax.vmap(lambda place, position: jnp.full(places, -1, jnp.int32).at[place].set(position, mode="drop"))
    index = put(place, position)
    return RPeaks(index.reshape(*batch, places), mask.reshape(*batch, places), count.reshape(batch))


def _bridge(rows: Float[Array, "n time"], finite: Bool[Array, "n time"]) -> Float[Array, "n time"]:
    """Straight lines over gaps, constants before the first and after the last finite sample, 0 without any."""
    time = rows.shape[-1]
    place = jnp.arange(time)
    before = jax.lax.cummax(jnp.where(finite, place, -1), axis=1)
    after = jax.lax.cummin(jnp.where(finite, place, time), axis=1, reverse=True)
    left, right = jnp.where(before < 0, after, before), jnp.where(after == time, before, after)
    known = jnp.where(finite, rows, 0)
    ends = [jnp.take_along_axis(known, jnp.clip(side, 0, time - 1), axis=1) for side in (left, right)]
    along = (place - left) / jnp.maximum(right - left, 1)
    return jnp.where(finite, known, ends[0] + along.astype(rows.dtype) * (ends[1] - ends[0]))


def _candidates(
    filtered: Float[Array, "n time"], finite: Bool[Array, "n time"], ends: Int[Array, " n"], sample_rate: float | int
) -> tuple[_Candidates, Float[Array, " n"]]:
    """Candidates in every recording, and the median over seconds of the greatest height."""
    count, time = filtered.shape
    # The paper's five-point derivative, at about its 200 Hz.
    step = max(1, round(sample_rate / 200))
    slope = (
        2 * (_shift(filtered, step) - _shift(filtered, -step))
        + _shift(filtered, 2 * step)
        - _shift(filtered, -2 * step)
    )
    place = jnp.arange(time)
    # Beyond the ends there is nothing to have a slope to.
    known = finite & (place >= 2 * step) & (place < ends[:, None] - 2 * step)
    power = jnp.where(known, jnp.square(slope), 0)
    half = round(_INTEGRATION / 2 * sample_rate)
    width = 2 * half + 1
    height = jnp.sqrt(_shift(_moving(power, width, jnp.add), -half) / width)
    steepest = _shift(_moving(power, width, jnp.maximum), -half)

    refractory = round(_REFRACTORY * sample_rate)
    highest = _moving(height, refractory, jnp.maximum)
    # Higher than all in the refractory period before and none lower than any in the one behind: no two are so close.
    peak = (height > _shift(highest, -refractory)) & (height >= _shift(highest, 1))
    blocks = -(-time // refractory)

    def cut(values: Array) -> Array:
        padded = jnp.pad(values, ((0, 0), (0, blocks * refractory - time)))
        return padded.reshape(count, blocks, refractory)

    peak = cut(peak)
    first = jnp.arange(blocks) * refractory
    candidates = _Candidates(
        block=jnp.broadcast_to(jnp.arange(blocks, dtype=jnp.int32), (count, blocks)),
        position=(first + jnp.argmax(peak, axis=-1)).astype(jnp.int32),
        height=jnp.max(jnp.where(peak, cut(height), 0), axis=-1),
        steepest=jnp.max(jnp.where(peak, cut(steepest), 0), axis=-1),
    )
    second = int(sample_rate)
    seconds = jnp.max(height[:, : time // second * second].reshape(count, -1, second), axis=-1)
    seconds = jnp.where(seconds > _SILENT_SECOND * jnp.max(seconds, axis=-1, keepdims=True), seconds, jnp.nan)
    usual = jnp.nan_to_num(jnp.nanmedian(seconds, axis=-1))
    above = candidates.height > _FLAT * usual[:, None]
    return candidates._replace(height=jnp.where(above, candidates.height, 0)), usual


def _decide(
    candidates: _Candidates, usual: Float[Array, " n"], ends: Int[Array, " n"], sample_rate: float | int
) -> Bool[Array, "n blocks"]:
    """Which candidates are beats."""
    count, blocks = candidates.height.shape
    nothing = _Candidates(
        block=jnp.full(count, blocks, jnp.int32),
        position=jnp.full(count, -round(_USUAL_INTERVAL * sample_rate), jnp.int32),
        height=jnp.zeros_like(usual),
        steepest=jnp.zeros_like(usual),
    )
    intervals = jnp.full((count, _INTERVALS), _USUAL_INTERVAL * sample_rate, usual.dtype)
    state = _State(usual, jnp.zeros_like(usual), nothing, intervals, nothing)

    def threshold(state: _State) -> Array:
        return state.noise + _THRESHOLD * (state.signal - state.noise)

    def take(state: _State, beat: _Candidates, yes: Array, weight: float) -> _State:
        level = jnp.minimum(beat.height, _LOUDEST * state.signal)
        interval = (beat.position - state.last.position).astype(usual.dtype)
        interval = jnp.minimum(interval, _LONGEST_INTERVAL * sample_rate)
        taken = _State(
            signal=state.signal + weight * (level - state.signal),
            noise=state.noise,
            last=beat,
            intervals=jnp.concatenate([state.intervals[:, 1:], interval[:, None]], axis=1),
            missed=nothing,
        )
        return jax.tree.map(lambda a, b: jnp.where(yes if a.ndim == 1 else yes[:, None], a, b), taken, state)

    def step(state: _State, now: _Candidates) -> tuple[_State, tuple[Array, Array]]:
        overdue = _SEARCH_BACK * jnp.mean(state.intervals, axis=-1)
        # Where a recording is over no time passes.
        elapsed = jnp.minimum(now.position, ends) - state.last.position
        found = (elapsed > overdue) & (state.missed.height > _SEARCH_BACK_THRESHOLD * threshold(state))
        found_block = jnp.where(found, state.missed.block, blocks)
        state = take(state, state.missed, found, _UPDATE_FOUND)

        elapsed = now.position - state.last.position
        t_wave = (elapsed < _T_WAVE * sample_rate) & (now.steepest < _T_WAVE_SLOPE**2 * state.last.steepest)
        beat = (now.height > threshold(state)) & ~t_wave
        other = (now.height > 0) & ~beat
        noise = state.noise + _UPDATE * (jnp.minimum(now.height, state.signal) - state.noise)
        faded = jnp.maximum(_FADING * state.signal, jnp.minimum(_FADED * usual, state.signal))
        better = other & ~t_wave & (now.height > state.missed.height)
        state = state._replace(
            noise=jnp.where(other, noise, state.noise),
            signal=jnp.where(other & (elapsed > _LOST * sample_rate), faded, state.signal),
            missed=jax.tree.map(lambda a, b: jnp.where(better, a, b), now, state.missed),
        )
        return take(state, now, beat, _UPDATE), (beat, found_block)

    in_order = jax.tree.map(lambda values: values.T, candidates)
    _, (beat, found_block) = jax.lax.scan(step, state, in_order)
    return jax.vmap(lambda beat, found: beat.at[found].set(True, mode="drop"))(beat.T, found_block.T)


def _extremum(
    filtered: Float[Array, "n time"], position: Int32[Array, "n peaks"], sample_rate: float | int
) -> Int32[Array, "n peaks"]:
    """The place of the greatest magnitude within half the integration window around each position."""
    reach = round(_INTEGRATION / 2 * sample_rate)
    magnitude = jnp.pad(jnp.abs(filtered), ((0, 0), (reach, reach)))
    cut = jax.vmap(jax.vmap(lambda row, at: jax.lax.dynamic_slice(row, (at,), (2 * reach + 1,)), (None, 0)))
    return position + jnp.argmax(cut(magnitude, position), axis=-1).astype(jnp.int32) - reach


def _shift(values: Float[Array, "n time"], by: int) -> Float[Array, "n time"]:
    """`values[:, t + by]` at `t`, 0 from beyond the ends."""
    time = values.shape[-1]
    kept = values[:, max(by, 0) : max(time + min(by, 0), 0)]
    missing = time - kept.shape[-1]
    return jnp.pad(kept, ((0, 0), (0, missing) if by > 0 else (missing, 0)))


def _moving(values: Float[Array, "n time"], width: int, combine) -> Float[Array, "n time"]:
    """Sum or maximum of `values[:, t : t + width]` at `t`; values are not negative, and 0 follows behind the end.

    By doubling: windows of 1, 2, 4, ... samples, and of those the ones whose lengths add up to the width. (A difference
    of running sums would leave the rounding of an artefact on all that follows it.)
    """
    total, covered, window = None, 0, 1
    while True:
        if width & window:
            part = _shift(values, covered)
            total = part if total is None else combine(total, part)
            covered += window
        if total is not None and covered == width:
            return total
        values = combine(values, _shift(values, window))
        window *= 2
