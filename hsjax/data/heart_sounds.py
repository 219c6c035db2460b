"""The heart sounds and murmurs of a synthetic subject, before chest, room and sensor.

Amplitudes are relative to the mitral component of an ordinary first heart sound, whose peak is about 1. Beats are an
array axis, and all chance comes from the generator passed in.
"""

import math
from collections.abc import Callable

import numpy as np
import scipy.fft
from jaxtyping import Float, Int

from hsjax.data.physiology import Condition, Murmur, Rhythm, Subject, breath

# Start and end in seconds for each beat, and the loudness as a function of the way from start (0) to end (1).
_Course = tuple[np.ndarray, np.ndarray, Callable[[np.ndarray], np.ndarray]]


def coloured(
    rng: np.random.Generator,
    num_samples: int,
    sample_rate: int,
    response: Callable[[Float[np.ndarray, " bins"]], Float[np.ndarray, " bins"]],
) -> Float[np.ndarray, " time"]:
    """Gaussian noise whose amplitude spectrum is `response` of the frequency in Hz; root mean square 1."""
    size = scipy.fft.next_fast_len(num_samples, real=True)
    spectrum = scipy.fft.rfft(rng.standard_normal(size))
    spectrum *= response(scipy.fft.rfftfreq(size, 1.0 / sample_rate))
    samples = scipy.fft.irfft(spectrum, size)[:num_samples]
    return samples / np.sqrt(np.mean(samples**2))


def octave_bell(frequencies: Float[np.ndarray, " bins"], centre: float, width: float) -> Float[np.ndarray, " bins"]:
    """Amplitude response bell-shaped over log frequency: 1 at `centre` (Hz), standard deviation `width` octaves."""
    return np.exp(-0.5 * (np.log2(np.maximum(frequencies, 1.0) / centre) / width) ** 2)


def _spans(
    num_samples: int, sample_rate: int, start: Float[np.ndarray, " events"], length: Float[np.ndarray, " events"]
) -> tuple[Int[np.ndarray, " samples"], Int[np.ndarray, " samples"], Float[np.ndarray, " samples"]]:
    """For each sample inside one of the spans: its index, its span's index, and seconds since that span's start."""
    index = np.ceil(start * sample_rate).astype(np.int64)[:, None] + np.arange(int(length.max() * sample_rate) + 1)
    elapsed = index / sample_rate - start[:, None]
    event, column = np.nonzero((index >= 0) & (index < num_samples) & (elapsed < length[:, None]))
    return index[event, column], event, elapsed[event, column]


def add_transients(
    samples: Float[np.ndarray, " time"],
    sample_rate: int,
    onset: Float[np.ndarray, " events"],
    duration: Float[np.ndarray, " events"],
    frequency: Float[np.ndarray, " events"],
    amplitude: Float[np.ndarray, " events"],
    phase: Float[np.ndarray, " events"],
) -> None:
    """Adds damped chirps to `samples` in place: what a valve, a muscle or the chest does when it is struck.

    Valve components are narrow-band signals with falling frequency (Xu, Durand & Pibarot, IEEE Trans. Biomed. Eng.
    47:1328, 2000): here by a fifth over the event, under a gammatone envelope that peaks after a quarter of it.

    Args:
      samples: at `sample_rate`.
      sample_rate: Hz.
      onset: seconds.
      duration: seconds until it has died away (-28 dB before the last taper).
      frequency: Hz, in the middle of the event.
      amplitude: at the peak of the envelope.
      phase: radians at the onset.
    """
    index, event, elapsed = _spans(samples.size, sample_rate, onset, duration)
    u = elapsed / duration[event]
    envelope = (4 * u) ** 2 * np.exp(2 - 8 * u) * (1 - u**4)
    carrier = np.cos(2 * np.pi * frequency[event] * elapsed * (1.1 - 0.1 * u) + phase[event])
    np.add.at(samples, index, amplitude[event] * envelope * carrier)


def murmur(
    rng: np.random.Generator, subject: Subject, rhythm: Rhythm, num_samples: int, sample_rate: int
) -> Float[np.ndarray, " time"]:
    """The subject's murmur as band noise under an envelope; zeros if there is none."""
    envelope = np.zeros(num_samples)
    if subject.murmur is None:
        return envelope
    # Sounds of the left heart soften while the lungs fill; the rest is chance.
    loudness = (1.0 - 0.15 * breath(rhythm, subject, rhythm.a2)) * np.exp(rng.normal(0.0, 0.12, rhythm.a2.size))
    for start, end, shape in _courses(subject, subject.murmur, rhythm):
        index, beat, elapsed = _spans(num_samples, sample_rate, start, end - start)
        np.add.at(envelope, index, loudness[beat] * shape(elapsed / (end - start)[beat]))
    centre, width = subject.murmur.centre, subject.murmur.width
    noise = coloured(rng, num_samples, sample_rate, lambda f: octave_bell(f, centre, width))
    return 10 ** (subject.murmur.level / 20) * envelope * noise


