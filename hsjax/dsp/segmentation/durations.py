"""How long heart states last: truncated Gaussians around what the rhythm of a recording lets expect.

Schmidt et al., Physiol. Meas. 31:513, 2010; Springer et al., IEEE Trans. Biomed. Eng. 63:822, 2016.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_MIN_SOUND = 0.04
"""s; a heart sound is never shorter (two frames at 50 Hz)."""
_CUT = 3.0
"""Gaussians end this many standard deviations from their means, as in Springer et al."""


@dataclasses.dataclass(frozen=True)
class DurationModel:
    """Means and standard deviations in s; the defaults are those of Schmidt et al., Table 1.

    Attributes:
      s1_mean: of S1.
      s1_sd: of S1.
      s2_mean: of S2.
      s2_sd: of S2.
      systole_sd: around the systolic interval less S1.
      diastole_slope: standard deviation of diastole per s of its mean ...
      diastole_offset: ... and what is added.
    """

    s1_mean: float = 0.122
    s1_sd: float = 0.022
    s2_mean: float = 0.092
    s2_sd: float = 0.022
    systole_sd: float = 0.025
    diastole_slope: float = 0.07
    diastole_offset: float = 0.006


class Durations(NamedTuple):
    """Log-probabilities of a state lasting 1, 2, ..., longest frames. A pytree.

    Attributes:
      whole: `(..., 4, longest)`, of a state that begins and ends inside the recording.
      first: `(..., 4, longest)`, of having seen so much of the state that was on when the recording began; it says how
        likely each state is to be that one, too.
      last: `(..., 4, longest)`, of having seen so much of the state that was on when the recording ended.
    """

    whole: Float[Array, "*batch states longest"]
    first: Float[Array, "*batch states longest"]
    last: Float[Array, "*batch states longest"]


def statistics(
    heart_rate: Float[Array, "*batch"], systole: Float[Array, "*batch"], model: DurationModel
) -> tuple[Float[Array, "*batch 4"], Float[Array, "*batch 4"]]:
    """Mean and standard deviation of the four states, in s and in the order S1, systole, S2, diastole.

    Args:
      heart_rate: `(...)`, beats per minute.
      systole: `(...)`, s from the onset of S1 to that of S2.
      model: see `DurationModel`.
    """
    period = 60.0 / heart_rate
    s1, s2 = jnp.full_like(period, model.s1_mean), jnp.full_like(period, model.s2_mean)
    pause = jnp.maximum(systole - s1, _MIN_SOUND)
    filling = jnp.maximum(period - systole - s2, _MIN_SOUND)
    mean = jnp.stack([s1, pause, s2, filling], axis=-1)
    sd = jnp.stack(
        [
            jnp.full_like(period, model.s1_sd),
            jnp.full_like(period, model.systole_sd),
            jnp.full_like(period, model.s2_sd),
            model.diastole_slope * filling + model.diastole_offset,
        ],
        axis=-1,
    )
    return mean, sd


@functools.partial(jax.jit, static_argnames=("frame_rate", "longest"))
def truncated_gaussians(
    mean: Float[Array, "*batch 4"], sd: Float[Array, "*batch 4"], frame_rate: float | int, longest: int
) -> Durations:
    """Durations in frames whose lengths are Gaussian, cut three standard deviations from the mean and normalised.

    A state is seen in part where the recording begins or ends in it. Of a state that lasts D frames, the last d are
    seen with probability P(D >= d) / E[D] if the recording begins anywhere, the first d with P(D >= d): Springer's
    extension, with the unseen part summed over instead of maximised.

    Args:
      mean: `(..., 4)`, s.
      sd: `(..., 4)`, s.
      frame_rate: of the states, Hz.
      longest: frames; nothing lasts longer.
    """
    frames = jnp.arange(1, longest + 1, dtype=mean.dtype) / frame_rate
    distance = jnp.abs(frames - mean[..., None])
    # The nearest length is always possible, so that no recording is left without a path.
    reach = jnp.maximum(_CUT * sd, 1.0 / frame_rate)[..., None]
    sound = frames >= _MIN_SOUND
    possible = ((distance <= reach) & sound) | (distance == distance.min(axis=-1, keepdims=True))
    logits = jnp.where(possible, -0.5 * (distance / sd[..., None]) ** 2, -jnp.inf)
    weight = jnp.exp(logits - logits.max(axis=-1, keepdims=True))
    probability = weight / weight.sum(axis=-1, keepdims=True)
    survival = jnp.cumsum(probability[..., ::-1], axis=-1)[..., ::-1]
    expected = survival.sum(axis=-1, keepdims=True)  # E[D] is the sum of P(D >= d)
    total = expected.sum(axis=-2, keepdims=True)
    return Durations(whole=_log(probability), first=_log(survival / total), last=_log(survival))


def _log(probability: Float[Array, "..."]) -> Float[Array, "..."]:
    """Logarithm with -inf for 0, and finite gradients."""
    positive = probability > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, probability, 1.0)), -jnp.inf)
