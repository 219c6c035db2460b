"""Offset and level."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Far below the quantisation step of 16-bit audio (3e-5): only true silence is scaled by it.
_SILENCE = 1e-8


def remove_mean(samples: Float[Array, "*batch time"]) -> Float[Array, "*batch time"]:
    """Subtract each signal's mean over time."""
    return samples - jnp.mean(samples, axis=-1, keepdims=True)


def unit_rms(samples: Float[Array, "*batch time"]) -> Float[Array, "*batch time"]:
    """Divide each signal by its root mean square over time. Silence stays silence."""
    power = jnp.mean(jnp.square(samples), axis=-1, keepdims=True)
    # The floor stands under the root: the gradient of silence is 0, not NaN.
    return samples * jax.lax.rsqrt(jnp.maximum(power, _SILENCE**2))
