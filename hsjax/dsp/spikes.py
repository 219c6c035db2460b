"""Removing spikes: the short clicks of friction and handling that tower above the heart sounds."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from hsjax.dsp import inputs

# Schmidt et al. 2010: windows of 500 ms; a spike is what exceeds three times the median of their maxima.
_WINDOW_SECONDS = 0.5
_TIMES_MEDIAN = 3.0


def remove_spikes(
    samples: Shaped[Array, "*batch time"],
    sample_rate: float | int,
    lengths: Int[Array, "*batch"] | Int[np.ndarray, "*batch"] | None = None,
    replacement: float = 1e-4,
) -> Float[Array, "*batch time"]:
    """Flatten the spikes of whole recordings (Schmidt et al. 2010, Physiol. Meas. 31:513).

    A recording is divided into windows of 500 ms. As long as the largest absolute amplitude of any window exceeds
    three times the median of all of them, the window with the largest one is taken, and the stretch around its peak,
    from the last zero crossing at or before to the first behind it (or the window's border), is replaced.

    Details the paper leaves open follow the implementation Springer published: samples behind the last whole window
    are neither looked at nor changed; a zero crossing is two neighbours of opposite sign, and the sample in front of
    it counts as the crossing; the stretch becomes 0.0001 (full scale 1), where the paper says zero, because a zero
    would hide the crossings next to it. That implementation never ends when three times the median is below the
    replacement (more than half a recording silent); here samples not above the replacement are never touched.

    The gradient is that of the samples that stay.

    Args:
      samples: `(..., time)`; whatever lies behind a recording's length comes back as it is.
      sample_rate: Hz.
      lengths: `(...)`, valid samples of each recording; None: all.
      replacement: value of the flattened stretches, same unit as the samples.

    Returns:
      `(..., time)`. A recording shorter than one window, constant or silent, or with a NaN in any of its whole
      windows, comes back unchanged.

    Raises:
      ValueError: fewer than 4 samples per second, or a replacement that is negative.
    """
    samples = inputs.floating(samples)
    window = round(_WINDOW_SECONDS * sample_rate)
    if window < 2:
        raise ValueError(f"want a sample rate of at least 4 Hz, got {sample_rate:g}")
    if replacement < 0:
        raise ValueError(f"want a replacement of 0 or more, got {replacement:g}")
    batch, time = samples.shape[:-1], samples.shape[-1]
    count = time // window
    if count == 0 or samples.size == 0:
        return samples
    whole = jnp.broadcast_to(time if lengths is None else lengths, batch).reshape(-1) // window
    windows = jax.lax.stop_gradient(samples[..., : count * window]).reshape(-1, count, window)
    flattened = _flatten_all(windows, jnp.minimum(whole, count), jnp.asarray(replacement, samples.dtype))
    replaced = (flattened == jnp.asarray(replacement, samples.dtype)).reshape(*batch, count * window)
    replaced = jnp.pad(replaced, [(0, 0)] * len(batch) + [(0, time - count * window)])
    return jnp.where(replaced, jnp.asarray(replacement, samples.dtype), samples)


def _flatten_all(
    windows: Float[Array, "recordings windows window"], whole: Int[Array, " recordings"], replacement: Float[Array, ""]
) -> Float[Array, "recordings windows window"]:
    """One window of every recording per step, until no recording has a spike; a step touches nothing else.

    It ends: a step replaces at least one sample above the replacement in every recording that still has a spike.
    """
    rows = jnp.arange(windows.shape[0])
    valid = jnp.arange(windows.shape[1]) < whole[:, None]
    # Windows behind the end sort last in the median and are never the largest.
    maxima = jnp.where(valid, jnp.max(jnp.abs(windows), axis=-1), jnp.inf)

    def spiky(maxima: Float[Array, "recordings windows"]) -> Bool[Array, " recordings"]:
        ordered = jnp.sort(maxima, axis=-1)
        middle = jnp.stack([(whole - 1) // 2, whole // 2], axis=-1).clip(0, windows.shape[1] - 1)
        median = jnp.sum(jnp.take_along_axis(ordered, middle, axis=-1), axis=-1) / 2
        largest = jnp.max(jnp.where(valid, maxima, 0), axis=-1)  # NaN where there is one: compares as no spike
        return (largest > _TIMES_MEDIAN * median) & (largest > replacement)

    def step(state):
        windows, maxima, todo = state
        chosen = jnp.argmax(jnp.where(valid, maxima, 0), axis=-1)
        before = windows[rows, chosen]
        after = jnp.where(todo[:, None], _flatten_largest(before, replacement), before)
        windows = windows.at[rows, chosen].set(after, unique_indices=True)
        largest = jnp.where(todo, jnp.max(jnp.abs(after), axis=-1), maxima[rows, chosen])
        maxima = maxima.at[rows, chosen].set(largest, unique_indices=True)
        return windows, maxima, spiky(maxima)

    return jax.lax.while_loop(lambda state: jnp.any(state[2]), step, (windows, maxima, spiky(maxima)))[0]


def _flatten_largest(
    windows: Float[Array, "recordings window"], replacement: Float[Array, ""]
) -> Float[Array, "recordings window"]:
    """Replace the stretch between the zero crossings around the largest absolute amplitude."""
    last = windows.shape[-1] - 1
    index = jnp.arange(windows.shape[-1])
    peak = jnp.argmax(jnp.abs(windows), axis=-1)[:, None]
    crossing = jnp.pad(jnp.sign(windows[:, :-1]) * jnp.sign(windows[:, 1:]) < 0, ((0, 0), (0, 1)))
    start = jnp.max(jnp.where(crossing & (index <= peak), index, 0), axis=-1, keepdims=True)
    end = jnp.min(jnp.where(crossing & (index > peak), index, last), axis=-1, keepdims=True)
    return jnp.where((index >= start) & (index <= end), replacement, windows)
