"""Mel-frequency cepstral coefficients and the cosine transforms behind them."""

import enum
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.dsp.decibels import Reference
from hsjax.dsp.mel import MelArguments, log_mel


class DctType(enum.Enum):
    """Which orthonormal cosine transform, by its number in SciPy. II is usual; III is its transpose."""

    II = 2
    III = 3


def dct_basis(n_in: int, n_out: int, kind: DctType = DctType.II) -> Float[np.ndarray, "{n_in} {n_out}"]:
    """The first `n_out` columns of `scipy.fft.dct(x, type, norm="ortho")` as a matrix to multiply by, float64.

    Args:
      n_in: length of what is transformed.
      n_out: number of coefficients kept.
      kind: which transform.

    Returns:
      `(n_in, n_out)`, so that `x @ basis` are the coefficients.

    Raises:
      ValueError: not `1 <= n_out <= n_in`.
    """
    if not 1 <= n_out <= n_in:
        raise ValueError(f"want between 1 and {n_in} coefficients of {n_in} values, got {n_out}")
    frequency, place = np.arange(n_in), np.arange(n_in)
    basis = np.sqrt(2.0 / n_in) * np.cos(np.pi * np.outer(2 * place + 1, frequency) / (2 * n_in))
    basis[:, 0] /= np.sqrt(2.0)
    return (basis if kind is DctType.II else basis.T)[:, :n_out]


def idct_basis(n_in: int, n_out: int, kind: DctType = DctType.II) -> Float[np.ndarray, "{n_in} {n_out}"]:
    """The way back from the first `n_in` coefficients to `n_out` values, the others taken as zero, float64.

    `scipy.fft.idct(x, type, n_out, norm="ortho")` as a matrix to multiply by; the least-squares inverse of
    `dct_basis(n_out, n_in, kind)`.

    Raises:
      ValueError: not `1 <= n_in <= n_out`.
    """
    return dct_basis(n_out, n_in, kind).T


def liftering(n_mfcc: int, lifter: float | int) -> Float[np.ndarray, " {n_mfcc}"]:
    """Weights `1 + lifter / 2 * sin(pi * n / lifter)`, n from 1, as librosa numbers them; ones where `lifter` is 0.

    Raises:
      ValueError: `lifter` is negative.
    """
    if lifter < 0:
        raise ValueError(f"want a lifter from 0 on, got {lifter}")
    if lifter == 0:
        return np.ones(n_mfcc)
    return 1 + (lifter / 2) * np.sin(np.pi * np.arange(1, n_mfcc + 1) / lifter)


def mfcc(
    samples: Float[Array, "*batch time"],
    sample_rate: float | int,
    n_mfcc: int,
    *,
    dct: DctType = DctType.II,
    lifter: float | int = 0.0,
    ref: float | int | Reference = 1.0,
    amin: float | int = 1e-10,
    top_db: float | int | None = 80.0,
    **mel: Unpack[MelArguments],
) -> Float[Array, "*batch {n_mfcc} frames"]:
    """Mel-frequency cepstral coefficients (Davis & Mermelstein 1980), as `librosa.feature.mfcc`.

    Args:
      samples: `(..., time)`, full scale 1.
      sample_rate: Hz.
      n_mfcc: coefficients kept, from the 0th (log energy) on.
      dct: which cosine transform.
      lifter: sinusoidal weighting of the coefficients (`liftering`); 0 for none.
      ref: as for `log_mel`.
      amin: as for `log_mel`.
      top_db: as for `log_mel`.
      **mel: `n_fft`, `hop_length`, `n_mels` and what else `mel_spectrogram` takes.

    Returns:
      `(..., n_mfcc, frames)`. Silence has a constant 0th coefficient and zeros beside it (DCT II); a NaN spreads as
      in `log_mel`.

    Raises:
      ValueError: as `log_mel` and `liftering`, or more coefficients than bands.
    """
    db = log_mel(samples, sample_rate, ref=ref, amin=amin, top_db=top_db, **mel)
    n_mels = db.shape[-1]
    if not 1 <= n_mfcc <= n_mels:
        raise ValueError(f"{n_mfcc} coefficients need at least as many mel bands, got {n_mels}")
    basis = jnp.asarray(dct_basis(n_mels, n_mfcc, dct) * liftering(n_mfcc, lifter), db.dtype)
    return jnp.swapaxes(jnp.matmul(db, basis, precision=jax.lax.Precision.HIGHEST), -1, -2)
