"""Additive noise at a given ratio of signal to noise, exact on the powers of the two as they are."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from hsjax.dsp.augment.draw import Range, Scalar, draw, working


def add_white_noise(
    key: Key[Array, ""], samples: Float[Array, "*channels time"], snr_db: Range
) -> Float[Array, "*channels time"]:
    """The samples under Gaussian noise of equal power at all frequencies, independent between channels.

    Args:
      key: of this example.
      samples: `(..., time)`, any unit.
      snr_db: ratio of signal to noise in dB as in `mix_at_snr`, or a range to draw from.

    Returns:
      The same shape and dtype.

    Raises:
      ValueError: no samples, or a range the wrong way round.
    """
    return add_coloured_noise(key, samples, snr_db, exponent=0.0)


def add_pink_noise(
    key: Key[Array, ""], samples: Float[Array, "*channels time"], snr_db: Range
) -> Float[Array, "*channels time"]:
    """The samples under Gaussian noise whose power falls as 1/f, 10 dB a decade, as rooms and bodies make it.

    Args:
      key: of this example.
      samples: `(..., time)`, any unit.
      snr_db: ratio of signal to noise in dB as in `mix_at_snr`, or a range to draw from.

    Returns:
      The same shape and dtype.

    Raises:
      ValueError: no samples, or a range the wrong way round.
    """
    return add_coloured_noise(key, samples, snr_db, exponent=1.0)


def add_coloured_noise(
    key: Key[Array, ""], samples: Float[Array, "*channels time"], snr_db: Range, exponent: Range
) -> Float[Array, "*channels time"]:
    """The samples under Gaussian noise whose power falls as a power of the frequency.

    Args:
      key: of this example.
      samples: `(..., time)`, any unit.
      snr_db: ratio of signal to noise in dB as in `mix_at_snr`, or a range to draw from.
      exponent: power density is `1 / f ** exponent`: 0 white, 1 pink, 2 brown; or a range to draw from.

    Returns:
      The same shape and dtype.

    Raises:
      ValueError: no samples, or a range the wrong way round.
    """
    values = working(samples)
    for_level, for_colour, for_noise = jax.random.split(key, 3)
    white = jax.random.normal(for_noise, values.shape, values.dtype)
    noise = shape_spectrum(white, draw(for_colour, exponent, values.dtype))
    return mix_at_snr(values, noise, draw(for_level, snr_db, values.dtype)).astype(samples.dtype)


def add_recorded_noise(
    key: Key[Array, ""],
    samples: Float[Array, "*channels time"],
    recordings: Float[Array, "clips noise_time"],
    snr_db: Range,
) -> Float[Array, "*channels time"]:
    """The samples under a stretch of one of several recordings of noise, begun anywhere and repeated in a circle.

    All channels get the same stretch, each at its own level. A NaN in the stretch spreads nowhere: such noise, and
    silent noise, is not added.

    Args:
      key: of this example.
      samples: `(..., time)`, any unit.
      recordings: `(clips, time)` at the same sample rate, any unit, shorter or longer than the samples.
      snr_db: ratio of signal to noise in dB as in `mix_at_snr`, or a range to draw from.

    Returns:
      The same shape and dtype.

    Raises:
      ValueError: no samples, no noise, or a range the wrong way round.
    """
    values, noises = working(samples), working(recordings).astype(working(samples).dtype)
    clips, length = noises.shape
    for_level, for_clip, for_start = jax.random.split(key, 3)
    start = jax.random.randint(for_start, (), 0, length)
    place = (start + jnp.arange(values.shape[-1])) % length
    stretch = noises[jax.random.randint(for_clip, (), 0, clips), place]
    stretch = jnp.where(jnp.all(jnp.isfinite(stretch)), stretch, 0.0)
    noise = jnp.broadcast_to(stretch, values.shape)
    return mix_at_snr(values, noise, draw(for_level, snr_db, values.dtype)).astype(samples.dtype)


def mix_at_snr(
    samples: Float[Array, "*channels time"], noise: Float[Array, "*channels time"], snr_db: Scalar
) -> Float[Array, "*channels time"]:
    """`samples + noise`, the noise scaled so that the ratio of the two mean squares is `snr_db`, channel by channel.

    The mean square is the plain one: what stands on an offset has the power of the offset too. No noise is added to
    a channel of silence (it has no ratio to anything) or to one that holds a NaN, which stays where it is.

    Args:
      samples: `(..., time)`, any unit.
      noise: `(..., time)`, any unit.
      snr_db: dB; infinity for no noise.

    Returns:
      `(..., time)`.
    """
    signal_power = jnp.mean(jnp.square(samples), axis=-1, keepdims=True)
    noise_power = jnp.mean(jnp.square(noise), axis=-1, keepdims=True)
    usable = (signal_power > 0) & (noise_power > 0)
    # Both sides of the quotient are replaced, for the gradient of the branch not taken must be finite as well.
    quotient = jnp.where(usable, signal_power, 1.0) / jnp.where(usable, noise_power, 1.0)
    scale = jnp.sqrt(quotient) * 10.0 ** (-jnp.asarray(snr_db, samples.dtype) / 20.0)
    return samples + jnp.where(usable, scale, 0.0) * noise


def shape_spectrum(white: Float[Array, "*channels time"], exponent: Scalar) -> Float[Array, "*channels time"]:
    """White noise given a power density of `1 / f ** exponent`, without offset; `exponent` 0 only takes the offset.

    By multiplication in the Fourier domain over the whole length, so the noise closes to a circle.

    Args:
      white: `(..., time)`.
      exponent: 0 white, 1 pink, 2 brown.

    Returns:
      `(..., time)`; zero where there is only one sample.
    """
    time = white.shape[-1]
    # Relative to the lowest frequency, whose amplitude is kept: a long brown noise does not underflow.
    frequency = np.maximum(np.arange(time // 2 + 1), 1)
    amplitude = jnp.asarray(frequency, white.dtype) ** (-jnp.asarray(exponent, white.dtype) / 2)
    amplitude = amplitude * np.sign(np.arange(time // 2 + 1)).astype(white.dtype)
    return jnp.fft.irfft(jnp.fft.rfft(white) * amplitude, time)
