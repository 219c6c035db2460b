"""A cheap look at all pairs of recordings: which of them can be near-copies of each other.

The correlation of two recordings is the sum of what their low and their high frequencies contribute. The low part is
computed for every pair and lag by FFT, at a low sample rate; the high part is bounded by Cauchy-Schwarz, as is what a
peak between two samples loses. A pair whose sum of the three stays below the thresholds is no near-copy.
"""

import concurrent.futures
import dataclasses
import math
import os
from collections.abc import Callable, Sequence

import numpy as np
import scipy.fft
from jaxtyping import Float32

from hsjax.data import audio
from hsjax.data.audit import overlap

RATES = (250, 500, 1000, 2000)
"""Hz, of the screen: the first at which nine recordings of ten keep `KEPT` of their energy, or the last."""

KEPT = 0.85

_BLOCK = 32  # recordings on either side of what is correlated at once: few enough for the processor's cache
_SAMPLES = 2**21  # of a block of long recordings: what is correlated at once takes some ten times as many bytes
_RATIO = 1.1  # of lengths within a block: all of it are normalised by the energy under its shortest


@dataclasses.dataclass(frozen=True)
class Trace:
    """A recording at the screen's rate.

    Attributes:
      samples: without mean; none of a silent recording, which resembles nothing.
      above: share of the recording's energy that lies above the screen's band.
      slope: root mean square of the angular frequency below it, radians per sample.
    """

    samples: Float32[np.ndarray, " time"]
    above: float
    slope: float


def trace(samples: Float32[np.ndarray, " time"], sample_rate: int, rate: int) -> Trace:
    """Brings a recording without mean to the screen's rate."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    low = audio.resample(samples, sample_rate, rate)
    low_power = float(np.mean(np.square(low, dtype=np.float64))) if len(low) else 0.0
    if power == 0 or low_power == 0:
        return Trace(np.zeros(0, np.float32), 0.0, 0.0)
    steps = np.square(np.diff(low), dtype=np.float64)
    slope = math.sqrt(float(np.mean(steps)) / low_power) if len(steps) else math.pi
    return Trace(low, min(max(1 - low_power / power, 0.0), 1.0), slope)


def choose_rate(recordings: Sequence[tuple[Float32[np.ndarray, " _"], int]]) -> int:
    """The screen's rate for recordings like these, which are samples without mean and their rate."""
    for rate in RATES:
        if np.quantile([trace(*each, rate).above for each in recordings], 0.9) <= 1 - KEPT:
            return rate
    return RATES[-1]


def find(traces: Sequence[Trace], local: float, whole: float, advance: Callable[[int], None]) -> list[tuple[int, int]]:
    """Pairs whose correlation may reach a threshold.

    Args:
      traces: all at one rate.
      local: threshold of `overlap.Peak.local`.
      whole: threshold of `overlap.Peak.whole`.
      advance: told how many pairs were looked at.

    Returns:
      Indices into `traces`, the longer recording first; sorted.
    """
    order = sorted((i for i, one in enumerate(traces) if len(one.samples)), key=lambda i: len(traces[i].samples))
    blocks = _blocks(order, [len(traces[i].samples) for i in order])
    found: list[tuple[int, int]] = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for at, longer in enumerate(blocks):
            rows = pool.map(lambda shorter: _look(traces, longer, shorter, local, whole), blocks[: at + 1])  # noqa: B023
            for shorter, kept in zip(blocks[: at + 1], rows, strict=True):
                found += kept
                advance(len(longer) * (len(longer) - 1) // 2 if shorter is longer else len(longer) * len(shorter))
    return sorted(found)


def _blocks(order: Sequence[int], length: Sequence[int]) -> list[list[int]]:
    """Neighbours in the order of length."""
    blocks: list[list[int]] = []
    first = 0
    for index, samples in zip(order, length, strict=True):
        full = blocks and len(blocks[-1]) >= min(_BLOCK, max(1, _SAMPLES // samples))
        if not blocks or full or samples > _RATIO * first:
            blocks.append([])
            first = samples
        blocks[-1].append(index)
    return blocks


def _look(
    traces: Sequence[Trace], longer: Sequence[int], shorter: Sequence[int], local: float, whole: float
) -> list[tuple[int, int]]:
    """The candidates among the pairs of two blocks that are sorted by length; or of one block with itself."""
    others = [traces[i] for i in shorter]
    least, most = len(others[0].samples), len(others[-1].samples)
    longest = len(traces[longer[-1]].samples)
    back = overlap.lags(longest, most)[0]
    # Other lags may fall on one another, but not on those that count.
    size = scipy.fft.next_fast_len(longest + max(back, most - (least - overlap.lags(longest, least)[0])), real=True)
    spectra = np.stack([np.conj(scipy.fft.rfft(one.samples, size)) for one in others])
    norm, above, slope = np.array([(np.linalg.norm(one.samples), one.above, one.slope) for one in others]).T
    found = []
    for place, index in enumerate(longer):
        one = traces[index]
        count = place if longer is shorter else len(shorter)
        if not count:
            continue
        product = scipy.fft.irfft(scipy.fft.rfft(one.samples, size) * spectra[:count], size, axis=1)
        ahead = overlap.lags(len(one.samples), least)[1]
        # The energy under the shortest of the others is at most that under each of them.
        under = overlap.energy_under(overlap.energy_sums(one.samples), back, ahead, least)
        scale = (1 / np.sqrt(under)).astype(np.float32)
        local_peak, tied_peak, whole_peak = np.zeros((3, count))
        # Equally long here: at full rate either may be the shorter one.
        for other in range(count):
            if len(others[other].samples) == len(one.samples):
                under = overlap.energy_under(overlap.energy_sums(others[other].samples), ahead, back, len(one.samples))
                inverse = 1 / (np.linalg.norm(one.samples) * np.sqrt(under[::-1]))
                before, after = np.abs(product[other, size - back :]), np.abs(product[other, : ahead + 1])
                tied_peak[other] = (np.concatenate([before, after]) * inverse).max()
        for part, inverse in ((product[:, size - back :], scale[:back]), (product[:, : ahead + 1], scale[back:])):
            if part.size:
                np.abs(part, out=part)
                whole_peak = np.maximum(whole_peak, part.max(axis=1))
                part *= inverse
                local_peak = np.maximum(local_peak, part.max(axis=1))
        # Rounding to the nearest lag loses at most half the product of the slopes times a quarter.
        rounding = one.slope * slope[:count] / 8
        # What share of a stretch lies above the band is not known: the bound is that of the worst.
        mine, theirs = one.above, above[:count]
        enough = np.hypot(np.sqrt(1 - theirs) * (local_peak / norm[:count] + rounding), np.sqrt(theirs)) >= local
        enough |= np.hypot(np.sqrt(1 - mine) * (tied_peak + rounding), np.sqrt(mine)) >= local
        below = whole_peak / (norm[:count] * np.linalg.norm(one.samples)) + rounding
        enough |= np.sqrt((1 - mine) * (1 - theirs)) * below + np.sqrt(mine * theirs) >= whole
        found += [(index, shorter[other]) for other in np.flatnonzero(enough).tolist()]
    return found
