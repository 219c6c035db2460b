"""Level and place of a recording: gain, polarity, shift in time, clipping."""

import enum

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from hsjax.dsp.augment.draw import Range, Scalar, draw, draw_integer, happens, working


class Edge(enum.Enum):
    """What comes in at one end when a signal is shifted: zeros, or what left at the other end."""

    ZERO = "zero"
    CIRCULAR = "circular"


def gain(
    key: Key[Array, ""], samples: Float[Array, "*channels time"], gain_db: Range = (-6.0, 6.0)
) -> Float[Array, "*channels time"]:
    """The samples louder or softer, all channels alike. A NaN stays where it is.

    Args:
      key: of this example.
      samples: `(..., time)`, any unit.
      gain_db: dB, or a range to draw from; 0 changes nothing.

    Returns:
      The same shape and dtype.

    Raises:
      ValueError: no samples, or a range the wrong way round.
    """
    values = working(samples)
    return (values * 10.0 ** (draw(key, gain_db, values.dtype) / 20.0)).astype(samples.dtype)


def polarity(
    key: Key[Array, ""], samples: Float[Array, "*channels time"], probability: Scalar = 0.5
) -> Float[Array, "*channels time"]:
    """The samples turned upside down with a probability, all channels alike. A NaN stays where it is.

    Args:
      key: of this example.
      samples: `(..., time)`, any unit.
      probability: 0 to 1.

    Returns:
      The same shape and dtype.

    Raises:
      ValueError: no samples.
    """
    values = working(samples)
    return jnp.where(happens(key, probability), -values, values).astype(samples.dtype)


def time_shift(
    key: Key[Array, ""], samples: Float[Array, "*channels time"], shift: Range, edge: Edge = Edge.ZERO
) -> Float[Array, "*channels time"]:
    """The samples later (positive) or earlier (negative) by a whole number of samples, all channels alike.

    A NaN is shifted as any sample.

    Args:
      key: of this example.
      samples: `(..., time)`, any unit.
      shift: in samples, or a range to draw from, both ends included; 0 changes nothing.
      edge: what comes in.

    Returns:
      The same shape and dtype. With `Edge.CIRCULAR` the same samples in another order.

    Raises:
      ValueError: no samples, or a range the wrong way round.
    """
    values = working(samples)
    steps = draw_integer(key, shift)
    shifted = jnp.roll(values, steps, axis=-1)
    if edge is Edge.ZERO:
        source = jnp.arange(values.shape[-1]) - steps
        shifted = jnp.where((source >= 0) & (source < values.shape[-1]), shifted, 0.0)
    return shifted.astype(samples.dtype)


def clip(
    key: Key[Array, ""], samples: Float[Array, "*channels time"], level_db: Range = (-12.0, 0.0)
) -> Float[Array, "*channels time"]:
    """The samples as an overdriven converter gives them: cut off at a level below each channel's peak.

    A NaN spreads over its channel; silence stays silence.

    Args:
      key: of this example.
      samples: `(..., time)`, any unit.
      level_db: dB relative to the peak, or a range to draw from; 0 and above change nothing.

    Returns:
      The same shape and dtype, nowhere beyond `peak * 10 ** (level_db / 20)`.

    Raises:
      ValueError: no samples, or a range the wrong way round.
    """
    values = working(samples)
    level = draw(key, level_db, values.dtype)
    most = jnp.max(jnp.abs(values), axis=-1, keepdims=True) * 10.0 ** (level / 20.0)
    return jnp.clip(values, -most, most).astype(samples.dtype)
