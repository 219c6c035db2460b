"""One window per heartbeat of an electrocardiogram, in NumPy alone, for `predict` too: what `dsp.beats` cuts in JAX."""

import numpy as np
from jaxtyping import Float, Float32, Int64

from hsjax.types import Beats


def cut_beats(
    samples: Float[np.ndarray, " time"], beats: Beats, sample_rate: float | int, half_window_seconds: float | int
) -> tuple[Float32[np.ndarray, "n window"], np.ndarray, Int64[np.ndarray, " n"]]:
    """A window around the R peak of every labelled beat, with nothing in it of the beats before and behind.

    As Birton (Compressed Convolutional Neural Networks for the Classification of Electrocardiogram Signals on Embedded
    Devices, section 4.2): the record has mean 0 and standard deviation 1; ±1.8 s at 360 Hz are 1296 samples, a picture
    of 36 x 36; what lies nearer to a neighbouring peak than to this one is 0, and so is what lies outside the record.
    A sample at the very middle belongs to both beats. Beats without a label get no window, but are neighbours.

    Args:
      samples: the whole record, any unit. A constant one gives zeros.
      beats: index at `sample_rate`, ascending; see `at_rate`.
      sample_rate: Hz.
      half_window_seconds: on either side of the peak; the peak is the first sample of the second half.

    Returns:
      Windows (n, 2 * half), names of the classes (n,) as str, and where the windows begin (n,) in samples, which is
      below 0 where a window reaches over the beginning of the record.

    Raises:
      ValueError: half a window holds no sample, or a beat lies outside of the record or not behind the one before it.
    """
    half = round(half_window_seconds * sample_rate)
    if half < 1:
        raise ValueError(f"half a window of {half_window_seconds:g} s at {sample_rate:g} Hz holds no sample")
    index = np.asarray(beats.index, np.int64)
    gaps = np.diff(index)
    if len(index) and (index[0] < 0 or index[-1] >= len(samples) or (gaps <= 0).any()):
        raise ValueError(f"the beats are not in ascending order within {len(samples)} samples")
    labelled = np.asarray(beats.label) != ""
    # Whole samples on either side that are not nearer to the neighbour; those of the first and last beat have one.
    before = np.concatenate([[half], gaps // 2])[: len(index), None][labelled]
    behind = np.concatenate([gaps // 2, [half]])[: len(index), None][labelled]
    start = index[labelled] - half
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(_z_score(samples), half), 2 * half)[start + half]
    offset = np.arange(-half, half, dtype=np.int32)
    windows[(offset < -before) | (offset > behind)] = 0
    return windows, np.asarray(beats.label, dtype=str)[labelled], start


def at_rate(beats: Beats, from_rate: int, to_rate: int) -> Beats:
    """The same beats in a record that was resampled: each at the nearest sample.

    Raises:
      ValueError: `to_rate` is so low that two beats fall on one sample.
    """
    index = np.rint(np.asarray(beats.index, np.float64) * (to_rate / from_rate)).astype(np.int64)
    if (np.diff(index) <= 0).any():
        raise ValueError(f"at {to_rate} Hz two beats fall on one sample")
    return Beats(index, beats.symbol, beats.label)


def _z_score(samples: Float[np.ndarray, " time"]) -> Float32[np.ndarray, " time"]:
    values = samples.astype(np.float64)
    if not len(values) or values.min() == values.max():
        return np.zeros(len(values), np.float32)
    return ((values - values.mean()) / values.std()).astype(np.float32)
