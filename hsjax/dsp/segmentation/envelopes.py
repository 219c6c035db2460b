"""The four envelopes of a heart sound from which Springer's segmentation tells the states of the heart."""

import functools

import jax.numpy as jnp
import numpy as np
import scipy.signal
from jaxtyping import Array, Bool, Float, Int, Shaped

from hsjax.dsp import inputs
from hsjax.dsp.design import Band, butterworth
from hsjax.dsp.polyphase import AntiAlias, low_pass, ratio, resample
from hsjax.dsp.segmentation.strided import correlate
from hsjax.dsp.segmentation.wavelet import DELAY, detail
from hsjax.dsp.sos import default_padding_length, zero_phase
from hsjax.dsp.spikes import remove_spikes

# Springer, Tarassenko & Clifford 2016 (IEEE Trans. Biomed. Eng. 63:822) and the code they published with it.
AUDIO_RATE = 1000
FRAME_RATE = 50
_HOP = AUDIO_RATE // FRAME_RATE
_LOW_EDGE, _HIGH_EDGE = 25.0, 400.0
_SMOOTHING = 8.0
_PSD_BAND = np.arange(40.0, 61.0)
_PSD_WINDOW = 25
# The power is taken at 200 Hz and then brought to the frame rate; Springer takes it at 83 Hz.
_PSD_HOP = 5
# Amplitudes below -160 dB of full scale are silence: their logarithm goes no lower.
_SILENCE = 1e-8
# 256 taps at the odd lags up to 255 ms: flat to 60 dB from 8 to 492 Hz.
_HILBERT_REACH = 128
_HILBERT_BETA = 6.0


