"""Offset and level.

Every function takes `lengths` for recordings padded to one shape: statistics are then of the first `length` samples
alone, and what lies behind them comes out as 0. A sample that is not finite spoils its own recording and no other.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from hsjax.dsp.inputs import floating

# Far below the quantisation step of 16-bit audio (3e-5): only true silence is scaled by it.
_SILENCE = 1e-8

_Lengths = Int[Array, "*batch"] | Int[np.ndarray, "*batch"] | None


def remove_mean(samples: Shaped[Array, "*batch time"], lengths: _Lengths = None) -> Float[Array, "*batch time"]:
    """Subtract each signal's mean over time.

    Raises:
      ValueError: no samples.
    """
    samples, inside = _checked(samples, lengths)
    centred = samples - _mean(samples, inside)
    return centred if inside is None else jnp.where(inside, centred, 0)


def unit_rms(samples: Shaped[Array, "*batch time"], lengths: _Lengths = None) -> Float[Array, "*batch time"]:
    """Divide each signal by its root mean square over time. Silence stays silence.

    Raises:
      ValueError: no samples.
    """
    samples, inside = _checked(samples, lengths)
    power = _mean(jnp.square(samples), inside)
    # The floor stands under the root: the gradient of silence is 0, not NaN.
    return samples * jax.lax.rsqrt(jnp.maximum(power, _SILENCE**2))


def z_score(samples: Shaped[Array, "*batch time"], lengths: _Lengths = None) -> Float[Array, "*batch time"]:
    """Zero mean and unit standard deviation over time (`scipy.stats.zscore`). A constant signal becomes silence.

    Raises:
      ValueError: no samples.
    """
    samples, _ = _checked(samples, None)
    # The offset first: float32 sums of half an hour on a large offset lose the mean.
    return unit_rms(remove_mean(samples - samples[..., :1], lengths), lengths)


def peak(samples: Shaped[Array, "*batch time"], lengths: _Lengths = None) -> Float[Array, "*batch time"]:
    """Divide each signal by its largest absolute value. Silence stays silence.

    Raises:
      ValueError: no samples.
    """
    samples, _ = _checked(samples, lengths)
    return samples / jnp.maximum(jnp.max(jnp.abs(samples), axis=-1, keepdims=True), _SILENCE)


def min_max(samples: Shaped[Array, "*batch time"], lengths: _Lengths = None) -> Float[Array, "*batch time"]:
    """Map each signal's range over time to [0, 1] (`sklearn.preprocessing.minmax_scale`). A constant one becomes 0.

    Raises:
      ValueError: no samples.
    """
    samples, inside = _checked(samples, lengths)
    there = True if inside is None else inside
    low = jnp.min(samples, axis=-1, keepdims=True, where=there, initial=jnp.inf)
    high = jnp.max(samples, axis=-1, keepdims=True, where=there, initial=-jnp.inf)
    scaled = (samples - low) / jnp.maximum(high - low, _SILENCE)
    return scaled if inside is None else jnp.where(inside, scaled, 0)


def _checked(
    samples: Shaped[Array, "*batch time"], lengths: _Lengths
) -> tuple[Float[Array, "*batch time"], Bool[Array, "*batch time"] | None]:
    samples = floating(samples)
    time = samples.shape[-1]
    if time == 0:
        raise ValueError("want at least one sample to normalise, got none")
    if lengths is None:
        return samples, None
    inside = jnp.arange(time) < jnp.asarray(lengths)[..., None]
    return jnp.where(inside, samples, 0), inside


def _mean(samples: Float[Array, "*batch time"], inside: Bool[Array, "*batch time"] | None) -> Float[Array, "*batch 1"]:
    if inside is None:
        return jnp.mean(samples, axis=-1, keepdims=True)
    count = jnp.maximum(jnp.sum(inside, axis=-1, keepdims=True), 1)
    return jnp.sum(jnp.where(inside, samples, 0), axis=-1, keepdims=True) / count
