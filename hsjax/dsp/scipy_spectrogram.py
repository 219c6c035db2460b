"""The spectrogram as `scipy.signal.spectrogram` defines it, and as papers that used it mean it."""

import enum

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from hsjax.dsp.fourier import Backend, root, windowed_dft
from hsjax.dsp.frames import Padding, frame, frame_count
from hsjax.dsp.inputs import floating
from hsjax.dsp.windows import Window
from hsjax.dsp.windows import window as design_window


class Detrend(enum.Enum):
    """What is taken out of each segment before it is windowed: its mean, its least-squares line, or nothing."""

    CONSTANT = "constant"
    LINEAR = "linear"
    NONE = "none"


class Scaling(enum.Enum):
    """Unit of the result, for samples in V. DENSITY: V**2/Hz, its sum over Hz is the power. SPECTRUM: V**2.

    The modes other than PSD have its square root.
    """

    DENSITY = "density"
    SPECTRUM = "spectrum"


class Mode(enum.Enum):
    """What is returned. PSD: one-sided power, the power of negative frequencies added to that of the positive.

    COMPLEX, MAGNITUDE and ANGLE (radians) are of the transform itself; no negative frequency is added to them.
    """

    PSD = "psd"
    COMPLEX = "complex"
    MAGNITUDE = "magnitude"
    ANGLE = "angle"


def spectrogram(
    samples: Float[Array, "*batch time"],
    sample_rate: float | int,
    nperseg: int = 256,
    noverlap: int | None = None,
    nfft: int | None = None,
    window: Window = Window.TUKEY,
    detrend: Detrend = Detrend.CONSTANT,
    scaling: Scaling = Scaling.DENSITY,
    mode: Mode = Mode.PSD,
    backend: Backend = Backend.DFT,
) -> Float[Array, "*batch bins frames"] | Complex[Array, "*batch bins frames"]:
    """The third value of `scipy.signal.spectrogram`, whose defaults these are.

    With `Backend.DFT` PSD and MAGNITUDE trace to operators that every runtime has.

    Args:
      samples: `(..., time)`, any unit. A NaN spreads over the segments that hold its sample.
      sample_rate: Hz.
      nperseg: samples per segment.
      noverlap: samples that neighbouring segments share; `nperseg // 8` where None.
      nfft: length of the transform, zeros following each segment; `nperseg` where None.
      window: which window, periodic.
      detrend: what is taken out of each segment.
      scaling: unit of the result.
      mode: what is returned.
      backend: how the transform is computed.

    Returns:
      `(..., nfft // 2 + 1, 1 + (time - nperseg) // (nperseg - noverlap))`. Silence is zero, and so is the gradient of
      MAGNITUDE and ANGLE there.

    Raises:
      ValueError: not `0 <= noverlap < nperseg <= nfft`, fewer samples than one segment (where scipy shortens the
        segment), or a sample rate that is not positive.
    """
    samples = floating(samples)
    hop_length = _hop_length(nperseg, noverlap)
    nfft = nperseg if nfft is None else nfft
    if sample_rate <= 0:
        raise ValueError(f"want a positive sample rate, got {sample_rate}")
    weights = design_window(window, nperseg)
    if scaling is Scaling.DENSITY:
        weights = weights / np.sqrt(sample_rate * np.sum(np.square(weights)))
    else:
        weights = weights / np.sum(weights)
    segments = _detrended(frame(samples, nperseg, hop_length, Padding.NONE), detrend)
    real, imaginary = windowed_dft(segments, weights, nfft, backend=backend)
    return jnp.swapaxes(_of_mode(real, imaginary, nfft, mode), -1, -2)


def spectrogram_frequencies(sample_rate: float | int, nfft: int) -> Float[np.ndarray, " bins"]:
    """Centre of each bin in Hz, the first value of `scipy.signal.spectrogram`; `(nfft // 2 + 1,)`, float64."""
    return np.arange(nfft // 2 + 1) * (sample_rate / nfft)


def spectrogram_times(
    time: int, sample_rate: float | int, nperseg: int = 256, noverlap: int | None = None
) -> Float[np.ndarray, " frames"]:
    """Centre of each segment in seconds, the second value of `scipy.signal.spectrogram`.

    Args:
      time: samples of the signal.
      sample_rate: Hz.
      nperseg: samples per segment.
      noverlap: samples that neighbouring segments share; `nperseg // 8` where None.

    Returns:
      `(frames,)`, float64.

    Raises:
      ValueError: as `spectrogram`.
    """
    hop_length = _hop_length(nperseg, noverlap)
    frames = frame_count(time, nperseg, hop_length, Padding.NONE)
    return (nperseg / 2 + np.arange(frames) * hop_length) / sample_rate


def _hop_length(nperseg: int, noverlap: int | None) -> int:
    noverlap = nperseg // 8 if noverlap is None else noverlap
    if not 0 <= noverlap < nperseg:
        raise ValueError(f"want 0 <= noverlap < nperseg, got {noverlap}, {nperseg}")
    return nperseg - noverlap


def _detrended(segments: Float[Array, "*batch frames time"], detrend: Detrend) -> Float[Array, "*batch frames time"]:
    if detrend is Detrend.NONE:
        return segments
    centred = segments - jnp.mean(segments, axis=-1, keepdims=True)
    nperseg = segments.shape[-1]
    if detrend is Detrend.CONSTANT or nperseg == 1:
        return centred
    slope = np.arange(nperseg) - (nperseg - 1) / 2
    slope = jnp.asarray(slope / np.linalg.norm(slope), segments.dtype)[:, None]
    return centred - jnp.matmul(centred, slope, precision=jax.lax.Precision.HIGHEST) * slope[:, 0]


def _of_mode(
    real: Float[Array, "*batch frames bins"], imaginary: Float[Array, "*batch frames bins"], nfft: int, mode: Mode
) -> Float[Array, "*batch frames bins"] | Complex[Array, "*batch frames bins"]:
    if mode is Mode.COMPLEX:
        return jax.lax.complex(real, imaginary)
    if mode is Mode.ANGLE:
        silent = (real == 0) & (imaginary == 0)  # where the angle has no derivative
        imaginary = jnp.where(imaginary == 0, 0.0, imaginary)  # -0 would turn the angle of a negative number to -pi
        return jnp.where(silent, 0.0, jnp.arctan2(imaginary, jnp.where(silent, 1.0, real)))
    power = jnp.square(real) + jnp.square(imaginary)
    if mode is Mode.MAGNITUDE:
        return root(power)
    # Only 0 Hz and, of an even transform, half the sample rate are their own negative frequency.
    sides = np.full(nfft // 2 + 1, 2.0)
    sides[0] = 1.0
    sides[-1] = 2.0 if nfft % 2 else 1.0
    if nfft == 1:
        sides[:] = 1.0
    return power * jnp.asarray(sides, power.dtype)
