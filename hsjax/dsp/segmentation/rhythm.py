"""Heart rate and systolic time from the autocorrelation of an envelope, before anything is segmented."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from hsjax.dsp import inputs

# Schmidt et al. 2010 (Physiol. Meas. 31:513): the highest peak between 0.5 and 2 s is the heart cycle, the
# highest between 0.2 s and half of it is systole. Hearts faster than 120/min need a shorter shortest cycle.
_CYCLE = (0.35, 2.0)
_SYSTOLE = (0.2, 0.24)
# The autocorrelation has peaks at multiples of the cycle, and at systole where diastole is as short; a mild preference
# for cycles near 0.7 s tells them apart. Chosen on half of the groups of PhysioNet 2016; a grid on the segmentation's
# training part alone has the same optimum.
_PREFERRED_CYCLE = 0.7
_PREFERENCE = 0.28
_DEFAULT_CYCLE, _DEFAULT_SYSTOLE = 0.8, 0.3


class Rhythm(NamedTuple):
    """Of every recording: `(...)` each.

    Attributes:
      heart_rate: beats per minute.
      systole: from the onset of S1 to that of S2, s.
      confidence: autocorrelation at one heart cycle relative to that at lag 0, from 0 (none) to 1 (periodic); it
        falls with the share of the recording that one cycle is.
    """

    heart_rate: Float[Array, "*batch"]
    systole: Float[Array, "*batch"]
    confidence: Float[Array, "*batch"]


def rhythm(
    envelope: Shaped[Array, "*batch frames"],
    frame_rate: float | int,
    lengths: Int[Array, "*batch"] | Int[np.ndarray, "*batch"] | None = None,
) -> Rhythm:
    """Heart rate and systolic time of whole recordings (Schmidt et al. 2010), from their homomorphic envelope.

    The peak of the autocorrelation that is highest after a mild preference for cycles near 0.7 s is the heart cycle;
    parabolas through the peaks give lags between frames.

    Where there is no rhythm to be found (silence, a constant, a NaN, less than about a cycle of sound) it is 75/min
    with a systole of 0.3 s and a confidence of 0.

    Args:
      envelope: `(..., frames)` of any offset and level; `envelopes(...)[0][..., 0]`.
      frame_rate: frames per second; 50 is enough.
      lengths: `(...)`, valid frames; None: all.

    Raises:
      ValueError: no frames, or fewer than 20 frames per second.
    """
    envelope = inputs.floating(envelope)
    if envelope.shape[-1] == 0:
        raise ValueError("an envelope without frames has no rhythm")
    if frame_rate < 20:
        raise ValueError(f"want at least 20 frames per second to tell systole from the cycle, got {frame_rate:g}")
    lengths = jnp.broadcast_to(envelope.shape[-1] if lengths is None else lengths, envelope.shape[:-1])
    correlation = _autocorrelation(envelope, lengths, int(_CYCLE[1] * frame_rate) + 2)
    lag = jnp.arange(correlation.shape[-1]) / frame_rate
    handicap = _PREFERENCE * jnp.square(jnp.log(jnp.maximum(lag, 1 / frame_rate) / _PREFERRED_CYCLE))
    cycle, confidence = _highest_peak(correlation, handicap, (lag >= _CYCLE[0]) & (lag <= _CYCLE[1]))
    confidence = jnp.maximum(confidence, 0)
    cycle = jnp.where(confidence > 0, cycle / frame_rate, _DEFAULT_CYCLE)
    # Half the cycle, to a frame; the shortest cycles leave no room between that and 0.2 s.
    longest = jnp.maximum(cycle / 2 + 1 / frame_rate, _SYSTOLE[1])[..., None]
    systole, found = _highest_peak(correlation, jnp.zeros_like(handicap), (lag >= _SYSTOLE[0]) & (lag <= longest))
    typical = _DEFAULT_SYSTOLE * cycle / _DEFAULT_CYCLE
    systole = jnp.where((found > -1) & (confidence > 0), systole / frame_rate, typical)
    return Rhythm(60 / cycle, systole, confidence)


def _autocorrelation(
    envelope: Float[Array, "*batch frames"], lengths: Int[Array, "*batch"], lags: int
) -> Float[Array, "*batch {lags}"]:
    """Of the mean-removed valid part, over its value at lag 0 (`xcorr(..., "coeff")`); 0 for what is constant."""
    frames = envelope.shape[-1]
    valid = jnp.arange(frames) < lengths[..., None]
    count = jnp.maximum(lengths, 1).astype(envelope.dtype)[..., None]
    mean = jnp.sum(jnp.where(valid, envelope, 0), axis=-1, keepdims=True) / count
    centred = jnp.where(valid, envelope - mean, 0)
    energy = jnp.sum(jnp.square(centred), axis=-1, keepdims=True)
    constant = energy <= count * jnp.square(1e-5 * mean)
    # Zeros behind, as many as there are lags, keep the end from meeting the beginning.
    spectrum = jnp.fft.rfft(centred, frames + lags)
    products = jnp.fft.irfft(jnp.square(spectrum.real) + jnp.square(spectrum.imag), frames + lags)[..., :lags]
    return jnp.where(constant, 0, products / jnp.where(constant, 1, energy))


def _highest_peak(
    correlation: Float[Array, "*batch lags"], handicap: Float[Array, " lags"], inside: Bool[Array, "*#batch lags"]
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Lag in (parts of) frames and height of the local maximum that is best after its handicap; height -1: none."""
    before, here, behind = correlation[..., :-2], correlation[..., 1:-1], correlation[..., 2:]
    peak = (here > before) & (here >= behind) & inside[..., 1:-1]
    bend = 2 * here - before - behind
    offset = jnp.where(peak, 0.5 * (behind - before) / jnp.where(peak, bend, 1), 0)
    # Of a cycle that falls between frames the peak would else stand below that of two cycles.
    height = jnp.clip(here + 0.25 * (behind - before) * offset, -1, 1)
    best = jnp.argmax(jnp.where(peak, height - handicap[1:-1], -jnp.inf), axis=-1)[..., None]
    offset, height = (jnp.take_along_axis(part, best, axis=-1)[..., 0] for part in (offset, height))
    exists = jnp.any(peak, axis=-1)
    return jnp.where(exists, best[..., 0] + 1 + offset, 0), jnp.where(exists, height, -1)
