"""Power and magnitude in decibels and back."""

import enum

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.dsp.inputs import floating

_LOG_TO_DB = 10.0 / np.log(10.0)


class Reference(enum.Enum):
    """What 0 dB is, where it is not a number. MAX: each spectrogram's own maximum (librosa's `ref=np.max`)."""

    MAX = "max"


def power_to_db(
    power: Float[Array, "*batch frames bins"],
    ref: float | int | Reference = 1.0,
    amin: float | int = 1e-10,
    top_db: float | int | None = 80.0,
) -> Float[Array, "*batch frames bins"]:
    """`10 log10(power / ref)` above a floor, as `librosa.power_to_db` computes it for each spectrogram by itself.

    librosa takes the maxima of `ref=np.max` and `top_db` over the whole array it is given, a batch included; here
    they are over the last two axes, so that no recording changes with its neighbours.

    Args:
      power: `(..., frames, bins)`, or `(..., bins, frames)`. A NaN stays one; with `Reference.MAX` or a
        `top_db` it spreads to its whole spectrogram where the device's maximum takes it.
      ref: power of 0 dB, its absolute value counts; or `Reference.MAX`.
      amin: floor of both power and reference. Silence is `10 log10(amin / ref)`.
      top_db: floor below each spectrogram's maximum, dB; None for no such floor.

    Returns:
      dB, same shape. Its gradient is zero where a floor holds.

    Raises:
      ValueError: `amin` is not positive or `top_db` is negative.
    """
    return _to_db(floating(power), 1.0, ref, amin, top_db)


def magnitude_to_db(
    magnitude: Float[Array, "*batch frames bins"],
    ref: float | int | Reference = 1.0,
    amin: float | int = 1e-5,
    top_db: float | int | None = 80.0,
) -> Float[Array, "*batch frames bins"]:
    """`20 log10(magnitude / ref)` above a floor, as `librosa.amplitude_to_db`; otherwise as `power_to_db`.

    Args:
      magnitude: `(..., frames, bins)`; its absolute value counts.
      ref: magnitude of 0 dB or `Reference.MAX`.
      amin: floor of both magnitude and reference.
      top_db: floor below each spectrogram's maximum, dB; None for no such floor.

    Returns:
      dB, same shape.

    Raises:
      ValueError: as `power_to_db`.
    """
    return _to_db(jnp.abs(floating(magnitude)), 2.0, ref, amin, top_db)


def db_to_power(db: Float[Array, "*shape"], ref: float | int = 1.0) -> Float[Array, "*shape"]:
    """`ref * 10 ** (db / 10)`, the inverse of `power_to_db` above its floors (`librosa.db_to_power`)."""
    return ref * jnp.exp(floating(db) / _LOG_TO_DB)


def db_to_magnitude(db: Float[Array, "*shape"], ref: float | int = 1.0) -> Float[Array, "*shape"]:
    """`abs(ref) * 10 ** (db / 20)`, the inverse of `magnitude_to_db` above its floors (`librosa.db_to_amplitude`)."""
    return abs(ref) * jnp.exp(floating(db) / (2 * _LOG_TO_DB))


def _to_db(
    level: Float[Array, "*batch frames bins"],
    exponent: float,
    ref: float | int | Reference,
    amin: float | int,
    top_db: float | int | None,
) -> Float[Array, "*batch frames bins"]:
    if amin <= 0 or (top_db is not None and top_db < 0):
        raise ValueError(f"want a positive amin and a top_db that is not negative, got {amin}, {top_db}")
    # Not jnp.maximum, of which XLA on a CPU makes one that takes the floor instead of a NaN.
    db = exponent * _LOG_TO_DB * jnp.log(jnp.where(level < amin, amin, level))
    if isinstance(ref, Reference):
        db = db - jnp.max(db, axis=(-2, -1), keepdims=True)  # the logarithm of the maximum, for log is monotone
    else:
        db = db - exponent * _LOG_TO_DB * np.log(max(abs(ref), amin))
    if top_db is None:
        return db
    lowest = jnp.max(db, axis=(-2, -1), keepdims=True) - top_db
    return jnp.where(db < lowest, lowest, db)
