"""The way from the heart to the file: chest, breathing, room, handling, mains and sensor of a synthetic recording."""

import dataclasses

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float

from hsjax.data import heart_sounds
from hsjax.data.physiology import Rhythm, Subject, breath


@dataclasses.dataclass(frozen=True)
class Sensor:
    """A stethoscope or microphone: second-order high-pass and low-pass, and one resonance between them.

    Attributes:
      high_pass: corner, Hz.
      low_pass: corner, Hz.
      resonance: Hz.
      quality: of the resonance.
      boost: gain at the resonance, dB; negative for a dip.
    """

    high_pass: float
    low_pass: float
    resonance: float
    quality: float
    boost: float


SENSORS = (
    Sensor(high_pass=15.0, low_pass=900.0, resonance=60.0, quality=0.7, boost=3.0),  # electronic stethoscope, bell
    Sensor(high_pass=30.0, low_pass=1200.0, resonance=180.0, quality=0.8, boost=9.0),  # the same, diaphragm
    Sensor(high_pass=8.0, low_pass=350.0, resonance=35.0, quality=1.0, boost=4.0),  # piezo contact sensor
    Sensor(high_pass=45.0, low_pass=1600.0, resonance=450.0, quality=1.5, boost=8.0),  # microphone in a tube
)


def sensor_response(sensor: Sensor, frequencies: Float[np.ndarray, " bins"]) -> Complex[np.ndarray, " bins"]:
    """Complex response at `frequencies` (Hz): Butterworth sections and an analogue peaking equaliser."""
    s = 1j * frequencies
    high = s**2 / (s**2 + np.sqrt(2.0) * sensor.high_pass * s + sensor.high_pass**2)
    low = sensor.low_pass**2 / (s**2 + np.sqrt(2.0) * sensor.low_pass * s + sensor.low_pass**2)
    spread = sensor.resonance / sensor.quality * s
    gain = 10 ** (sensor.boost / 20)
    peak = (s**2 + gain * spread + sensor.resonance**2) / (s**2 + spread + sensor.resonance**2)
    return high * low * peak


