"""What disturbs an electrocardiogram: wandering baseline, hum of the mains, muscles.

Amplitudes are absolute, in the unit of the samples, as electrodes and not the heart make these.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from hsjax.dsp.augment.draw import Range, draw, working
from hsjax.dsp.augment.speed import positions

# Breathing and moving electrodes, below what an electrocardiogram shows of the heart.
_WANDER_HZ = (0.05, 0.5)
_MUSCLE_HZ = (20.0, 150.0)


def baseline_wander(
    key: Key[Array, ""],
    samples: Float[Array, "*channels time"],
    sample_rate: float | int,
    amplitude: Range,
    band: tuple[float | int, float | int] = _WANDER_HZ,
    waves: int = 8,
) -> Float[Array, "*channels time"]:
    """The samples on a baseline that is a sum of slow sines of random frequency, share and phase, all channels alike.

    A NaN stays where it is.

    Args:
      key: of this example.
      samples: `(..., time)`, millivolts or any unit.
      sample_rate: Hz.
      amplitude: bound of the wander, the sum of the amplitudes of its sines; or a range to draw from. 0 changes
        nothing.
      band: lowest and highest frequency in Hz.
      waves: number of sines.

    Returns:
      The same shape and dtype, nowhere further from the samples than `amplitude`.

    Raises:
      ValueError: no samples, a range the wrong way round, no waves, or not `0 <= low <= high < sample_rate / 2`.
    """
    low, high = band
    if waves < 1 or not 0 <= low <= high < sample_rate / 2:
        raise ValueError(
            f"want at least one wave and 0 <= low <= high < {sample_rate / 2:g} Hz, got {waves}, {low:g} and {high:g}"
        )
    values = working(samples)
    for_amplitude, for_frequency, for_share, for_phase = jax.random.split(key, 4)
    frequency = jax.random.uniform(for_frequency, (waves,), values.dtype, low, high)
    # Not exactly zero, for all shares may be drawn so.
    share = jax.random.uniform(for_share, (waves,), values.dtype, 1e-3, 1.0)
    share = share * draw(for_amplitude, amplitude, values.dtype) / jnp.sum(share)
    wander = _sines(for_phase, values.shape[-1], frequency / sample_rate, share)
    return (values + wander).astype(samples.dtype)


def powerline_hum(
    key: Key[Array, ""],
    samples: Float[Array, "*channels time"],
    sample_rate: float | int,
    amplitude: Range,
    mains: Range = 50.0,
    harmonics: int = 3,
) -> Float[Array, "*channels time"]:
    """The samples under the hum of the mains: a sine and harmonics falling as 1/n, of random phase, all channels alike.

    A NaN stays where it is.

    Args:
      key: of this example.
      samples: `(..., time)`, millivolts or any unit.
      sample_rate: Hz.
      amplitude: bound of the hum, the sum of the amplitudes of its sines; or a range to draw from. 0 changes nothing.
      mains: Hz, 50 in most of the world and 60 in North America; or a range to draw from.
      harmonics: number of sines, the fundamental included. Those at half the sample rate and above are left out.

    Returns:
      The same shape and dtype, nowhere further from the samples than `amplitude`.

    Raises:
      ValueError: no samples, a range the wrong way round, or no harmonics.
    """
    if harmonics < 1:
        raise ValueError(f"want at least one harmonic, the fundamental, got {harmonics}")
    values = working(samples)
    for_amplitude, for_mains, for_phase = jax.random.split(key, 3)
    number = jnp.arange(1, harmonics + 1, dtype=values.dtype)
    cycles = number * draw(for_mains, mains, values.dtype) / sample_rate
    share = jnp.where(cycles < 0.5, draw(for_amplitude, amplitude, values.dtype) / number, 0.0)
    share = share / np.sum(1 / np.arange(1, harmonics + 1))
    return (values + _sines(for_phase, values.shape[-1], cycles, share)).astype(samples.dtype)


def muscle_noise(
    key: Key[Array, ""],
    samples: Float[Array, "*channels time"],
    sample_rate: float | int,
    amplitude: Range,
    band: tuple[float | int, float | int] = _MUSCLE_HZ,
) -> Float[Array, "*channels time"]:
    """The samples under Gaussian noise in the band of muscles, independent between channels.

    A NaN stays where it is.

    Args:
      key: of this example.
      samples: `(..., time)`, millivolts or any unit.
      sample_rate: Hz.
      amplitude: root mean square of the noise, exactly; or a range to draw from. 0 changes nothing.
      band: lowest and highest frequency in Hz; what lies above half the sample rate is left out.

    Returns:
      The same shape and dtype. Unchanged where the signal is too short to hold a frequency of the band.

    Raises:
      ValueError: no samples, a range the wrong way round, or not `0 <= low < high` and `low < sample_rate / 2`.
    """
    low, high = band
    if not 0 <= low < min(high, sample_rate / 2):
        raise ValueError(f"want 0 <= low < high and low < {sample_rate / 2:g} Hz, got {low:g} and {high:g} Hz")
    values = working(samples)
    time = values.shape[-1]
    for_amplitude, for_noise = jax.random.split(key)
    frequency = np.arange(time // 2 + 1) * (sample_rate / time)
    inside = (frequency >= low) & (frequency <= high) & (frequency > 0)
    if not inside.any():
        return values.astype(samples.dtype)
    white = jnp.fft.rfft(jax.random.normal(for_noise, values.shape, values.dtype))
    noise = jnp.fft.irfft(white * inside.astype(values.dtype), time)
    power = jnp.mean(jnp.square(noise), axis=-1, keepdims=True)
    return (values + noise * draw(for_amplitude, amplitude, values.dtype) * jax.lax.rsqrt(power)).astype(samples.dtype)


def _sines(
    key: Key[Array, ""], time: int, cycles: Float[Array, " waves"], share: Float[Array, " waves"]
) -> Float[Array, " {time}"]:
    """A sum of sines of so many cycles a sample and of such amplitudes, of random phase."""
    _, turns = jax.vmap(lambda rate: positions(time, rate, cycles.dtype))(cycles)
    phase = jax.random.uniform(key, cycles.shape, cycles.dtype)
    return jnp.sum(share[:, None] * jnp.sin(2 * np.pi * (turns + phase[:, None])), axis=0)
