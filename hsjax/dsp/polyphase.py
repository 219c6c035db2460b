"""Changing the sample rate by a ratio of whole numbers, as banded matrix products."""

import enum
import fractions
import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal
from jaxtyping import Array, Float, Int, Shaped

from hsjax.dsp.inputs import floating

_BLOCK = 64  # values that go into a matrix product or come out: with fewer it runs below the speed of the machine
_SENDING = 4  # inputs to an output from which on moving the few outputs is cheaper than cutting out the inputs again
_STEEP_PASS = 0.913
_LONGEST_EQUIRIPPLE = 5  # of `max(up, down)`: the exchange does not converge for every longer one
_LARGEST_MATRIX = 1 << 24  # entries; ratios like 44100 to 44101 would want far more


class AntiAlias(enum.Enum):
    """The low-pass filter between the rates. Frequencies as shares of the lower rate's Nyquist frequency.

    `SCIPY` is `scipy.signal.resample_poly`'s default: Kaiser window of beta 5 and 20 periods, -6 dB at 1, so that the
    band above .9 is damped and what lies just above 1 folds back. `STEEP` passes up to .913 and stops from 1 on by
    120 dB, the bands of soxr's HQ, at eight to nine times the length. Where `down` has a divisor that saves work, it is
    two filters in a row; `low_pass` gives what they are together.
    """

    SCIPY = "scipy"
    STEEP = "steep"


