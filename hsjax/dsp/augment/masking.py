"""SpecAugment: masks over bands and over frames (Park et al. 2019, arXiv:1904.08779), without the time warp.

Sriram's contrastive teacher sees 2 frequency masks and 5 time masks; the paper does not say how wide they are. Park's
LibriSpeech policy LD, for 80 bands, has widths of up to 27 bands and 100 frames.
"""

import enum

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from hsjax.dsp.augment.draw import Scalar, working


class Fill(enum.Enum):
    """What stands in a mask: zero, or the mean of the example (each of its channels), Park's zero after centring."""

    ZERO = "zero"
    MEAN = "mean"


def spec_augment(
    key: Key[Array, ""],
    features: Float[Array, "*channels bands frames"],
    frequency_width: Scalar,
    time_width: Scalar,
    frequency_masks: int = 2,
    time_masks: int = 5,
    time_fraction: Scalar = 1.0,
    fill: Fill | Scalar = Fill.MEAN,
) -> Float[Array, "*channels bands frames"]:
    """Features behind some masks over neighbouring bands and some over neighbouring frames.

    Each width is uniform on 0 ... its maximum, each beginning uniform among those where the mask fits. Masks may
    overlap; all channels have the same ones.

    Args:
      key: of this example.
      features: `(..., bands, frames)`. A NaN behind a mask is gone; with `Fill.MEAN` it spreads over the masks.
      frequency_width: widest frequency mask in bands (Park's F); 0 for none. May be traced.
      time_width: widest time mask in frames (Park's T); 0 for none. May be traced.
      frequency_masks: how many.
      time_masks: how many.
      time_fraction: no time mask is wider than this part of the frames (Park's p). May be traced.
      fill: what stands in the masks; a number is taken as it is, such as the floor of a spectrogram in dB.

    Returns:
      The same shape and dtype.

    Raises:
      ValueError: no features.
    """
    values = working(features)
    *_, bands, frames = values.shape
    over_bands, over_frames = jax.random.split(key)
    time_width = jnp.minimum(time_width, time_fraction * frames)
    masked = (
        _stripes(over_bands, bands, frequency_width, frequency_masks)[:, None]
        | _stripes(over_frames, frames, time_width, time_masks)[None, :]
    )
    if fill is Fill.MEAN:
        inside = jnp.mean(values, axis=(-2, -1), keepdims=True)
    else:
        inside = jnp.asarray(0.0 if fill is Fill.ZERO else fill, values.dtype)
    return jnp.where(masked, inside, values).astype(features.dtype)


def _stripes(key: Key[Array, ""], size: int, max_width: Scalar, count: int) -> Bool[Array, " {size}"]:
    """True where one of the stripes lies."""
    widest = jnp.clip(jnp.floor(jnp.asarray(max_width)), 0, size).astype(jnp.int32)
    for_width, for_start = jax.random.split(key)
    width = jax.random.randint(for_width, (count, 1), 0, widest + 1)
    start = jax.random.randint(for_start, (count, 1), 0, size - width + 1)
    place = jnp.arange(size)
    return jnp.any((place >= start) & (place < start + width), axis=0)
