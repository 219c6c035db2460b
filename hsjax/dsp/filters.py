"""Linear filters: designed with SciPy in float64, applied in JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal
from jaxtyping import Array, Float


def butterworth_fir(
    order: int, low: float | int, high: float | int, sample_rate: float | int, tail: float | int = 1e-6
) -> Float[np.ndarray, " taps"]:
    """Impulse response of a causal Butterworth band-pass, cut where it has died away; float64.

    The FIR form has no feedback, so it exports to any runtime and batches well; for 20-400 Hz of order 3 at 2 kHz
    it takes about 500 taps to equal `scipy.signal.sosfilt` to 1e-6.

    Args:
      order: of the low-pass prototype; `scipy.signal.butter`'s `N` (the band-pass has twice as many poles).
      low: lower -3 dB edge, Hz.
      high: upper -3 dB edge, Hz.
      sample_rate: Hz.
      tail: the cut leaves at most this much of the response's absolute sum.

    Returns:
      `(taps,)`.

    Raises:
      ValueError: not `0 < low < high < sample_rate / 2`, or the response is longer than 10 s.
    """
    if not 0 < low < high < sample_rate / 2:
        raise ValueError(f"want 0 < low < high < {sample_rate / 2:g} Hz, got {low:g} and {high:g}")
    sections = scipy.signal.butter(order, [low, high], "bandpass", fs=sample_rate, output="sos")
    impulse = np.zeros(int(10 * sample_rate))
    impulse[0] = 1.0
    response = np.asarray(scipy.signal.sosfilt(sections, impulse))
    remaining = np.cumsum(np.abs(response)[::-1])[::-1]
    above = np.flatnonzero(remaining > tail * remaining[0])
    if above[-1] + 1 == response.size:
        raise ValueError(f"a {low:g} Hz edge of order {order} rings for more than 10 s: raise it or the tail")
    return response[: above[-1] + 1]


def fir_filter(
    samples: Float[Array, "*batch time"], taps: Float[np.ndarray, " taps"], block: int = 64
) -> Float[Array, "*batch time"]:
    """Causal convolution with zero initial state: `scipy.signal.lfilter(taps, 1, samples)`.

    Computed block by block as one matrix product with a Toeplitz matrix: `block + taps` multiplications per sample,
    but at the speed of matrix products, which no runtime does badly (a convolution with one channel and 500 taps
    is slow in all of them).

    Args:
      samples: `(..., time)`.
      taps: `(taps,)`, host array.
      block: samples computed together.

    Returns:
      `(..., time)`.
    """
    time = samples.shape[-1]
    blocks = -(-time // block)
    history = -(-(len(taps) - 1) // block)
    lag = history * block + np.arange(block)[None, :] - np.arange((history + 1) * block)[:, None]
    inside = (lag >= 0) & (lag < len(taps))
    toeplitz = np.where(inside, np.asarray(taps)[np.clip(lag, 0, len(taps) - 1)], 0.0)
    batch = samples.shape[:-1]
    padded = jnp.pad(samples, [(0, 0)] * len(batch) + [(history * block, blocks * block - time)])
    rows = padded.reshape(*batch, history + blocks, block)
    context = jnp.concatenate([rows[..., k : k + blocks, :] for k in range(history + 1)], axis=-1)
    kernel = jnp.asarray(toeplitz, samples.dtype)
    filtered = jnp.matmul(context, kernel, precision=jax.lax.Precision.HIGHEST)
    return filtered.reshape(*batch, blocks * block)[..., :time]
