"""The level-3 detail of the reverse biorthogonal wavelet 3.9."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hsjax.dsp.segmentation.strided import correlate

# rbio3.9 analyses with the synthesis filters of bior3.9 (Cohen, Daubechies & Feauveau 1992, Comm. Pure Appl. Math.
# 45:485): the low-pass is (1 + z)^3 sqrt(2) / 8, eight zeros on either side; the high-pass is antisymmetric.
_TAPS = 20
_LOW = np.array([1.0, 3.0, 3.0, 1.0]) * np.sqrt(2) / 8
_HIGH_HALF = np.array([63.0, 189.0, -469.0, -1911.0, 1308.0, 9188.0, -1140.0, -29676.0, -190.0, 87318.0]) / 2**16.5
_HIGH = np.concatenate([_HIGH_HALF, -_HIGH_HALF[::-1]])
# The filters' exact delay: coefficient i of level 3 stands for samples 8 i - 63 to 8 i - 56.
DELAY = 63


def detail(samples: Float[Array, "*batch time"], lengths: Int[Array, "*batch"]) -> Float[Array, "*batch coefficients"]:
    """Level-3 detail coefficients of rbio3.9: `pywt.wavedec(x, "rbio3.9", "symmetric", 3)[1]` of each valid part.

    Args:
      samples: `(..., time)`.
      lengths: `(...)`, valid samples.

    Returns:
      `(..., coefficients)`; a recording of n samples has n' after three times n' = floor((n + 19) / 2), and what
      lies behind them means nothing.
    """
    for _ in range(2):
        count = (samples.shape[-1] + _TAPS - 1) // 2
        # Output i of a level weighs samples 2 i - 18 to 2 i + 1; the low-pass is not zero on 2 i - 10 to 2 i - 7.
        samples = correlate(_mirrored(samples, lengths)[..., 9:], _LOW[:, None], 2, count)[..., 0]
        lengths = (lengths + _TAPS - 1) // 2
    count = (samples.shape[-1] + _TAPS - 1) // 2
    return correlate(_mirrored(samples, lengths)[..., 1:], _HIGH[::-1, None], 2, count)[..., 0]


def _mirrored(samples: Float[Array, "*batch time"], lengths: Int[Array, "*batch"]) -> Float[Array, "*batch padded"]:
    """The valid part with 19 samples of half-sample symmetric extension on both sides (`np.pad`'s "symmetric")."""
    reach, time = _TAPS - 1, samples.shape[-1]
    beyond = jnp.arange(reach)
    ends = jnp.concatenate([jnp.broadcast_to(beyond - reach, (*lengths.shape, reach)), lengths[..., None] + beyond], -1)
    period = 2 * jnp.maximum(lengths, 1)[..., None]
    folded = jnp.mod(ends, period)
    source = jnp.where(folded < lengths[..., None], folded, period - 1 - folded)
    values = jnp.take_along_axis(samples, jnp.minimum(source, time - 1), axis=-1)
    padded = jnp.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(reach, reach)])
    padded = padded.at[..., :reach].set(values[..., :reach])
    flat, tails = padded.reshape(-1, time + 2 * reach), values[..., reach:].reshape(-1, reach)
    write = jax.vmap(lambda row, tail, start: jax.lax.dynamic_update_slice(row, tail, (start,)))
    return write(flat, tails, lengths.reshape(-1) + reach).reshape(padded.shape)
