"""The peak of the normalised cross-correlation of two recordings, of which one may be a cut out of the other."""

from typing import NamedTuple

import numpy as np
import scipy.fft
from jaxtyping import Complex64, Float, Float32

MIN_SHARE = 0.5
"""Of the shorter recording, what has to overlap the longer one."""

QUIET = 0.01
"""A stretch with less than this share (-20 dB) of its recording's mean power is taken to have that much: otherwise
the hiss of a pause, or rounding, could resemble any sound."""


class Peak(NamedTuple):
    """How alike two recordings are at their best, 0 to 1; of opposite sign counts as alike.

    Attributes:
      local: normalised by the energy of the shorter recording and that of the longer one under it: 1 for a cut out of
        the longer one. What sticks out over the longer one's ends counts as unlike: two cuts that share a part of the
        shorter one's energy have the root of that part. Of two equally long ones either may be the shorter.
      whole: normalised by the energies of both.
      lag: where the shorter one begins in the longer at the peak of `local`, samples.
      inverted: True where the sign is opposite there.
    """

    local: float
    whole: float
    lag: int
    inverted: bool


class Spectrum(NamedTuple):
    """What correlating a recording takes.

    Attributes:
      bins: of the samples with zeros behind.
      size: samples and zeros.
      length: samples.
      sums: energy of the first 0, 1, ... samples.
    """

    bins: Complex64[np.ndarray, " bins"]
    size: int
    length: int
    sums: Float[np.ndarray, " ends"]

    @property
    def energy(self) -> float:
        """Sum of squares."""
        return float(self.sums[-1])


def spectrum(samples: Float32[np.ndarray, " time"], size: int) -> Spectrum:
    """Of a recording without mean. Single precision is good to 1e-5 of the correlation."""
    return Spectrum(scipy.fft.rfft(samples, size), size, len(samples), energy_sums(samples))


def energy_sums(samples: Float32[np.ndarray, " time"]) -> Float[np.ndarray, " ends"]:
    """Energy of the first 0, 1, ... all samples."""
    return np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])


def size(longer: int, shorter: int) -> int:
    """Length of an FFT that keeps all lags apart; few different ones, so that a spectrum serves for many pairs."""
    needed = longer + shorter
    step = 1 << max(0, needed.bit_length() - 4)
    return scipy.fft.next_fast_len(-(-needed // step) * step, real=True)


def lags(longer: int, shorter: int) -> tuple[int, int]:
    """How many samples the shorter one may begin before the longer, and at most after the longer one's beginning."""
    overlap = max(1, int(np.ceil(MIN_SHARE * shorter)))
    return shorter - overlap, longer - overlap


def energy_under(
    sums: Float[np.ndarray, " ends"], back: int, ahead: int, length: int
) -> Float[np.ndarray, " {back}+{ahead}+1"]:
    """Energy of the stretches of `length` samples that begin at -back ... ahead, as far as they are within.

    It is at least that of a stretch with the power of `QUIET`, and above 0.
    """
    n = len(sums) - 1
    padded = np.pad(sums, (back, max(0, ahead + length - n)), mode="edge")
    count = back + ahead + 1
    under = padded[length : length + count] - padded[:count]
    return np.maximum(under, max(QUIET * sums[-1] * length / n, np.finfo(np.float32).tiny))


def peak(longer: Float32[np.ndarray, " longer"], shorter: Float32[np.ndarray, " shorter"]) -> Peak:
    """Correlates two recordings at every lag at which at least `MIN_SHARE` of the shorter one overlaps the longer.

    Args:
      longer: without mean.
      shorter: without mean, at the same rate.

    Raises:
      ValueError: the shorter one is not, or empty.
    """
    if not 0 < len(shorter) <= len(longer):
        raise ValueError(f"the longer recording has {len(longer)} samples, the shorter one {len(shorter)}")
    common = size(len(longer), len(shorter))
    return peak_of(spectrum(longer, common), spectrum(shorter, common))


def peak_of(longer: Spectrum, shorter: Spectrum) -> Peak:
    """As `peak`, of spectra of one size. All zeros where a recording is silent."""
    if longer.energy == 0 or shorter.energy == 0:
        return Peak(0.0, 0.0, 0, False)
    product = scipy.fft.irfft(longer.bins * np.conj(shorter.bins), longer.size)
    back, ahead = lags(longer.length, shorter.length)
    sums = np.concatenate([product[longer.size - back :], product[: ahead + 1]])
    magnitude = np.abs(sums)
    energies = energy_under(longer.sums, back, ahead, shorter.length) * shorter.energy
    if longer.length == shorter.length:
        energies = np.minimum(energies, energy_under(shorter.sums, ahead, back, longer.length)[::-1] * longer.energy)
    local = magnitude / np.sqrt(energies)
    best = int(local.argmax())
    whole = float(magnitude.max()) / np.sqrt(longer.energy * shorter.energy)
    return Peak(min(float(local[best]), 1.0), min(float(whole), 1.0), best - back, bool(sums[best] < 0))
