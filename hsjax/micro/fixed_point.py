"""The constants of a front end for integer arithmetic; `c/hs_front_end_fixed.c` says which word is how long.

Numbers written as Qn are real ones times 2^n.
"""

import dataclasses

import numpy as np
import scipy.signal
from jaxtyping import Float, Int16, Int32, Int64, UInt8, UInt16

from hsjax.micro.design import AMIN, SILENCE, Design
from hsjax.runtime.litert import Quantisation
from hsjax.types import UserError

_COEFFICIENT_BITS = 30  # of the band-pass and of cosines
_FILTERED_BITS = 29  # no filtered sample is as large as 2 to this
_LEVEL_BITS = 9  # behind the point of logarithms
_MOST_STEPS = 2**9  # of the model's input in an octave: where a level's last bit would be a whole step
_DB_PER_OCTAVE = 10 * np.log10(2)  # of power
_FULL_SCALE = 2**15
_LOUDEST = 2**16  # of int16 samples without their mean
_IMPULSE_SECONDS = 10  # after which dsp.butterworth_fir refuses a filter that still rings
# Standard deviation of what the filter rounds, steps of the samples: a hundredth of what int16 itself rounds.
_MOST_NOISE = 0.01 / np.sqrt(12)


@dataclasses.dataclass(frozen=True)
class FixedPoint:
    """The constants.

    Attributes:
      cosine: of a quarter turn, Q30.
      first: bin that each band begins with, from the first one used.
      count: bins of each band.
      weights: of these bins, band by band.
      unit_level: what the level of a band is, Q9, that has as much energy as the window.
      lowest_level: of a band, Q9.
      range: of levels below the highest one, Q9.
      silence: level of the window below which it counts as silence, Q9.
      gain: levels to features, coefficient by coefficient; of one dimension where the bands are the features.
      bias: to add to the products, rounding included.
      shift: right, by as many bits, of each coefficient at last.
    """

    cosine: Int32[np.ndarray, " quarter"]
    first: UInt16[np.ndarray, " bands"]
    count: UInt16[np.ndarray, " bands"]
    weights: UInt16[np.ndarray, " weights"]
    unit_level: int
    lowest_level: int
    range: int
    silence: int
    gain: Int16[np.ndarray, "..."]
    bias: Int64[np.ndarray, " coeffs"]
    shift: UInt8[np.ndarray, " coeffs"]


def fixed_point(design: Design, quantisation: Quantisation) -> FixedPoint:
    """Rounds the constants of a front end for a model with that int8 input.

    Raises:
      UserError: as `band_pass`, or a coefficient is constant.
    """
    fraction, _ = band_pass(design)
    first, count, weights = bands(design)
    (weight_bits,) = _bits(weights.max(keepdims=True), 16).tolist()
    gain, bias, shift = _features(design, quantisation)
    unit = 2 * np.log2(design.n_fft) + np.log2(design.window) - weight_bits
    silence = np.log2(design.window * np.square(SILENCE * _FULL_SCALE * 2.0**fraction))
    return FixedPoint(
        cosine=_q(cosine(design), _COEFFICIENT_BITS).astype(np.int32),
        first=first,
        count=count,
        weights=_q(weights, weight_bits).astype(np.uint16),
        unit_level=_level(unit),
        lowest_level=_level(np.log2(AMIN)),
        range=_level(design.top_db / _DB_PER_OCTAVE),
        silence=max(0, _level(silence)),
        gain=gain,
        bias=bias,
        shift=shift,
    )


