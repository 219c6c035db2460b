"""One window per heartbeat of an electrocardiogram, and the intervals between beats."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from hsjax.dsp.inputs import floating

HALF_WINDOW: float = 1.8
"""Seconds on either side of the R peak (Birton); 2 * 1.8 s at 360 Hz are 1296 samples, a picture of 36 x 36."""

# Far below the resolution of any ECG in any unit: only a flat recording has so small a deviation.
_FLAT = 1e-12


def beat_windows(
    samples: Shaped[Array, "*batch time"],
    peaks: Int[Array, "*batch peaks"] | Int[np.ndarray, "*batch peaks"],
    sample_rate: float | int,
    mask: Bool[Array, "*batch peaks"] | Bool[np.ndarray, "*batch peaks"] | None = None,
    *,
    lengths: Int[Array, "*batch"] | Int[np.ndarray, "*batch"] | None = None,
    half_window: float | int = HALF_WINDOW,
) -> Float[Array, "*batch peaks window"]:
    """A window around every R peak, with nothing in it of the beats before and behind.

    As Birton (Compressed Convolutional Neural Networks for the Classification of ECG Signals on Embedded Devices)
    cuts them: sample `j` of a window is sample `peak - half + j` of the recording, with `half` the samples of the half
    window, and is 0 where that lies nearer to a neighbouring peak than to this one, or outside of the recording. A
    sample at the very middle belongs to both beats. The first and the last beat have one neighbour. Every sample is
    picked as it is: NaN stays NaN, in the windows that hold it alone.

    Args:
      samples: `(..., time)`, any unit; Birton's are `z_score` of the record.
      peaks: `(..., peaks)`, samples, ascending where `mask` is true: annotated, or `RPeaks.index`.
      sample_rate: Hz.
      mask: `(..., peaks)`, false for places without a peak, which come behind those with one (`RPeaks.mask`).
      lengths: `(...)`, samples of each recording where recordings of different length are padded to one.
      half_window: seconds on either side.

    Returns:
      `(..., peaks, 2 * half)`; zeros for places without a peak. A half-hour record at 360 Hz takes about 12 MB as
      float32, if there are no more places than beats.

    Raises:
      ValueError: no samples, no peaks, or a half window of less than one sample.
    """
    samples = floating(samples)
    peaks = jnp.asarray(peaks)
    time, places = samples.shape[-1], peaks.shape[-1]
    half = round(half_window * sample_rate)
    if half < 1:
        raise ValueError(f"half a window of {half_window:g} s at {sample_rate:g} Hz holds no sample")
    if time == 0 or places == 0:
        raise ValueError(f"want at least one sample and one place for a peak, got {time} and {places}")
    there = jnp.ones(peaks.shape, bool) if mask is None else jnp.asarray(mask)
    ends = jnp.full(samples.shape[:-1], time) if lengths is None else jnp.clip(jnp.asarray(lengths), 0, time)
    before, behind = _gaps(peaks, there)

    rows = jnp.pad(samples.reshape(-1, time), ((0, 0), (half, half)))
    cut = jax.vmap(jax.vmap(lambda row, at: jax.lax.dynamic_slice(row, (at,), (2 * half,)), (None, 0)))
    windows = cut(rows, jnp.clip(peaks, 0, time - 1).reshape(-1, places)).reshape(*peaks.shape, 2 * half)

    offset = jnp.arange(-half, half)
    at = peaks[..., None] + offset
    own = (-2 * offset <= before[..., None]) & (2 * offset <= behind[..., None])
    own &= (at >= 0) & (at < ends[..., None, None]) & there[..., None]
    return jnp.where(own, windows, 0)


def rr_intervals(
    peaks: Int[Array, "*batch peaks"] | Int[np.ndarray, "*batch peaks"],
    sample_rate: float | int,
    mask: Bool[Array, "*batch peaks"] | Bool[np.ndarray, "*batch peaks"] | None = None,
) -> Float[Array, "*batch peaks"]:
    """Seconds from the peak before to each peak; NaN for the first peak and for places without a peak.

    Args:
      peaks: `(..., peaks)`, samples, ascending where `mask` is true.
      sample_rate: Hz.
      mask: `(..., peaks)`, false for places without a peak, which come behind those with one.

    Returns:
      `(..., peaks)`.
    """
    peaks = jnp.asarray(peaks)
    there = jnp.ones(peaks.shape, bool) if mask is None else jnp.asarray(mask)
    known = there & (jnp.arange(peaks.shape[-1]) > 0)
    before, _ = _gaps(peaks, there)
    return jnp.where(known, before / sample_rate, jnp.nan)


def _gaps(peaks: Int[Array, "*batch peaks"], there: Bool[Array, "*batch peaks"]) -> tuple[Array, Array]:
    """Samples to the peak before and to the one behind; more than any window where there is none."""
    far = jnp.iinfo(peaks.dtype).max
    gap = jnp.where(there[..., 1:], peaks[..., 1:] - peaks[..., :-1], far)
    none = jnp.full((*peaks.shape[:-1], 1), far, peaks.dtype)
    return jnp.concatenate([none, gap], axis=-1), jnp.concatenate([gap, none], axis=-1)
