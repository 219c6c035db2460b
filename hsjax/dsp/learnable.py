"""A filterbank whose bands are parameters: Gaussians on the linear frequency axis, with a centre and a width each."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.dsp.bands import weigh
from hsjax.dsp.fourier import Backend, power_spectrum
from hsjax.dsp.frames import Padding
from hsjax.dsp.mel import MelScale, mel_edges
from hsjax.dsp.windows import Window

# Full width at half maximum of a Gaussian, in standard deviations.
_HALF_MAXIMUM = 2 * np.sqrt(2 * np.log(2))


class Bands(NamedTuple):
    """A filterbank, one number of each for every band; a pytree to differentiate by.

    Attributes:
      center: frequency of the largest weight, Hz.
      width: standard deviation of the Gaussian, Hz.
    """

    center: Float[Array | np.ndarray, " bands"]
    width: Float[Array | np.ndarray, " bands"]


def mel_bands(
    sample_rate: float | int,
    n_bands: int,
    fmin: float | int = 0.0,
    fmax: float | int | None = None,
    scale: MelScale = MelScale.HTK,
) -> Bands:
    """Gaussians as wide at half their height as the triangles of a mel filterbank, where those have their tips.

    Args:
      sample_rate: Hz.
      n_bands: number of bands.
      fmin: lower edge of the first triangle, Hz.
      fmax: upper edge of the last one, Hz; half the sample rate by default.
      scale: which mel.

    Returns:
      Bands, float64 on the host.

    Raises:
      ValueError: no band, or not `0 <= fmin < fmax <= sample_rate / 2`.
    """
    fmax = _checked(sample_rate, n_bands, fmin, fmax)
    edges = mel_edges(n_bands, fmin, fmax, scale)
    return Bands(edges[1:-1], (edges[2:] - edges[:-2]) / 2 / _HALF_MAXIMUM)


def equal_energy_bands(
    spectrum: Float[np.ndarray, " bins"],
    sample_rate: float | int,
    n_bands: int,
    fmin: float | int = 0.0,
    fmax: float | int | None = None,
) -> Bands:
    """Neighbouring bands that share the energy of a spectrum evenly: narrow where the signal lives.

    The energy of each bin is taken as spread evenly over its width; the edges are quantiles of it. No band is narrower
    than one bin at half its height. A silent spectrum (or one with NaN) gives bands of equal width.

    Args:
      spectrum: mean power of training frames at the bins of a Fourier transform, 0 Hz to half the sample rate.
      sample_rate: Hz.
      n_bands: number of bands.
      fmin: lower edge of the first band, Hz.
      fmax: upper edge of the last one, Hz; half the sample rate by default.

    Returns:
      Bands, float64 on the host.

    Raises:
      ValueError: as `mel_bands`, or fewer than two bins.
    """
    fmax = _checked(sample_rate, n_bands, fmin, fmax)
    if len(spectrum) < 2:
        raise ValueError(f"want the spectrum at two bins or more, got {len(spectrum)}")
    spacing = sample_rate / 2 / (len(spectrum) - 1)
    borders = np.clip((np.arange(len(spectrum) + 1) - 0.5) * spacing, fmin, fmax)
    energy = np.asarray(spectrum, np.float64) * np.diff(borders)
    if not np.isfinite(energy).all() or energy.sum() <= 0:
        energy = np.diff(borders)
    heard = np.flatnonzero(energy > 0)
    first, last = heard[0], heard[-1] + 1  # silence at both ends belongs to no band
    cumulated = np.concatenate([[0.0], np.cumsum(energy[first:last])]) / energy.sum()
    edges = np.interp(np.linspace(0, 1, n_bands + 1), cumulated, borders[first : last + 1])
    return Bands((edges[1:] + edges[:-1]) / 2, np.maximum(np.diff(edges), spacing) / _HALF_MAXIMUM)


def band_weights(bands: Bands, frequencies: Float[np.ndarray, " bins"]) -> Float[Array, "bins bands"]:
    """Weight of every frequency in every band, `exp(-((f - center) / width)**2 / 2)`; differentiable by both.

    The sign of a width does not matter, and one below a thousandth of the spacing of the bins counts as that, so that
    training that shrinks a band to nothing ends in a weight of zero, not NaN.

    Args:
      bands: centres and widths.
      frequencies: of the bins, Hz, equally spaced.

    Returns:
      `(bins, bands)`, at most 1.
    """
    center, width = jnp.asarray(bands.center), jnp.abs(jnp.asarray(bands.width))
    narrowest = 1e-3 * float(frequencies[1] - frequencies[0])
    distance = (jnp.asarray(frequencies, center.dtype)[:, None] - center) / jnp.maximum(width, narrowest)
    return jnp.exp(-0.5 * jnp.square(distance))


def learnable_spectrogram(
    samples: Float[Array, "*batch time"],
    bands: Bands,
    sample_rate: float | int,
    n_fft: int,
    hop_length: int,
    window: Window = Window.HANN,
    win_length: int | None = None,
    padding: Padding = Padding.CENTER,
    backend: Backend = Backend.FASTEST,
) -> Float[Array, "*batch frames bands"]:
    """Power in Gaussian bands; differentiable by the bands as well as by the samples.

    Args:
      samples: `(..., time)`, any unit; the result has its square. A NaN spreads over the frames that hold its sample.
      bands: centres and widths, Hz.
      sample_rate: Hz.
      n_fft: frame length in samples.
      hop_length: samples between frames.
      window: of the frames, periodic.
      win_length: of the window, centred in the frame; `n_fft` where None.
      padding: what stands before and behind the signal.
      backend: how the transform is computed; DFT for export.

    Returns:
      `(..., frames, bands)`; silence is zero.

    Raises:
      ValueError: as `frame` and `centered_window`.
    """
    power = power_spectrum(
        samples, n_fft, hop_length, window=window, win_length=win_length, padding=padding, backend=backend
    )
    frequencies = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    return weigh(power, band_weights(bands, frequencies).astype(power.dtype))


def _checked(sample_rate: float | int, n_bands: int, fmin: float | int, fmax: float | int | None) -> float | int:
    fmax = sample_rate / 2 if fmax is None else fmax
    if n_bands < 1 or not 0 <= fmin < fmax <= sample_rate / 2:
        raise ValueError(
            f"want at least one band and 0 <= fmin < fmax <= {sample_rate / 2} Hz, "
            f"got {n_bands}, fmin {fmin}, fmax {fmax}"
        )
    return fmax