def condition(
    samples: Shaped[Array, "*batch time"],
    sample_rate: float | int,
    lengths: Int[Array, "*batch"] | Int[np.ndarray, "*batch"] | None = None,
) -> tuple[Float[Array, "*batch resampled"], Int[Array, "*batch"]]:
    """Bring recordings to what the envelopes are taken from: 1000 Hz, 25-400 Hz, no spikes.

    `resample`, the sections of a second-order Butterworth low-pass and high-pass in one zero-phase pass (Springer: in
    two, which differs at the ends), `remove_spikes`.

    Args:
      samples: `(..., time)`.
      sample_rate: Hz.
      lengths: `(...)`, valid samples; None: all.

    Returns:
      `(..., resampled)` at 1000 Hz, zero behind their length, and the `(...)` lengths. A recording with a NaN is NaN
      throughout; one of 15 ms or less is silent.

    Raises:
      ValueError: no samples, 15 ms or less of them, or rates that `resample` refuses.
    """
    samples = inputs.floating(samples)
    time = samples.shape[-1]
    lengths = jnp.broadcast_to(time if lengths is None else lengths, samples.shape[:-1])
    up, down = ratio(sample_rate, AUDIO_RATE)
    samples = resample(samples, sample_rate, AUDIO_RATE, lengths=lengths)
    lengths = -(-jnp.clip(lengths, 0, time) * up // down)
    sections = np.concatenate(
        [butterworth(2, _HIGH_EDGE, AUDIO_RATE, Band.LOWPASS), butterworth(2, _LOW_EDGE, AUDIO_RATE, Band.HIGHPASS)]
    )
    long_enough = lengths > default_padding_length(sections)
    samples = jnp.where(long_enough[..., None], zero_phase(samples, sections, lengths=lengths), 0)
    return remove_spikes(samples, AUDIO_RATE, lengths), lengths


def envelopes(
    samples: Shaped[Array, "*batch time"],
    sample_rate: float | int,
    lengths: Int[Array, "*batch"] | Int[np.ndarray, "*batch"] | None = None,
) -> tuple[Float[Array, "*batch frames 4"], Int[Array, "*batch"]]:
    """Homomorphic, Hilbert, wavelet and PSD envelope of whole recordings at 50 frames/s.

    Springer, Tarassenko & Clifford 2016, with what is needed to make the result independent of padding and of the
    recording's other end. Frame `t` is centred on `t * 20 ms`; there are `ceil(seconds * 50)`. Each envelope has zero
    mean and unit (n - 1) variance over a recording's valid frames; frames behind them are 0.

    0. Homomorphic: `exp` of the 8 Hz low-passed (first-order, zero-phase) logarithm of the analytic amplitude.
    1. Hilbert: the analytic amplitude. Both take `hilbert` below, which differs from SciPy's near the ends.
    2. Wavelet: absolute level-3 detail of rbio3.9, delayed by the filters' exact 63 ms; Springer's crop of the
       coefficients amounts to 63 to 66 ms, depending on the recording's length.
    3. PSD: mean power density from 40 to 60 Hz of Hamming windows of 25 ms, every 5 ms; Springer takes them every
       12 ms, does not centre them, and stretches the result to the length of the others.

    All are brought to 50 frames/s as `scipy.signal.resample_poly(..., padtype="edge")` does it, where Springer lets
    them fall to zero at the ends.

    Args:
      samples: `(..., time)`, as recorded; `condition` is applied to them first.
      sample_rate: Hz.
      lengths: `(...)`, valid samples; None: all.

    Returns:
      `(..., frames, 4)` and the `(...)` valid frames. Silence, and a recording of 15 ms or less, gives 0; a NaN makes
      all valid frames of its recording NaN.

    Raises:
      ValueError: as `condition`.
    """
    samples, lengths = condition(samples, sample_rate, lengths)
    power = jnp.square(samples) + jnp.square(hilbert(samples))
    smoothing = butterworth(1, _SMOOTHING, AUDIO_RATE, Band.LOWPASS)
    log_amplitude = 0.5 * jnp.log(jnp.maximum(power, _SILENCE**2))
    smoothed = zero_phase(
        log_amplitude, smoothing, lengths=jnp.where(lengths > default_padding_length(smoothing), lengths, 0)
    )
    # The root of nothing has no gradient: it is taken where there is something.
    amplitude = jnp.where(power == 0, 0, jnp.sqrt(jnp.where(power == 0, 1, power)))
    features = jnp.stack(
        [
            _to_frames(jnp.exp(smoothed), lengths, _HOP),
            _to_frames(amplitude, lengths, _HOP),
            _wavelet_envelope(samples, lengths),
            _to_frames(_band_power(samples), -(-lengths // _PSD_HOP), _HOP // _PSD_HOP),
        ],
        axis=-1,
    )
    frames = -(-lengths // _HOP)
    return _standardise(features, frames), frames


def hilbert(samples: Float[Array, "*batch time"]) -> Float[Array, "*batch time"]:
    """Hilbert transform at 1000 Hz by a linear-phase FIR filter, flat from 8 Hz to 492 Hz; zeros beyond the ends.

    The imaginary part of `scipy.signal.hilbert`, except that that one takes the recording for one period of a periodic
    signal, so that its end reaches into its beginning.
    """
    time = samples.shape[-1]
    half = -(-time // 2)
    lag = 2 * np.arange(-_HILBERT_REACH, _HILBERT_REACH) + 1
    window = scipy.signal.windows.kaiser(4 * _HILBERT_REACH + 1, _HILBERT_BETA)[lag + 2 * _HILBERT_REACH]
    kernel = (2 / (np.pi * lag) * window)[::-1]
    # Every other tap is zero: even outputs see odd samples and odd outputs even ones, by the same half-rate filter.
    left = 2 * (_HILBERT_REACH - 1) + 1
    padded = jnp.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(left, 2 * half - time + 1)])
    streams = jnp.moveaxis(padded[..., : padded.shape[-1] // 2 * 2].reshape(*samples.shape[:-1], -1, 2), -1, -2)
    out = correlate(streams, kernel[:, None], 1, half)[..., 0]
    return jnp.moveaxis(out, -2, -1).reshape(*samples.shape[:-1], 2 * half)[..., :time]


def _wavelet_envelope(
    samples: Float[Array, "*batch time"], lengths: Int[Array, "*batch"]
) -> Float[Array, "*batch frames"]:
    """Absolute level-3 detail, held for the 8 samples it stands for, at the frame rate."""
    coefficients = jnp.abs(detail(samples, lengths))
    # Coefficient i stands for the samples from 8 i - 63 on (the filters' exact delay): the first is 7.
    first = DELAY // 8
    coefficients = coefficients[..., first:]
    held = _edge(coefficients, (lengths + DELAY - 1) // 8 - first + 1, 32, 64)
    kernel = low_pass(1, _HOP, AntiAlias.SCIPY)
    # Holding and low-pass together, at 125 Hz: frames lie 2.5 coefficients apart, so there are two phases of it.
    lag = np.arange(len(kernel)) - len(kernel) // 2
    phases = np.zeros((96, 2))
    for phase in range(2):
        np.add.at(phases[:, phase], (lag + DELAY + _HOP * phase) // 8 - first + 32, kernel)
    frames = -(-samples.shape[-1] // _HOP)
    out = correlate(held, phases, 5, -(-frames // 2))
    return out.reshape(*out.shape[:-2], -1)[..., :frames]


@functools.cache
def _power_filters() -> Float[np.ndarray, "taps filters"]:
    """Filters whose squared outputs add up to the mean power density from 40 to 60 Hz of a Hamming-windowed frame.

    The mean over 21 frequencies is one quadratic form of the 25 samples, and few of its eigenvalues are not 0.
    """
    window = scipy.signal.get_window("hamming", _PSD_WINDOW)
    phase = 2 * np.pi * np.outer(_PSD_BAND, np.arange(_PSD_WINDOW)) / AUDIO_RATE
    waves = np.concatenate([np.cos(phase), np.sin(phase)]) * window
    form = 2 * waves.T @ waves / (len(_PSD_BAND) * AUDIO_RATE * np.sum(window**2))
    values, vectors = np.linalg.eigh(form)
    kept = values > 1e-12 * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])


def _band_power(samples: Float[Array, "*batch time"]) -> Float[Array, "*batch frames"]:
    """Mean power density from 40 to 60 Hz in frames of 25 ms centred on every 5th millisecond."""
    padded = jnp.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(_PSD_WINDOW // 2, 0)])
    out = correlate(padded, _power_filters(), _PSD_HOP, -(-samples.shape[-1] // _PSD_HOP))
    return jnp.sum(jnp.square(out), axis=-1)


def _to_frames(
    envelope: Float[Array, "*batch time"], lengths: Int[Array, "*batch"], factor: int
) -> Float[Array, "*batch frames"]:
    """`scipy.signal.resample_poly(envelope, 1, factor, padtype="edge")` of the valid part."""
    # The filter reaches 10 frames to either side.
    held = _edge(envelope, lengths, 10 * factor, 10 * factor)
    return resample(held, factor, 1)[..., 10 : 10 - (-envelope.shape[-1] // factor)]


def _edge(
    signal: Float[Array, "*batch time"], lengths: Int[Array, "*batch"], left: int, right: int
) -> Float[Array, "*batch padded"]:
    """Hold the first value in front and the last valid one behind."""
    time = signal.shape[-1]
    last = jnp.take_along_axis(signal, jnp.clip(lengths - 1, 0, time - 1)[..., None], axis=-1)
    held = jnp.where(_valid(time, lengths), signal, last)
    return jnp.pad(held, [(0, 0)] * (signal.ndim - 1) + [(left, right)], mode="edge")


def _valid(time: int, lengths: Int[Array, "*batch"]) -> Bool[Array, "*batch time"]:
    return jnp.arange(time) < lengths[..., None]


def _standardise(
    features: Float[Array, "*batch frames 4"], lengths: Int[Array, "*batch"]
) -> Float[Array, "*batch frames 4"]:
    """Zero mean and unit (n - 1) variance over the valid frames; what is constant becomes 0."""
    valid = _valid(features.shape[-2], lengths)[..., None]
    count = jnp.maximum(lengths, 1).astype(features.dtype)[..., None, None]
    mean = jnp.sum(jnp.where(valid, features, 0), axis=-2, keepdims=True) / count
    centred = jnp.where(valid, features - mean, 0)
    variance = jnp.sum(jnp.square(centred), axis=-2, keepdims=True) / jnp.maximum(count - 1, 1)
    constant = variance <= jnp.square(1e-5 * mean)  # false of a NaN, which stays one
    return jnp.where(valid & ~constant, centred / jnp.sqrt(jnp.where(constant, 1, variance)), 0)