def cosine(design: Design) -> Float[np.ndarray, " quarter"]:
    """Of `2 pi n / n_fft` over a quarter turn, both ends included."""
    values = np.cos(2 * np.pi * np.arange(design.n_fft // 4 + 1) / design.n_fft)
    values[-1] = 0.0
    return values


def bands(
    design: Design,
) -> tuple[UInt16[np.ndarray, " bands"], UInt16[np.ndarray, " bands"], Float[np.ndarray, " weights"]]:
    """The filterbank without its zeros: first bin of each band (from the first used one), bins of each, weights."""
    used = design.filters[design.bins]
    first, count, weights = [], [], []
    for weight in used.T:
        inside = np.flatnonzero(weight)
        begin, end = (inside[0], inside[-1] + 1) if inside.size else (0, 0)
        first.append(begin)
        count.append(end - begin)
        weights.append(weight[begin:end])
    return np.array(first, np.uint16), np.array(count, np.uint16), np.concatenate(weights)


def band_pass(design: Design) -> tuple[int, Int32[np.ndarray, "sections 5"]]:
    """The constants of `c/hs_band_pass.h`.

    Returns:
      Bits of filtered samples behind the point, in steps of the samples: as many as no input can make overflow, neither
      a filtered sample nor a sum on the way to it. And b0, b1, b2, a1, a2 of each section, Q30.

    Raises:
      UserError: the filter rings for so long that its rounding would be heard.
    """
    impulse = np.zeros(_IMPULSE_SECONDS * design.sample_rate)
    impulse[0] = 1.0
    sections = design.sections
    behind = [scipy.signal.sosfilt(sections[:k], impulse) for k in range(1, len(sections) + 1)]
    largest = _LOUDEST * max(1.0, *(np.abs(response).sum() for response in behind))
    coefficients = max(1.0, np.abs(sections).sum(axis=1).max())
    bits = min(_FILTERED_BITS, 63 - _COEFFICIENT_BITS - int(np.ceil(np.log2(coefficients))))
    fraction = bits - int(np.ceil(np.log2(largest)))
    # Each section cuts its output, which goes back into it and on into those behind; the next output makes up for it.
    noise = 0.0
    for k, section in enumerate(sections):
        rounded = scipy.signal.lfilter([1.0, -1.0], section[3:], impulse)
        heard = scipy.signal.sosfilt(sections[k + 1 :], rounded) if k + 1 < len(sections) else rounded
        noise += np.square(heard).sum() / 12
    if not np.sqrt(noise) * 2.0**-fraction <= _MOST_NOISE:
        raise UserError(
            "the band-pass of config.features.band rings for too long to be computed in integers: "
            "raise its lower edge or lower its order, and train again"
        )
    return fraction, _q(sections[:, [0, 1, 2, 4, 5]], _COEFFICIENT_BITS).astype(np.int32)


def _features(
    design: Design, quantisation: Quantisation
) -> tuple[Int16[np.ndarray, "..."], Int64[np.ndarray, " coeffs"], UInt8[np.ndarray, " coeffs"]]:
    """Gain and bias from levels (Q9 of an octave) to steps of the model's input, and the bits behind their points."""
    per_db, offset = design.normalisation
    per_octave = per_db.T * _DB_PER_OCTAVE / quantisation.scale
    largest = np.abs(per_octave).max(axis=1)
    constant = np.flatnonzero((largest > _MOST_STEPS) | (largest == 0))
    if constant.size:
        raise UserError(
            f"coefficient {constant[0]} of the features did not vary over the training windows: leave it out with "
            "config.features.n_mfcc or n_mels, fmin and fmax, and train again"
        )
    bits = _bits(largest, 15)
    scaled = np.round(per_octave * 2.0 ** bits[:, None]).astype(np.int16)
    shift = bits + _LEVEL_BITS
    bias = np.round((offset / quantisation.scale + quantisation.zero_point + 0.5) * 2.0**shift).astype(np.int64)
    return scaled if design.cepstrum is not None else np.diag(scaled), bias, shift.astype(np.uint8)


def _bits(largest: Float[np.ndarray, "*shape"], length: int) -> Int64[np.ndarray, "*shape"]:
    """Bits behind the point with which these numbers round to less than 2 to the `length`, and no fewer than needed."""
    bits = length - 1 - np.floor(np.log2(largest)).astype(np.int64)
    return bits - (np.round(largest * 2.0**bits) >= 2.0**length)


def _q(values: Float[np.ndarray, "*shape"], bits: int) -> Int64[np.ndarray, "*shape"]:
    return np.round(values * 2.0**bits).astype(np.int64)


def _level(octaves: float) -> int:
    return int(np.round(octaves * 2**_LEVEL_BITS))
