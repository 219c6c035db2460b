"""Heart cycles cut from segmented recordings, on the host."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from hsjax.types import HEART_STATES, HeartState

SONG_SECONDS = 2.5
"""Length of an example of Song et al., EMBC 2023: 5000 samples at 2 kHz."""


class Cycles(NamedTuple):
    """Cycles of one recording.

    Attributes:
      samples: `(cycles, length)`, zero behind the end of each cycle.
      start: `(cycles,)`, first sample of each in the recording.
      duration: `(cycles,)`, samples from an S1 to the next, before cutting.
    """

    samples: Float[np.ndarray, "cycles length"]
    start: Int[np.ndarray, " cycles"]
    duration: Int[np.ndarray, " cycles"]


def bounds(states: Int8[np.ndarray, " time"]) -> tuple[Int[np.ndarray, " cycles"], Int[np.ndarray, " cycles"]]:
    """First samples of the whole cycles and of what follows them.

    A cycle runs from the onset of S1 to the onset of the next S1 through systole, S2 and diastole; it is whole if
    nothing in it is unknown and none of them is missing. An S1 that was on when the recording began is not. One right
    behind an unknown stretch is taken to begin there.

    Args:
      states: `HeartState` of every sample (or frame).
    """
    change = np.flatnonzero(np.diff(states)) + 1
    begins = np.concatenate([[0], change])
    order = states[begins] if len(states) else states
    ring = (*HEART_STATES, HeartState.S1)
    width = len(ring)
    if len(order) < width:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(order, width)
    whole: Bool[np.ndarray, " windows"] = (windows == np.array(ring)).all(axis=1)
    whole[0] = False  # an S1 that was on when the recording began
    index = np.flatnonzero(whole)
    return begins[index], begins[index + width - 1]


def cut_cycles(samples: Float[np.ndarray, " time"], states: Int8[np.ndarray, " states"], length: int) -> Cycles:
    """Every whole cycle as one example, as Song et al. cut them.

    Args:
      samples: `(time,)`.
      states: `(time,)`, `HeartState`, at the rate of the samples.
      length: samples of an example; `round(SONG_SECONDS * sample_rate)`. Longer cycles (below 24 beats per minute at
        2.5 s) lose their end.

    Raises:
      ValueError: samples and states differ in length, or `length` is not positive.
    """
    if samples.shape != states.shape or length < 1:
        raise ValueError(f"want states for {samples.shape} samples and a positive length, got {states.shape}, {length}")
    begin, end = bounds(states)
    place = begin[:, None] + np.arange(length)
    inside = place < np.minimum(end, begin + length)[:, None]
    cut = np.where(inside, samples[np.minimum(place, max(len(samples) - 1, 0))], 0.0).astype(samples.dtype)
    return Cycles(cut, begin, end - begin)
