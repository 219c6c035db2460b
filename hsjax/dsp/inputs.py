"""What every entry point of this room does with the dtype of what it is given."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

_FULL_SCALE = {"uint8": 128.0, "int16": 32768.0, "int32": 2147483648.0}


def floating(samples: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """The samples in a dtype that signals can be computed in.

    float32 and float64 stay what they are; half precision (float16, bfloat16) is computed in float32, for a sum of
    a thousand squares does not survive 8 bits of mantissa.

    Raises:
      TypeError: integers, which a silent conversion would leave at full scale 32768 instead of 1.
    """
    samples = jnp.asarray(samples)
    if not jnp.issubdtype(samples.dtype, jnp.floating):
        raise TypeError(f"samples are {samples.dtype}; bring them to floating point first, as dsp.from_pcm does")
    return samples.astype(jnp.promote_types(samples.dtype, jnp.float32))


def from_pcm(samples: Shaped[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
    """Integer PCM (uint8 with offset 128, int16, int32) to floating point with full scale 1, as soundfile decodes it.

    Raises:
      TypeError: another dtype.
    """
    # Before it becomes an array of JAX, which narrows 64 bits to 32.
    if samples.dtype.name not in _FULL_SCALE:
        raise TypeError(f"PCM samples are uint8, int16 or int32, got {samples.dtype}")
    full_scale = _FULL_SCALE[samples.dtype.name]
    offset = 128.0 if samples.dtype == np.uint8 else 0.0
    return (jnp.asarray(samples).astype(jnp.result_type(float)) - offset) / full_scale
