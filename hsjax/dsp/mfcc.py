"""Mel-frequency cepstral coefficients."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.dsp.mel import MelScale, log_mel


def dct_basis(n_in: int, n_out: int) -> Float[np.ndarray, "{n_in} {n_out}"]:
    """The first `n_out` columns of the orthonormal DCT-II (`scipy.fft.dct(x, norm="ortho")`), float64."""
    k, n = np.arange(n_out), np.arange(n_in)
    basis = np.sqrt(2.0 / n_in) * np.cos(np.pi * np.outer(2 * n + 1, k) / (2 * n_in))
    basis[:, 0] /= np.sqrt(2.0)
    return basis


def mfcc(
    samples: Float[Array, "*batch time"],
    sample_rate: float | int,
    n_mfcc: int,
    n_fft: int,
    hop_length: int,
    n_mels: int,
    fmin: float | int = 0.0,
    fmax: float | int | None = None,
    scale: MelScale = MelScale.SLANEY,
    top_db: float | int | None = 80.0,
) -> Float[Array, "*batch {n_mfcc} frames"]:
    """Mel-frequency cepstral coefficients (Davis & Mermelstein 1980), as `librosa.feature.mfcc`.

    Args:
      samples: `(..., time)`, full scale 1.
      sample_rate: Hz.
      n_mfcc: coefficients kept, from the 0th (log energy) on.
      n_fft: frame length in samples.
      hop_length: samples between frames.
      n_mels: bands of the mel spectrogram.
      fmin: Hz.
      fmax: Hz.
      scale: which mel.
      top_db: dynamic range kept below each window's maximum, dB.

    Returns:
      `(..., n_mfcc, 1 + time // hop_length)`.

    Raises:
      ValueError: as `log_mel`, or more coefficients than bands.
    """
    if n_mfcc > n_mels:
        raise ValueError(f"{n_mfcc} coefficients need at least as many mel bands, got {n_mels}")
    db = log_mel(samples, sample_rate, n_fft, hop_length, n_mels, fmin, fmax, scale, top_db)
    basis = jnp.asarray(dct_basis(n_mels, n_mfcc), samples.dtype)
    return jnp.swapaxes(jnp.matmul(db, basis, precision=jax.lax.Precision.HIGHEST), -1, -2)
