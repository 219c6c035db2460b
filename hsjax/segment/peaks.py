"""The simple baseline: peaks of a smoothed envelope, told apart by the shorter interval being systole."""

from typing import NamedTuple

import numpy as np
import scipy.signal
from jaxtyping import Float

_BAND = (25.0, 400.0)  # Hz, as in the envelopes of Springer et al.
_SMOOTHING = 8.0  # Hz, as there
_APART = 0.2  # s between heart sounds
_PROMINENCE = 0.5  # standard deviations of the envelope
_RISE = 0.5  # a sound begins where the envelope was last below this part of its peak ...
_REACH = 0.1  # ... at most so many s before it


class Sounds(NamedTuple):
    """Times of S1 and of S2, ascending, s."""

    s1: Float[np.ndarray, " s1"]
    s2: Float[np.ndarray, " s2"]


def envelope(samples: Float[np.ndarray, " time"], sample_rate: float | int) -> Float[np.ndarray, " time"]:
    """Hilbert envelope of 25-400 Hz, smoothed to 8 Hz; float64.

    Args:
      samples: `(time,)`.
      sample_rate: Hz, above 800.
    """
    sections = scipy.signal.butter(2, _BAND, "bandpass", fs=sample_rate, output="sos")
    amplitude = np.abs(scipy.signal.hilbert(scipy.signal.sosfiltfilt(sections, samples)))
    smoothing = scipy.signal.butter(1, _SMOOTHING, fs=sample_rate, output="sos")
    return scipy.signal.sosfiltfilt(smoothing, amplitude)


def find(samples: Float[np.ndarray, " time"], sample_rate: float | int) -> tuple[Sounds, Sounds]:
    """Onsets of the heart sounds, and their peaks.

    Peaks of the envelope are taken in turns for S1 and S2, beginning so that the median interval from S1 to S2 is the
    shorter one.

    Args:
      samples: `(time,)`.
      sample_rate: Hz, above 800.
    """
    level = envelope(samples, sample_rate)
    apart = max(1, round(_APART * sample_rate))
    peaks, _ = scipy.signal.find_peaks(level, distance=apart, prominence=_PROMINENCE * level.std())
    if len(peaks) < 3:
        nothing = Sounds(np.zeros(0), np.zeros(0))
        return nothing, nothing
    reach = round(_REACH * sample_rate)
    rises = np.array([_rise(level, peak, reach) for peak in peaks.tolist()])
    intervals = np.diff(peaks)
    first = int(np.median(intervals[0::2]) > np.median(intervals[1::2]))
    onset, centre = (
        Sounds(times[first::2] / sample_rate, times[1 - first :: 2] / sample_rate) for times in (rises, peaks)
    )
    return onset, centre


def _rise(level: Float[np.ndarray, " time"], peak: int, reach: int) -> int:
    begin = max(peak - reach, 0)
    low = np.flatnonzero(level[begin:peak] < _RISE * level[peak])
    return begin + (int(low[-1]) + 1 if len(low) else 0)
