"""What the C code of a front end is to compute, in float64 with NumPy and SciPy."""

import numpy as np
import scipy.signal
from jaxtyping import Float, Num

from hsjax.micro.design import AMIN, SILENCE, Design


def features(design: Design, samples: Num[np.ndarray, "n window"]) -> Float[np.ndarray, "n coeffs frames"]:
    """Normalised features.

    Args:
      design: of the front end.
      samples: windows, full scale 1.
    """
    samples = samples.astype(np.float64)
    filtered = scipy.signal.sosfilt(design.sections, samples - samples.mean(axis=1, keepdims=True))
    scaled = filtered / np.sqrt(np.maximum(np.square(filtered).mean(axis=1, keepdims=True), SILENCE**2))
    padded = np.pad(scaled, [(0, 0), (design.n_fft // 2, design.n_fft)])
    starts = design.hop_length * np.arange(design.frames)
    frames = padded[:, starts[:, None] + np.arange(design.n_fft)]
    spectrum = np.fft.rfft(frames * scipy.signal.get_window("hann", design.n_fft))
    level = 10 * np.log10(np.maximum(np.square(np.abs(spectrum)) @ design.filters, AMIN))
    level = np.maximum(level, level.max(axis=(1, 2), keepdims=True) - design.top_db)
    gain, bias = design.normalisation
    return np.swapaxes(level @ gain + bias, 1, 2)