def _courses(subject: Subject, sound: Murmur, rhythm: Rhythm) -> list[_Course]:
    """Where the murmur of each condition lies and how it swells and fades.

    After Walker, Hall & Hurst, Clinical Methods, 3rd edition (1990), chapters 26 and 27.
    """
    s1, a2, next_s1 = rhythm.s1[:-1], rhythm.a2, rhythm.s1[1:]
    match subject.condition:
        case Condition.AS:  # swells and fades between S1 and S2
            turn = math.log(0.5) / math.log(sound.peak)
            return [(s1 + 0.05, a2 - 0.005, lambda u: np.sin(np.pi * u**turn) ** 1.5)]
        case Condition.MR:  # a plateau from S1 into S2
            return [(s1 + 0.02, a2 + 0.03, lambda u: np.sin(np.pi * u) ** 0.4)]
        case Condition.MVP:  # swells from the click to S2
            return [(_click_times(subject, rhythm), a2 + 0.02, lambda u: u * np.minimum(1.0, (1 - u) / 0.15))]
        case Condition.MS:  # rumbles from the opening snap, fading, and swells with the atrial contraction before S1
            snap = a2 + subject.snap_delay
            atrial = np.maximum(snap, next_s1 - 0.13)
            return [
                (snap, snap + 0.6 * (next_s1 - snap), lambda u: np.minimum(1.0, u / 0.15) * (1 - u)),
                (atrial, next_s1 + 0.01, lambda u: u**1.5 * np.minimum(1.0, (1 - u) / 0.1)),
            ]
        case Condition.N:  # innocent: short and early
            return [(s1 + 0.06, a2 - 0.06, lambda u: np.sin(np.pi * u**0.7) ** 2)]


def _click_times(subject: Subject, rhythm: Rhythm) -> Float[np.ndarray, " beats"]:
    """A smaller ventricle prolapses earlier: breathing moves the click a little."""
    phase = subject.click_phase - 0.04 * breath(rhythm, subject, rhythm.a2)
    return rhythm.s1_end + phase * (rhythm.a2 - rhythm.s1_end)


def heart_sounds(
    rng: np.random.Generator, subject: Subject, rhythm: Rhythm, num_samples: int, sample_rate: int
) -> Float[np.ndarray, " time"]:
    """S1 and S2, and S3, S4, click and opening snap where the subject has them.

    Each sound is a sum of damped chirps: S1 of the ventricular muscle, the mitral and the tricuspid valve, S2 of the
    aortic and the pulmonary valve, each with a short high-frequency edge. From beat to beat their phases, frequencies
    and amplitudes vary, and S2 splits wider in inspiration.
    """
    samples = np.zeros(num_samples)
    beats = rhythm.a2.size
    inspiration = 0.5 + 0.5 * breath(rhythm, subject, rhythm.a2)
    s1, a2, click = rhythm.s1[:-1], rhythm.a2, _click_times(subject, rhythm)
    p2 = a2 + subject.s2_split + 0.03 * inspiration
    tricuspid = s1 + subject.s1_split
    first, second = subject.s1_amplitude, subject.s2_amplitude
    # A snapping valve does not only sound louder, it sounds higher.
    edge = 0.15 * first**2
    components = [
        # onset, end, frequency, amplitude
        (s1, rhythm.s1_end, 0.6 * subject.s1_frequency, 0.4 * first),
        (s1 + 0.008, rhythm.s1_end, subject.s1_frequency, 1.0 * first),
        (tricuspid, rhythm.s1_end, 1.3 * subject.s1_frequency, 0.55 * first),
        (s1 + 0.012, s1 + 0.06, 2.6 * subject.s1_frequency, edge),
        (a2, rhythm.s2_end, subject.s2_frequency, second),
        (p2, np.maximum(rhythm.s2_end, p2 + 0.045), 0.85 * subject.s2_frequency, 0.6 * second),
        (a2 + 0.004, a2 + 0.045, 2.3 * subject.s2_frequency, 0.15 * second),
        (a2 + 0.145, a2 + 0.225, 0.65 * subject.s1_frequency, subject.s3),
        (rhythm.s1[1:] - 0.11, rhythm.s1[1:] - 0.02, 0.55 * subject.s1_frequency, subject.s4),
        (click, click + 0.03, 2.2 * subject.s2_frequency, subject.click),
        (a2 + subject.snap_delay, a2 + subject.snap_delay + 0.035, 2.1 * subject.s2_frequency, subject.opening_snap),
    ]
    for onset, end, frequency, amplitude in components:
        # Drawn for absent sounds too: whether one is present must not reshuffle the others.
        phase = rng.uniform(0.0, 2 * np.pi) + rng.normal(0.0, 0.35, beats)
        pitch = frequency * np.exp(rng.normal(0.0, 0.03, beats))
        strength = amplitude * np.exp(rng.normal(0.0, 0.15, beats)) * (1.0 - 0.1 * inspiration)
        if amplitude > 0.0:
            add_transients(samples, sample_rate, onset, end - onset, pitch, strength, phase)
    return samples
