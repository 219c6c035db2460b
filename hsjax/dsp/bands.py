"""Energy of a signal's short-time spectrum in the bands of a filterbank."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.dsp.fourier import Backend, power_spectrum
from hsjax.dsp.frames import Padding
from hsjax.dsp.windows import Window


def band_energies(
    samples: Float[Array, "*batch time"],
    filters: Float[np.ndarray, "bins bands"],
    n_fft: int,
    hop_length: int,
    window: Window = Window.HANN,
    win_length: int | None = None,
    padding: Padding = Padding.CENTER,
    backend: Backend = Backend.FASTEST,
) -> Float[Array, "*batch frames bands"]:
    """Weighted sums of the power of the short-time Fourier transform. Bins of weight zero are not computed.

    Args:
      samples: `(..., time)`, any unit; the result has its square. A NaN spreads over the frames that hold its sample.
      filters: weight of each of the `n_fft // 2 + 1` bins in each band, host array.
      n_fft: frame length in samples.
      hop_length: samples between frames.
      window: of the frames, periodic.
      win_length: of the window, centred in the frame; `n_fft` where None.
      padding: what stands before and behind the signal.
      backend: how the transform is computed.

    Returns:
      `(..., frames, bands)`.

    Raises:
      ValueError: as `frame` and `centered_window`, or filters of another number of bins.
    """
    if len(filters) != n_fft // 2 + 1:
        raise ValueError(f"n_fft {n_fft} has {n_fft // 2 + 1} bins, but the filters have {len(filters)}")
    used = np.flatnonzero(filters.any(axis=1))
    bins = slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 1)
    power = power_spectrum(
        samples, n_fft, hop_length, bins, window=window, win_length=win_length, padding=padding, backend=backend
    )
    return weigh(power, jnp.asarray(filters[bins], power.dtype))


def weigh(
    power: Float[Array, "*batch frames bins"], weights: Float[Array, "bins bands"]
) -> Float[Array, "*batch frames bands"]:
    """Sums of the power of bins, weighted, in full precision on every device."""
    return jnp.matmul(power, weights, precision=jax.lax.Precision.HIGHEST)