def transmit(
    heart: Float[np.ndarray, " time"],
    outside: Float[np.ndarray, " time"],
    sample_rate: int,
    chest_cutoff: float,
    sensor: Sensor,
) -> Float[np.ndarray, " time"]:
    """What the sensor hears: the heart through the chest's first-order low-pass, and the outside as it is."""
    # Padded so that the filters' tails do not come round to the beginning.
    size = scipy.fft.next_fast_len(heart.size + sample_rate // 2, real=True)
    frequencies = scipy.fft.rfftfreq(size, 1.0 / sample_rate)
    spectrum = scipy.fft.rfft(heart, size) / (1.0 + 1j * frequencies / chest_cutoff) + scipy.fft.rfft(outside, size)
    return scipy.fft.irfft(spectrum * sensor_response(sensor, frequencies), size)[: heart.size]


def _level(rng: np.random.Generator, low: float, high: float) -> float:
    """Random amplitude between two levels in dB."""
    return 10 ** (rng.uniform(low, high) / 20)


def _room(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Float[np.ndarray, " time"]:
    """Steady noise of muscles, clothes and room: flat at the bottom, falling with a random slope above."""
    corner, slope = rng.uniform(40.0, 100.0), rng.uniform(1.2, 3.0)
    level = _level(rng, -36.0, -18.0)
    return level * heart_sounds.coloured(rng, num_samples, sample_rate, lambda f: 1.0 / (1.0 + (f / corner) ** slope))


def _movement(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Float[np.ndarray, " time"]:
    """Slow swaying of sensor and skin, mostly below the heart sounds' band."""
    level, centre = _level(rng, -40.0, -8.0), rng.uniform(6.0, 16.0)
    return level * heart_sounds.coloured(
        rng, num_samples, sample_rate, lambda f: heart_sounds.octave_bell(f, centre, 0.5)
    )


def _breathing(
    rng: np.random.Generator, subject: Subject, rhythm: Rhythm, num_samples: int, sample_rate: int
) -> Float[np.ndarray, " time"]:
    """Vesicular sound: band noise, loud while air flows in, softer while it flows out."""
    flow = breath(rhythm, subject, np.arange(num_samples) / sample_rate)
    envelope = np.where(flow > 0, flow, 0.4 * flow**2)
    level, centre = _level(rng, -50.0, -26.0), rng.uniform(120.0, 350.0)
    return (
        level
        * envelope
        * heart_sounds.coloured(rng, num_samples, sample_rate, lambda f: heart_sounds.octave_bell(f, centre, 0.8))
    )


def _bumps(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Float[np.ndarray, " time"]:
    """Knocks against the sensor, one in eight seconds on average."""
    samples = np.zeros(num_samples)
    seconds = num_samples / sample_rate
    count = rng.poisson(seconds / 8.0)
    if count:
        heart_sounds.add_transients(
            samples,
            sample_rate,
            onset=rng.uniform(0.0, seconds, count),
            duration=rng.uniform(0.05, 0.25, count),
            frequency=rng.uniform(15.0, 150.0, count),
            amplitude=np.exp(rng.normal(-1.2, 0.8, count)),
            phase=rng.uniform(0.0, 2 * np.pi, count),
        )
    return samples


def _bursts(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Float[np.ndarray, " time"]:
    """Friction of skin and clothes, and speech: each in about every fourth recording, once."""
    samples = np.zeros(num_samples)
    times = np.arange(num_samples) / sample_rate
    for probability, voice in ((0.25, _friction), (0.25, _speech)):
        heard, seconds = rng.random() < probability, rng.uniform(0.3, 1.5)
        start = rng.uniform(0.0, max(times[-1] - seconds, 0.0))
        inside = (times >= start) & (times < start + seconds)
        burst = voice(rng, times[inside] - start, sample_rate)
        if heard:
            samples[inside] += _level(rng, -30.0, -12.0) * np.hanning(burst.size) * burst
    return samples


def _friction(
    rng: np.random.Generator, times: Float[np.ndarray, " time"], sample_rate: int
) -> Float[np.ndarray, " time"]:
    roughness = 1.0 + np.sin(2 * np.pi * rng.uniform(8.0, 25.0) * times + rng.uniform(0.0, 2 * np.pi))
    centre = rng.uniform(150.0, 500.0)
    noise = heart_sounds.coloured(rng, times.size, sample_rate, lambda f: heart_sounds.octave_bell(f, centre, 1.0))
    return roughness * noise


def _speech(
    rng: np.random.Generator, times: Float[np.ndarray, " time"], sample_rate: int
) -> Float[np.ndarray, " time"]:
    """Harmonics of a gliding voice under one formant, about four syllables a second."""
    pitch, formant = rng.uniform(100.0, 220.0), rng.uniform(350.0, 700.0)
    glide = rng.uniform(-0.2, 0.2)
    phase = 2 * np.pi * pitch * (times + glide * times**2 / 2)
    harmonics = np.arange(1, 6)
    harmonics = harmonics[harmonics * pitch * 1.3 < sample_rate / 2]
    weights = heart_sounds.octave_bell(harmonics * pitch, formant, 0.7)
    syllables = np.sin(np.pi * rng.uniform(3.0, 5.0) * times) ** 2
    return syllables * (weights @ np.sin(np.outer(harmonics, phase)))


def disturbances(
    rng: np.random.Generator, subject: Subject, rhythm: Rhythm, num_samples: int, sample_rate: int
) -> Float[np.ndarray, " time"]:
    """Everything the sensor picks up besides the heart; amplitudes as in `heart_sounds`."""
    return (
        _room(rng, num_samples, sample_rate)
        + _movement(rng, num_samples, sample_rate)
        + _breathing(rng, subject, rhythm, num_samples, sample_rate)
        + _bumps(rng, num_samples, sample_rate)
        + _bursts(rng, num_samples, sample_rate)
    )


def electronics(rng: np.random.Generator, num_samples: int, sample_rate: int) -> Float[np.ndarray, " time"]:
    """What the sensor adds itself: white noise and, in one recording of four, mains hum with two harmonics."""
    samples = _level(rng, -70.0, -45.0) * rng.standard_normal(num_samples)
    humming, mains, level = rng.random() < 0.25, rng.choice([50.0, 60.0]), _level(rng, -40.0, -20.0)
    phases = rng.uniform(0.0, 2 * np.pi, 3)
    if humming:
        times = np.arange(num_samples) / sample_rate
        for harmonic, (share, phase) in enumerate(zip((1.0, 0.3, 0.4), phases, strict=True), start=1):
            samples += level * share * np.sin(2 * np.pi * mains * harmonic * times + phase)
    return samples
