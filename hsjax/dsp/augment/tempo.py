"""Tempo without pitch and pitch without tempo, by phase vocoder."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Key

from hsjax.dsp.augment.draw import Range, Scalar, draw, working
from hsjax.dsp.augment.speed import change_speed, positions
from hsjax.dsp.fourier import istft, stft
from hsjax.dsp.frames import overlap_add
from hsjax.dsp.windows import Window, centered_window


def time_stretch(
    key: Key[Array, ""],
    samples: Float[Array, "*channels time"],
    n_fft: int,
    hop_length: int,
    rate: Range = (0.9, 1.1),
) -> Float[Array, "*channels time"]:
    """The samples faster or slower at the same pitch: another heart rate.

    `stretch` at a random rate, all channels alike.

    Args:
      key: of this example.
      samples: `(..., time)`, any unit. A NaN spreads over all that follows it.
      n_fft: frame length in samples; an eighth of a second suits heart sounds.
      hop_length: samples between frames, at most a quarter of `n_fft` for a smooth result.
      rate: speed, or a range to draw from; 1 changes nothing.

    Returns:
      The same shape and dtype: cut where slower, followed by zeros where faster.

    Raises:
      ValueError: no samples, a range the wrong way round, or as `stft`.
    """
    values = working(samples)
    speed = draw(key, rate, values.dtype)
    return stretch(values, speed, n_fft, hop_length, values.shape[-1]).astype(samples.dtype)


def pitch_shift(
    key: Key[Array, ""],
    samples: Float[Array, "*channels time"],
    n_fft: int,
    hop_length: int,
    semitones: Range = (-2.0, 2.0),
    most: float | int = 4.0,
) -> Float[Array, "*channels time"]:
    """The samples higher or lower at the same tempo: another chest.

    `transpose` by a random interval, all channels alike.

    Args:
      key: of this example.
      samples: `(..., time)`, any unit. A NaN spreads over all that follows it.
      n_fft: as for `time_stretch`.
      hop_length: as for `time_stretch`.
      semitones: twelfths of an octave, or a range to draw from; 0 changes nothing.
      most: bound of their magnitude; it sizes the buffer, so it is a plain number.

    Returns:
      The same shape and dtype.

    Raises:
      ValueError: no samples, a range the wrong way round, or as `stft`.
    """
    values = working(samples)
    interval = draw(key, semitones, values.dtype)
    return transpose(values, interval, n_fft, hop_length, most).astype(samples.dtype)


def stretch(
    samples: Float[Array, "*channels time"], rate: Scalar, n_fft: int, hop_length: int, length: int | None = None
) -> Float[Array, "*channels stretched"]:
    """The signal at another speed and the same pitch: `librosa.effects.time_stretch`.

    Args:
      samples: `(..., time)`, any unit.
      rate: speed, above 0; above 1 is faster. May be traced where `length` is given.
      n_fft: frame length in samples.
      hop_length: samples between frames.
      length: samples of the output, cut or followed by zeros; None for all, `round(time / rate)`.

    Returns:
      `(..., length)`.

    Raises:
      ValueError: no samples, a rate that is not above 0, a traced rate without length, or as `stft`.
    """
    samples = working(samples)
    time = samples.shape[-1]
    spectrum = stft(samples, n_fft, hop_length)
    if isinstance(rate, float | int):
        if not rate > 0:
            raise ValueError(f"want a rate above 0, got {rate:g}")
        natural = round(time / rate)
        frames = -int(-spectrum.shape[-2] // rate)
        whole = istft(phase_vocoder(spectrum, rate, frames), n_fft, hop_length, length=natural)
        length = natural if length is None else length
        rest = [(0, 0)] * (whole.ndim - 1) + [(0, max(length - natural, 0))]
        return jnp.pad(whole[..., :length], rest)
    if length is None:
        raise ValueError("want a length with a traced rate: the shape of the output cannot depend on it")
    frames = -(-(length + n_fft) // hop_length)
    stretched = istft(phase_vocoder(spectrum, rate, frames), n_fft, hop_length, length=length)
    # The inverse divides by the squared windows of all frames, but those past the end of the input hold nothing.
    whole, _ = positions(frames, rate, samples.dtype)
    squares = jnp.broadcast_to(
        jnp.asarray(np.square(centered_window(Window.HANN, None, n_fft)), samples.dtype), (frames, n_fft)
    )
    held = (whole < spectrum.shape[-2])[:, None]
    counted, filled = (
        overlap_add(rows, hop_length)[n_fft // 2 : n_fft // 2 + length] for rows in (squares, squares * held)
    )
    inside = (jnp.arange(length) < jnp.round(time / rate)) & (filled > 0)
    return jnp.where(inside, stretched * counted / jnp.where(inside, filled, 1.0), 0.0)


def transpose(
    samples: Float[Array, "*channels time"],
    semitones: Scalar,
    n_fft: int,
    hop_length: int,
    most: float | int = 4.0,
) -> Float[Array, "*channels time"]:
    """The signal at another pitch and the same speed: `stretch`, then `change_speed` back to the same length.

    Args:
      samples: `(..., time)`, any unit.
      semitones: twelfths of an octave, above 0 is higher; beyond `most` it is cut to that. May be traced.
      n_fft: frame length in samples.
      hop_length: samples between frames.
      most: bound of the magnitude of `semitones`.

    Returns:
      `(..., time)`.

    Raises:
      ValueError: no samples, a negative bound, or as `stft`.
    """
    if not most >= 0:
        raise ValueError(f"want a bound of 0 semitones or more, got {most:g}")
    samples = working(samples)
    time = samples.shape[-1]
    factor = 2.0 ** (jnp.clip(jnp.asarray(semitones, samples.dtype), -most, most) / 12.0)
    longest = int(time * 2.0 ** (most / 12.0)) + 2
    return change_speed(stretch(samples, 1.0 / factor, n_fft, hop_length, longest), factor, time)


def phase_vocoder(
    spectrum: Complex[Array, "*channels available bins"], rate: Scalar, frames: int
) -> Complex[Array, "*channels {frames} bins"]:
    """A short-time spectrum read at `0, rate, 2 * rate, ...` frames: `librosa.phase_vocoder`.

    Magnitudes are interpolated between neighbouring frames; the phase of each bin advances as it does between those.
    (Flanagan and Golden 1966; the expected advance of a bin, which others take off and add back, is a whole
    number of turns of no effect.) Phases are summed as products of unit numbers in a logarithmic number of steps, so
    that neither angles nor rounding grow with the length.

    Args:
      spectrum: `(..., frames, bins)`.
      rate: frames of the input per frame of the output, above 0. May be traced.
      frames: of the output; zero where the input has ended.

    Returns:
      `(..., frames, bins)`.
    """
    available = spectrum.shape[-2]
    whole, fraction = positions(frames, rate, spectrum.real.dtype)
    padded = jnp.pad(spectrum, [(0, 0)] * (spectrum.ndim - 2) + [(0, 2), (0, 0)])
    before = jnp.take(padded, jnp.minimum(whole, available), axis=-2)
    after = jnp.take(padded, jnp.minimum(whole + 1, available + 1), axis=-2)
    (size_before, turn_before), (size_after, turn_after) = _polar(before), _polar(after)
    size = (1.0 - fraction[:, None]) * size_before + fraction[:, None] * size_after
    advance = turn_after * jnp.conj(turn_before)
    first = turn_before[..., :1, :]
    turns = jax.lax.associative_scan(jnp.multiply, jnp.concatenate([first, advance[..., :-1, :]], axis=-2), axis=-2)
    return size * turns


def _polar(
    spectrum: Complex[Array, "*batch bins"],
) -> tuple[Float[Array, "*batch bins"], Complex[Array, "*batch bins"]]:
    """Magnitude and unit number; 0 and 1 where there is nothing, with a gradient of zero."""
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    size = jnp.sqrt(jnp.where(power > 0, power, 1.0))
    return jnp.where(power > 0, size, 0.0), jnp.where(power > 0, spectrum / size, 1.0)
