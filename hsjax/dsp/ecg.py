"""Cleaning electrocardiograms: baseline wander and mains hum. Whole recordings; nothing here is exported."""

import enum
import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal
from jaxtyping import Array, Float, Int, Shaped

from hsjax.dsp.design import Band, butterworth
from hsjax.dsp.inputs import floating
from hsjax.dsp.sos import zero_phase


class Baseline(enum.Enum):
    """How the baseline is told from the beats."""

    HIGHPASS = "highpass"  # what is slower than 0.5 Hz
    MEDIAN = "median"  # what is left when medians over 200 and 600 ms have taken out QRS and P, then T


def remove_baseline(
    samples: Shaped[Array, "*batch time"],
    sample_rate: float | int,
    method: Baseline = Baseline.HIGHPASS,
    *,
    cutoff: float | int = 0.5,
    order: int = 3,
    lengths: Int[Array, "*batch"] | Int[np.ndarray, "*batch"] | None = None,
) -> Float[Array, "*batch time"]:
    """An electrocardiogram without its baseline wander.

    `MEDIAN` is de Chazal, O'Dwyer and Reilly 2004 ("Automatic classification of heartbeats using ECG morphology and
    heartbeat interval features"): the median over 200 ms, of that the median over 600 ms, subtracted; windows are the
    nearest odd number of samples, and there are zeros beyond the ends, as `scipy.signal.medfilt` has it.

    Args:
      samples: `(..., time)`.
      sample_rate: Hz.
      method: how.
      cutoff: -3 dB edge of the high-pass run forward and backward, Hz (so -6 dB in the end).
      order: of the high-pass.
      lengths: `(...)`, samples of each recording when they are padded to one length; zeros follow them.

    Returns:
      `(..., time)`.

    Raises:
      ValueError: no samples or, for `HIGHPASS`, fewer than its padding; or an impossible edge.
    """
    if method is Baseline.HIGHPASS:
        return zero_phase(samples, butterworth(order, cutoff, sample_rate, Band.HIGHPASS), lengths=lengths)
    samples = floating(samples)
    inside = jnp.asarray(True)
    if lengths is not None:
        inside = jnp.arange(samples.shape[-1]) < jnp.asarray(lengths)[..., None]
    samples = jnp.where(inside, samples, 0)
    short, long = (2 * round(seconds * sample_rate / 2 - 0.5) + 1 for seconds in (0.2, 0.6))
    # Between the medians too there is nothing beyond the end of a shorter recording.
    baseline = running_median(jnp.where(inside, running_median(samples, short), 0), long)
    return jnp.where(inside, samples - baseline, 0)


def notch(
    samples: Shaped[Array, "*batch time"],
    sample_rate: float | int,
    frequency: float | int = 60.0,
    quality: float | int = 30.0,
    *,
    lengths: Int[Array, "*batch"] | Int[np.ndarray, "*batch"] | None = None,
) -> Float[Array, "*batch time"]:
    """Take out one frequency without delay: `scipy.signal.filtfilt(*scipy.signal.iirnotch(...), samples)`.

    Args:
      samples: `(..., time)`.
      sample_rate: Hz.
      frequency: Hz: 60, or 50 where the mains are.
      quality: frequency over the -3 dB bandwidth of one pass.
      lengths: `(...)`, samples of each recording when they are padded to one length; zeros follow them.

    Returns:
      `(..., time)`.

    Raises:
      ValueError: not `0 < frequency < sample_rate / 2`, a quality that is not positive, or fewer than 10 samples.
    """
    if not 0 < frequency < sample_rate / 2:
        raise ValueError(f"want 0 < frequency < {sample_rate / 2:g} Hz, got {frequency:g}")
    if not quality > 0:
        raise ValueError(f"the quality of a notch is positive, got {quality:g}")
    numerator, denominator = scipy.signal.iirnotch(frequency, quality, fs=sample_rate)
    return zero_phase(samples, np.concatenate([numerator, denominator])[None], lengths=lengths)


def running_median(samples: Shaped[Array, "*batch time"], window: int) -> Float[Array, "*batch time"]:
    """Median of the samples around each one, zeros beyond the ends: `scipy.signal.medfilt(samples, window)`.

    The median is found bit by bit: the largest number that no more than half of the window lies below. That is as many
    passes over the window as a sample has bits, each an addition of comparisons. A NaN counts as larger, with its sign
    bit as smaller, than all numbers. The gradient goes to the sample that is the median.

    Args:
      samples: `(..., time)`.
      window: samples, odd.

    Returns:
      `(..., time)`.

    Raises:
      ValueError: no samples, or a window that is not odd.
    """
    if samples.shape[-1] == 0:
        raise ValueError("want at least one sample to take medians of, got none")
    if window < 1 or window % 2 == 0:
        raise ValueError(f"the window of a running median is odd, got {window}")
    return _running_median(floating(samples), window)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _running_median(samples: Float[Array, "*batch time"], window: int) -> Float[Array, "*batch time"]:
    bits = samples.dtype.itemsize * 8
    unsigned = jnp.dtype(f"uint{bits}")
    top = jnp.asarray(1 << (bits - 1), unsigned)
    # The order of floats as unsigned integers: all bits of negative numbers are flipped, and the sign of the others.
    raw = jax.lax.bitcast_convert_type(samples + 0.0, unsigned)
    ordered = jnp.where(raw >= top, ~raw, raw | top)
    padded = _padded(ordered, window, top)

    def settle(step, found):
        candidate = found | (top >> step.astype(unsigned))
        below = _over_window(lambda near: (near < candidate).astype(jnp.int32), padded, window, jnp.int32)
        return jnp.where(below <= window // 2, candidate, found)

    found = jax.lax.fori_loop(0, bits, settle, jnp.zeros_like(ordered))
    raw = jnp.where(found >= top, found ^ top, ~found)
    return jax.lax.bitcast_convert_type(raw, samples.dtype)


@_running_median.defjvp
def _running_median_jvp(window, primals, tangents):
    (samples,), (tangent,) = primals, tangents
    median = _running_median(samples, window)
    values, moves = _padded(samples, window, 0), _padded(tangent, window, 0)
    time = samples.shape[-1]
    total, count = jnp.zeros_like(samples), jnp.zeros_like(samples)
    for shift in range(window):
        same = (values[..., shift : shift + time] == median).astype(samples.dtype)
        total, count = total + same * moves[..., shift : shift + time], count + same
    return median, total / jnp.maximum(count, 1)


def _padded(samples, window: int, value):
    still = [(0, 0)] * (samples.ndim - 1)
    return jnp.pad(samples, [*still, (window // 2, window // 2)], constant_values=value)


_UNROLLED = 16  # shifts of the window in one pass over the samples


def _over_window(term, padded, window: int, dtype):
    """The sum of `term` over the window around each sample."""
    time = padded.shape[-1] - window + 1

    def add(first, count, total):
        stretch = jax.lax.dynamic_slice_in_dim(padded, first, time + count - 1, axis=-1)
        return total + sum(term(stretch[..., shift : shift + time]) for shift in range(count))

    whole = window // _UNROLLED
    total = jnp.zeros((*padded.shape[:-1], time), dtype)
    if whole:
        total = jax.lax.fori_loop(0, whole, lambda turn, total: add(turn * _UNROLLED, _UNROLLED, total), total)
    rest = window - whole * _UNROLLED
    return add(whole * _UNROLLED, rest, total) if rest else total
