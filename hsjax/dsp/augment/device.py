"""Another stethoscope: the same heart heard through a device with a random smooth frequency response."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jaxtyping import Array, Float, Key

from hsjax.dsp.augment.draw import Range, Scalar, draw, working

# Below this no stethoscope differs from another in what a heart sound shows; the lowest band is a shelf from here down.
_LOWEST_HZ = 20.0


def stethoscope(
    key: Key[Array, ""],
    samples: Float[Array, "*channels time"],
    sample_rate: float | int,
    gain_db: Scalar = 6.0,
    corner: Range = (200.0, 1000.0),
    bands: int = 6,
    order: int = 2,
) -> Float[Array, "*channels time"]:
    """The samples through a random equaliser and a random low-pass, all channels alike.

    The response is drawn afresh for each example (`random_response`) and applied without phase, so that onsets stay
    where their annotations are. By multiplication in the Fourier domain with 1 s of zeros behind the signal, in
    which the response dies away.

    Args:
      key: of this example.
      samples: `(..., time)`, any unit. A NaN spreads over its channel.
      sample_rate: Hz.
      gain_db: bound of the equaliser in dB, to both sides; 0 for none.
      corner: -3 dB corner of the low-pass in Hz, or a range to draw from; infinity for none.
      bands: of the equaliser, from 20 Hz to half the sample rate, equally spaced in octaves. The first and the last
        are shelves, the others bells.
      order: of the low-pass, 6 dB an octave each.

    Returns:
      The same shape and dtype; the energy is at most `10 ** (gain_db / 10)` times what it was.

    Raises:
      ValueError: no samples, no bands, a sample rate of 40 Hz or less, or a range the wrong way round.
    """
    values = working(samples)
    time = values.shape[-1]
    length = scipy.fft.next_fast_len(time + int(sample_rate), real=True)
    frequencies = np.arange(length // 2 + 1) * (sample_rate / length)
    response_db = random_response(key, frequencies, sample_rate, gain_db, corner, bands, order)
    response = 10.0 ** (response_db.astype(values.dtype) / 20.0)
    heard = jnp.fft.irfft(jnp.fft.rfft(values, length) * response, length)
    return heard[..., :time].astype(samples.dtype)


def random_response(
    key: Key[Array, ""],
    frequencies: Float[np.ndarray, " bins"],
    sample_rate: float | int,
    gain_db: Scalar = 6.0,
    corner: Range = (200.0, 1000.0),
    bands: int = 6,
    order: int = 2,
) -> Float[Array, " bins"]:
    """A random smooth frequency response: an equaliser within a bound, and a Butterworth low-pass.

    The gains of the bands are uniform within the bound; between the bands the response is their mean weighted by
    Gaussians of the distance in octaves, so it never leaves the bound.

    Args:
      key: of this example.
      frequencies: Hz, host array.
      sample_rate: Hz.
      gain_db: bound of the equaliser in dB.
      corner: Hz, or a range to draw from.
      bands: of the equaliser.
      order: of the low-pass.

    Returns:
      dB, `(bins,)`.

    Raises:
      ValueError: no bands, or a sample rate of 40 Hz or less.
    """
    if bands < 1 or sample_rate <= 2 * _LOWEST_HZ:
        raise ValueError(
            f"want at least one band and a sample rate above {2 * _LOWEST_HZ:g} Hz, got {bands} and {sample_rate:g} Hz"
        )
    for_gains, for_corner = jax.random.split(key)
    centres = np.linspace(np.log2(_LOWEST_HZ), np.log2(sample_rate / 2), bands)
    spacing = centres[1] - centres[0] if bands > 1 else 1.0
    octaves = np.clip(np.log2(np.maximum(frequencies, 1e-9)), centres[0], centres[-1])
    weights = np.exp(-0.5 * np.square((octaves[:, None] - centres) / (0.5 * spacing)))
    weights /= weights.sum(axis=1, keepdims=True)
    dtype = jnp.result_type(float)
    gains = jax.random.uniform(for_gains, (bands,), dtype, -1.0, 1.0) * gain_db
    equaliser = jnp.matmul(jnp.asarray(weights, dtype), gains, precision=jax.lax.Precision.HIGHEST)
    ratio = jnp.asarray(frequencies, dtype) / draw(for_corner, corner, dtype)
    # The log of a power that overflows in float32 only above 1e9 times the corner.
    return equaliser - (10.0 / np.log(10.0)) * jnp.log1p(ratio ** (2 * order))
