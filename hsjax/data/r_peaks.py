"""R peaks of an electrocardiogram in NumPy alone: what `dsp.qrs` finds with JAX, on a device that has none.

The method is described there: Pan and Tompkins, A Real-Time QRS Detection Algorithm, IEEE Trans. Biomed. Eng.
32(3):230-236, 1985, with a band-pass without delay. The constants are those of `dsp.qrs`; a test holds the two to the
same beats. Nothing here is causal: the filter runs back from the end of a record, the usual level is that of all of it,
and a beat that was missed is found once the next is late. A stream has to be cut into records first.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float, Int64

MIN_RATE, MAX_RATE = 100, 1000
"""Hz, between which an ECG is taken."""

_BAND = (5.0, 15.0)  # Hz
_INTEGRATION = 0.150  # s
_REFRACTORY = 0.200  # s
_T_WAVE, _T_WAVE_SLOPE = 0.360, 0.5
_SEARCH_BACK, _SEARCH_BACK_THRESHOLD = 1.66, 0.5
_INTERVALS = 8
_UPDATE, _UPDATE_FOUND = 0.125, 0.25
_THRESHOLD = 0.3
_USUAL_INTERVAL, _LONGEST_INTERVAL = 0.8, 2.0
_LOUDEST = 2.0
_LOST, _FADING, _FADED = 2.0, 0.9, 0.4
_FLAT, _SILENT_SECOND = 0.02, 1e-4

_BLOCK = 2**16  # of the Fourier transforms that filter
_EDGE = 9  # samples that both ends are continued by, as SciPy's `sosfiltfilt` does for one section
_DECAYED = 1e-18  # of a response: below it a filter has forgotten


@dataclasses.dataclass(frozen=True)
class _Candidates:
    """Local maxima of the integrated signal, in order of time."""

    position: Int64[np.ndarray, " n"]  # samples
    height: Float[np.ndarray, " n"]  # root mean square slope
    steepest: Float[np.ndarray, " n"]  # greatest squared slope


def r_peaks(samples: Float[np.ndarray, " time"], sample_rate: float | int) -> Int64[np.ndarray, " beats"]:
    """The R peaks of one lead, as `hsjax.dsp.qrs.r_peaks` finds them.

    Args:
      samples: the whole record, any unit. One that is flat, or shorter than a second, has no peaks.
      sample_rate: Hz, 100 to 1000.

    Returns:
      The sample of each peak, ascending, no two less than 200 ms apart.

    Raises:
      ValueError: a rate outside 100 to 1000 Hz, or samples that are not finite.
    """
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise ValueError(f"want an ECG sampled at {MIN_RATE} to {MAX_RATE} Hz, got {sample_rate:g} Hz")
    values = np.asarray(samples, np.float64)
    if not np.isfinite(values).all():
        raise ValueError("want finite samples of ECG")
    if len(values) < sample_rate:
        return np.zeros(0, np.int64)
    filtered = band_pass(values, sample_rate)
    candidates, usual = _candidates(filtered, sample_rate)
    chosen = _decide(candidates, usual, len(values), sample_rate)
    position = _extrema(filtered, candidates.position[chosen], sample_rate)
    # Two that have moved towards one another may now be too close: the earlier is the beat.
    before = np.concatenate([[-len(values)], np.maximum.accumulate(position)])[: len(position)]
    return position[position - before >= round(_REFRACTORY * sample_rate)]


def band_pass(samples: Float[np.ndarray, " time"], sample_rate: float | int) -> Float[np.ndarray, " time"]:
    """First-order Butterworth band-pass of 5 to 15 Hz, forward and backward: `scipy.signal.sosfiltfilt`, ends and all.

    The recursion is a convolution with its response, which has decayed after little more than a second. To import
    SciPy's would take longer than all the rest.
    """
    response = _response(sample_rate)
    edge = min(_EDGE, len(samples) - 1)
    head, tail = 2 * samples[0] - samples[edge:0:-1], 2 * samples[-1] - samples[-2 : -2 - edge : -1]
    values = np.concatenate([head, samples, tail])
    for _ in range(2):
        # At rest at the first value: a constant does not pass, so that one is taken off.
        values = _causal(values - values[0], response)[::-1]
    return values[edge : edge + len(samples)]


def _response(sample_rate: float | int) -> Float[np.ndarray, " lags"]:
    """What the filter answers to an impulse, until it has decayed."""
    low, high = (math.tan(math.pi * edge / sample_rate) for edge in _BAND)
    width, centre = high - low, low * high
    scale = 1 + width + centre
    first, second = 2 * (centre - 1) / scale, (1 - width + centre) / scale
    response = [width / scale, -first * width / scale]
    response.append(-width / scale - first * response[1] - second * response[0])
    lags = math.ceil(2 * math.log(_DECAYED) / math.log(second))  # the poles' radius is the root of `second`
    while len(response) < lags:
        response.append(-first * response[-1] - second * response[-2])
    return np.array(response)


def _causal(values: Float[np.ndarray, " time"], response: Float[np.ndarray, " lags"]) -> Float[np.ndarray, " time"]:
    """The first values of a convolution, block by block."""
    size = max(_BLOCK, 1 << (2 * len(response)).bit_length())
    step, spectrum = size - len(response) + 1, np.fft.rfft(response, size)
    result = np.zeros(len(values) + size)
    for start in range(0, len(values), step):
        part = np.fft.irfft(np.fft.rfft(values[start : start + step], size) * spectrum, size)
        result[start : start + size] += part
    return result[: len(values)]


def _candidates(filtered: Float[np.ndarray, " time"], sample_rate: float | int) -> tuple[_Candidates, float]:
    """Candidates, and the median over seconds of the greatest height."""
    time = len(filtered)
    step = max(1, round(sample_rate / 200))
    slope = 2 * (_shift(filtered, step) - _shift(filtered, -step))
    slope += _shift(filtered, 2 * step) - _shift(filtered, -2 * step)
    slope[: 2 * step] = slope[max(time - 2 * step, 0) :] = 0
    power = np.square(slope)
    half = round(_INTEGRATION / 2 * sample_rate)
    width = 2 * half + 1
    height = np.sqrt(_shift(_moving(power, width, np.add), -half) / width)
    steepest = _shift(_moving(power, width, np.maximum), -half)

    refractory = round(_REFRACTORY * sample_rate)
    highest = _moving(height, refractory, np.maximum)
    # Higher than all in the refractory period before and none lower than any in the one behind.
    peak = (height > _shift(highest, -refractory)) & (height >= _shift(highest, 1))
    second = int(sample_rate)
    seconds = height[: time // second * second].reshape(-1, second).max(axis=1)
    seconds = seconds[seconds > _SILENT_SECOND * seconds.max()]
    usual = float(np.median(seconds)) if len(seconds) else 0.0
    place = np.flatnonzero(peak & (height > _FLAT * usual))
    if not len(place):
        return _Candidates(place, height[place], steepest[place]), usual
    # Where nothing is before, at the beginning, several of a period may be peaks: they are one, at the first.
    _, first = np.unique(place // refractory, return_index=True)
    best, steepest = (np.maximum.reduceat(values[place], first) for values in (height, steepest))
    return _Candidates(place[first], best, steepest), usual


def _decide(candidates: _Candidates, usual: float, time: int, sample_rate: float | int) -> Int64[np.ndarray, " beats"]:
    """Which candidates are beats: the adaptive thresholds, one candidate after the other."""
    position, height, steepest = (
        values.tolist() for values in (candidates.position, candidates.height, candidates.steepest)
    )
    beats: set[int] = set()
    signal, noise = usual, 0.0
    last, last_steepest = float(-round(_USUAL_INTERVAL * sample_rate)), 0.0
    intervals = [_USUAL_INTERVAL * sample_rate] * _INTERVALS
    missed = -1  # the highest candidate since, that was not taken for a beat

    def take(number: int, weight: float) -> None:
        nonlocal signal, last, last_steepest, missed
        beats.add(number)
        signal += weight * (min(height[number], _LOUDEST * signal) - signal)
        intervals.append(min(position[number] - last, _LONGEST_INTERVAL * sample_rate))
        del intervals[0]
        last, last_steepest, missed = position[number], steepest[number], -1

    # Time passes without candidates too: one place for each refractory period, as `dsp.qrs` goes through it.
    refractory = round(_REFRACTORY * sample_rate)
    by_block = {place // refractory: number for number, place in enumerate(position)}
    for block in range(-(-time // refractory)):
        number = by_block.get(block)
        at = min(block * refractory, time) if number is None else position[number]
        late = missed >= 0 and at - last > _SEARCH_BACK * sum(intervals) / _INTERVALS
        if late and height[missed] > _SEARCH_BACK_THRESHOLD * (noise + _THRESHOLD * (signal - noise)):
            take(missed, _UPDATE_FOUND)
        if number is None:
            continue
        elapsed = position[number] - last
        t_wave = elapsed < _T_WAVE * sample_rate and steepest[number] < _T_WAVE_SLOPE**2 * last_steepest
        if height[number] > noise + _THRESHOLD * (signal - noise) and not t_wave:
            take(number, _UPDATE)
            continue
        noise += _UPDATE * (min(height[number], signal) - noise)
        if elapsed > _LOST * sample_rate:
            signal = max(_FADING * signal, min(_FADED * usual, signal))
        if not t_wave and (missed < 0 or height[number] > height[missed]):
            missed = number
    return np.array(sorted(beats), np.int64)


def _extrema(
    filtered: Float[np.ndarray, " time"], position: Int64[np.ndarray, " n"], sample_rate: float | int
) -> Int64[np.ndarray, " n"]:
    """The place of the greatest magnitude within half the integration window around each position."""
    reach = round(_INTEGRATION / 2 * sample_rate)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(np.abs(filtered), reach), 2 * reach + 1)
    return position + windows[position].argmax(axis=1) - reach


def _shift(values: Float[np.ndarray, " time"], by: int) -> Float[np.ndarray, " time"]:
    """`values[t + by]` at `t`, 0 from beyond the ends."""
    kept = values[max(by, 0) : max(len(values) + min(by, 0), 0)]
    missing = len(values) - len(kept)
    return np.pad(kept, (0, missing) if by > 0 else (missing, 0))


def _moving(values: Float[np.ndarray, " time"], width: int, combine: np.ufunc) -> Float[np.ndarray, " time"]:
    """Sum or maximum of `values[t : t + width]` at `t`, by doubling; 0 follows behind the end."""
    total, covered, window = np.zeros_like(values), 0, 1
    while covered < width:
        if width & window:
            total = combine(total, _shift(values, covered))
            covered += window
        values = combine(values, _shift(values, window))
        window *= 2
    return total
