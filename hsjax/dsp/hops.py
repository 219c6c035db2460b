"""The Fourier transform of overlapping frames from the transform of each hop.

Neighbouring frames share most of their samples, but not their windows, so a windowed transform begins anew in each
frame. Two properties avoid that. Without a window a frame's transform is the sum of its hops', each turned by the phase
of its place in the frame. And a window that is a sum of few cosines, as Hann's and Hamming's, is a sum of few
neighbouring bins (Harris 1978, "On the use of windows for harmonic analysis with the discrete Fourier transform"). With
five hops a frame that takes a fifth of the multiplications and of the constants of the windowed transform.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_LONGEST_SUM = 5  # cosines of the flat-top window, the longest that is in use
_ROUNDING = 1e-12


def harmonics(weights: Float[np.ndarray, " n_fft"]) -> Float[np.ndarray, " terms"] | None:
    """Coefficients c of a window `c[0] + sum(2 c[p] cos(2 pi p n / n_fft))`, None where it is not a sum of few."""
    coefficients = np.fft.fft(weights) / len(weights)
    half = coefficients[: len(weights) // 2 + 1]
    used = np.flatnonzero(np.abs(half) > _ROUNDING)
    if not used.size or used[-1] >= min(_LONGEST_SUM, len(weights) / 2) or np.abs(half.imag).max() > _ROUNDING:
        return None
    return half.real[: used[-1] + 1]


def hop_dft(
    hops: Float[Array, "*batch hops hop_length"],
    frames: int,
    n_fft: int,
    coefficients: Float[np.ndarray, " terms"],
    bins: slice = slice(None),
) -> tuple[Float[Array, "*batch {frames} bins"], Float[Array, "*batch {frames} bins"]]:
    """Real and imaginary part of the windowed discrete Fourier transform of frames of `n_fft` samples.

    Args:
      hops: the signal cut into hops, enough of them for all frames; frame t begins with hop t.
      frames: how many frames.
      n_fft: length of a frame.
      coefficients: of the window, from `harmonics`.
      bins: which of the `n_fft // 2 + 1` bins to compute; neighbours, at least one.

    Returns:
      Real and imaginary part, each `(..., frames, bins)`.
    """
    hop_length = hops.shape[-1]
    whole, rest = divmod(n_fft, hop_length)
    reach = len(coefficients) - 1
    wanted = np.arange(n_fft // 2 + 1)[bins]
    frequencies = np.arange(wanted[0] - reach, wanted[-1] + reach + 1)
    first = _transform(hops, np.arange(hop_length), frequencies, n_fft)
    real, imaginary = (part[..., :frames, :] for part in first)
    for place in range(1, whole):
        turn = fourier_basis(np.array([place * hop_length]), frequencies, n_fft)
        cosine, sine = (jnp.asarray(part[0], hops.dtype) for part in turn)
        hop_real, hop_imaginary = (part[..., place : place + frames, :] for part in first)
        real = real + (hop_real * cosine - hop_imaginary * sine)
        imaginary = imaginary + (hop_real * sine + hop_imaginary * cosine)
    if rest:
        last = hops[..., whole : whole + frames, :rest]
        last_real, last_imaginary = _transform(last, whole * hop_length + np.arange(rest), frequencies, n_fft)
        real, imaginary = real + last_real, imaginary + last_imaginary
    return _windowed(real, coefficients), _windowed(imaginary, coefficients)


def _windowed(
    part: Float[Array, "*batch frames frequencies"], coefficients: Float[np.ndarray, " terms"]
) -> Float[Array, "*batch frames bins"]:
    """Each bin with its neighbours, of which the outermost ones are dropped."""
    reach = len(coefficients) - 1
    bins = part.shape[-1] - 2 * reach
    total = float(coefficients[0]) * part[..., reach : reach + bins]
    for step in range(1, reach + 1):
        below, above = part[..., reach - step :][..., :bins], part[..., reach + step :][..., :bins]
        total = total + float(coefficients[step]) * (below + above)
    return total


def _transform(
    pieces: Float[Array, "*batch pieces length"], places: np.ndarray, frequencies: np.ndarray, n_fft: int
) -> tuple[Float[Array, "*batch pieces frequencies"], Float[Array, "*batch pieces frequencies"]]:
    basis = jnp.asarray(np.concatenate(fourier_basis(places, frequencies, n_fft), axis=1), pieces.dtype)
    real, imaginary = jnp.split(jnp.matmul(pieces, basis, precision=jax.lax.Precision.HIGHEST), 2, axis=-1)
    return real, imaginary


def fourier_basis(
    places: np.ndarray, frequencies: np.ndarray, n_fft: int
) -> tuple[Float[np.ndarray, "places frequencies"], Float[np.ndarray, "places frequencies"]]:
    """Real and imaginary part of `exp(-2 pi i place frequency / n_fft)`."""
    phase = np.outer(places, frequencies) % n_fft  # of n_fft, a turn; reduced so that it is exact
    angle = 2 * np.pi * phase / n_fft
    # Exactly zero at half a turn, so that bins without phase have none.
    return np.cos(angle), np.where(2 * phase % n_fft, -np.sin(angle), 0.0)
