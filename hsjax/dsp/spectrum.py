"""Short-time spectra by windowed discrete Fourier transform."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.dsp.frames import frame


def hann(length: int) -> Float[np.ndarray, " {length}"]:
    """The periodic Hann window (`scipy.signal.get_window("hann", length)`), float64."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)


def _fourier_basis(n_fft: int, bins: slice) -> Float[np.ndarray, "{n_fft} columns"]:
    """Windowed cosines, then sines, of the chosen bins; one column each."""
    frequency = np.arange(n_fft // 2 + 1)[bins]
    angle = 2 * np.pi * np.outer(np.arange(n_fft), frequency) / n_fft
    return hann(n_fft)[:, None] * np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)


def power_spectrum(
    samples: Float[Array, "*batch time"], n_fft: int, hop_length: int, bins: slice = slice(None)
) -> Float[Array, "*batch frames bins"]:
    """Power of the short-time Fourier transform, Hann window, centred frames padded with zeros.

    Equal to `abs(librosa.stft(samples, n_fft, hop_length, pad_mode="constant")) ** 2` with the last two axes
    exchanged. Computed as one matrix product with the windowed Fourier basis, which every runtime has.

    Args:
      samples: `(..., time)`, any unit; the result has its square.
      n_fft: frame length in samples.
      hop_length: samples between frames.
      bins: which of the `n_fft // 2 + 1` bins to compute. A mel filterbank touches few of them.

    Returns:
      `(..., 1 + time // hop_length, bins)`.

    Raises:
      ValueError: as `frame`.
    """
    basis = jnp.asarray(_fourier_basis(n_fft, bins), samples.dtype)
    parts = jnp.matmul(frame(samples, n_fft, hop_length), basis, precision=jax.lax.Precision.HIGHEST)
    real, imaginary = jnp.split(jnp.square(parts), 2, axis=-1)
    return real + imaginary


def power_to_db(
    power: Float[Array, "*batch frames bins"], amin: float | int = 1e-10, top_db: float | int | None = 80.0
) -> Float[Array, "*batch frames bins"]:
    """`10 log10(max(power, amin))`, as `librosa.power_to_db` with `ref=1`.

    Args:
      power: `(..., frames, bins)`.
      amin: floor of the power.
      top_db: floor below each spectrogram's own maximum (over its last two axes) in dB; None for no such floor.

    Returns:
      dB, same shape.
    """
    db = (10.0 / np.log(10.0)) * jnp.log(jnp.maximum(power, amin))
    if top_db is None:
        return db
    return jnp.maximum(db, jnp.max(db, axis=(-2, -1), keepdims=True) - top_db)