def resample(
    samples: Shaped[Array, "*batch time"],
    rate_in: float | int,
    rate_out: float | int,
    *,
    anti_alias: AntiAlias = AntiAlias.SCIPY,
    lengths: Int[Array, "*batch"] | Int[np.ndarray, "*batch"] | None = None,
) -> Float[Array, "*batch resampled"]:
    """Samples at another rate, without delay: `scipy.signal.resample_poly(samples, up, down)`.

    `up / down` is the ratio of the rates in lowest terms. A block of a multiple of `down` samples becomes a block of as
    many times `up` samples through one matrix. Where that leaves few, it also gives what it sends to the blocks around,
    which is added there; else it sees the blocks around. Before and after the recording there is silence. A sample that
    is not finite spoils its block and those around it.

    Args:
      samples: `(..., time)`.
      rate_in: Hz.
      rate_out: Hz.
      anti_alias: the low-pass filter.
      lengths: `(...)`, samples of each recording when recordings of different length are padded to one; the first
        `ceil(length * up / down)` values are what the recording alone would give, and zeros follow.

    Returns:
      `(..., ceil(time * up / down))`.

    Raises:
      ValueError: no samples, a rate that is not positive, or rates whose ratio has no small numerator and denominator.
    """
    samples = floating(samples)
    time = samples.shape[-1]
    if time == 0:
        raise ValueError("want at least one sample to resample, got none")
    up, down = ratio(rate_in, rate_out)
    if lengths is not None:
        lengths = jnp.clip(jnp.asarray(lengths), 0, time)
        samples = jnp.where(jnp.arange(time) < lengths[..., None], samples, 0)
    if up == down:
        return samples
    resampled = _resampled(samples, _stages(up, down, anti_alias), -(-time * up // down))
    if lengths is None:
        return resampled
    # place < ceil(length * up / down), without a product that overflows 32 bits
    inside = jnp.asarray(np.arange(resampled.shape[-1]) * down // up) < lengths[..., None]
    return jnp.where(inside, resampled, 0)


def ratio(rate_in: float | int, rate_out: float | int) -> tuple[int, int]:
    """(up, down): the ratio of the rates in lowest terms.

    Raises:
      ValueError: a rate is not positive.
    """
    if not (rate_in > 0 and rate_out > 0):
        raise ValueError(f"sample rates are positive, got {rate_in:g} and {rate_out:g} Hz")
    exact = fractions.Fraction(rate_out) / fractions.Fraction(rate_in)
    return exact.numerator, exact.denominator


def low_pass(up: int, down: int, anti_alias: AntiAlias) -> Float[np.ndarray, " taps"]:
    """`(2 * half + 1,)`, the filter at `up` times the input rate, with gain `up`; float64.

    Of two filters in a row it is the convolution, their taps as far apart as their rates are lower.
    """
    *first, (_, _, taps) = _stages(up, down, anti_alias)
    for _, factor, short in first:
        taps = scipy.signal.oaconvolve(_spread(taps, factor), _spread(short, up))
    return taps


def _spread(taps: np.ndarray, apart: int) -> np.ndarray:
    spread = np.zeros((len(taps) - 1) * apart + 1)
    spread[::apart] = taps
    return spread


@functools.lru_cache(maxsize=32)
def _stages(up: int, down: int, anti_alias: AntiAlias) -> list[tuple[int, int, np.ndarray]]:
    """(up, down, taps) of the only filter, or of a first, which decimates by a divisor of `down`, and of the last.

    The first passes what the last passes and stops what would fold onto it, and leaves what lies between to the last:
    it is short, and the last, which is long, runs at a lower rate.
    """
    _check_size(up, down, max(up, down) ** 2)
    if anti_alias is AntiAlias.SCIPY:
        slower = max(up, down)
        return [(up, down, up * scipy.signal.firwin(20 * slower + 1, 1 / slower, window=("kaiser", 5.0)))]
    nyquist = down / up  # of the input, as a share of the lower rate's, as are these
    periods = 180  # of the last filter: multiplications for a sample that it is given
    best, factor, taps, beta = periods, 1, 1, 0.0
    for divisor in (divisor for divisor in range(2, -(-down // up)) if down % divisor == 0):
        stop = 2 * nyquist / divisor - 1
        order, its_beta = scipy.signal.kaiserord(125.0, (stop - _STEEP_PASS) / nyquist)
        if (order + periods) / divisor < best:
            best, factor, taps, beta = (order + periods) / divisor, divisor, order // 2 * 2 + 1, its_beta
    last = (up, down // factor, _steep(up, down // factor))
    if factor == 1:
        return [last]
    middle = (_STEEP_PASS + 2 * nyquist / factor - 1) / 2
    return [(1, factor, scipy.signal.firwin(taps, middle / nyquist, window=("kaiser", beta))), last]


def _steep(up: int, down: int) -> Float[np.ndarray, " taps"]:
    slower = max(up, down)
    if slower <= _LONGEST_EQUIRIPPLE:  # 13 % shorter than by the Kaiser window
        bands = [0, _STEEP_PASS, 1, slower]
        return up * scipy.signal.remez(156 * slower + 1, bands, [1, 0], weight=[1, 10], fs=2 * slower, maxiter=100)
    taps, beta = scipy.signal.kaiserord(120.0, (1 - _STEEP_PASS) / slower)
    return up * scipy.signal.firwin(taps // 2 * 2 + 1, (1 + _STEEP_PASS) / 2 / slower, window=("kaiser", beta))


def _resampled(samples, stages: list[tuple[int, int, np.ndarray]], wanted: int):
    *first, (up, down, taps) = stages
    if not first and down >= _SENDING * up:
        sent, before = _send(samples, up, down, taps, 0)
        return sent[..., before : before + wanted]
    before = 0
    for _, factor, short in first:
        samples, before = _send(samples, 1, factor, short, -(-len(taps) // up))
    return _gather(samples, before, up, down, taps, wanted)


def _check_size(up: int, down: int, entries: int) -> None:
    if entries > _LARGEST_MATRIX:
        raise ValueError(f"a ratio of {up} to {down} is too fine: choose rates with a larger common divisor")


def _kernel(taps: np.ndarray, places: np.ndarray) -> np.ndarray:
    inside = (places >= 0) & (places < len(taps))
    return np.where(inside, taps[np.clip(places, 0, len(taps) - 1)], 0.0)


def _product(rows, kernel: np.ndarray):
    return jnp.matmul(rows, jnp.asarray(kernel, rows.dtype), precision=jax.lax.Precision.HIGHEST)


def _gather(samples, before: int, up: int, down: int, taps: np.ndarray, wanted: int):
    """`wanted` outputs, of which the first lies on sample `before`: every block is multiplied by all that it sees."""
    half = len(taps) // 2
    repeats = min(-(-_BLOCK // up), -(-wanted // up))
    _check_size(up, down, up * down * repeats**2)
    targets = np.arange(up * repeats)
    sources = np.arange(-(half // up), (half + targets[-1] * down) // up + 1)
    kernel = _kernel(taps, half + targets[None, :] * down - sources[:, None] * up)
    starts = np.arange(-(-wanted // len(targets))) * down * repeats + before + sources[0]
    missing = max(0, -starts[0])
    behind = max(0, starts[-1] + len(sources) - samples.shape[-1])
    padded = jnp.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(missing, behind)])
    # Slices and not `frames.frame`, whose copies take longer than the product.
    cut = functools.partial(jax.lax.dynamic_slice_in_dim, padded, slice_size=len(sources), axis=-1)
    seen = jax.vmap(cut, out_axes=-2)(jnp.asarray(starts + missing))
    return _product(seen, kernel).reshape(*samples.shape[:-1], -1)[..., :wanted]


def _send(samples, up: int, down: int, taps: np.ndarray, around: int):
    """All outputs and `around` or more before and behind them: every block is multiplied where it lies.

    Returns:
      The outputs, and which of them lies on the first sample.
    """
    *batch, time = samples.shape
    half = len(taps) // 2
    aside = -(-half // down) + 1
    least = max(-(-_BLOCK // down), -(-aside // (2 * up)))  # a side lies on few neighbours
    # A number of blocks without rest saves a copy of the samples.
    repeats = next((n for n in range(least, 2 * least) if time % (n * down) == 0), least)
    block, width = down * repeats, up * repeats
    _check_size(up, down, block * width)
    targets = np.arange(-aside, width + aside)
    kernel = _kernel(taps, half + targets[None, :] * down - np.arange(block)[:, None] * up)
    rest = -time % block
    rows = jnp.pad(samples, [(0, 0)] * len(batch) + [(0, rest)]).reshape(*batch, -1, block)
    sent = _product(rows, kernel)
    extra = -(-around // width)
    furthest = -(-aside // width)
    own = jnp.zeros((), sent.dtype)
    for away in range(-furthest, furthest + 1):
        first, last = max(-aside, away * width), min(width + aside, (away + 1) * width)
        piece = sent[..., aside + first : aside + last]
        beside = (first - away * width, (away + 1) * width - last, 0)
        config = [(0, 0, 0)] * len(batch) + [(extra + away, extra - away, 0), beside]
        own = own + jax.lax.pad(piece, jnp.zeros((), piece.dtype), config)
    return own.reshape(*batch, -1), extra * width
