import dataclasses
import math

import numpy as np
import pytest
import scipy.signal

from hsjax.data import heart_sounds, physiology
from hsjax.data.physiology import Condition, Murmur

SAMPLE_RATE = 4000
SECONDS = 20


def subject(condition, **changes):
    return dataclasses.replace(physiology.draw_subject(np.random.default_rng(3), condition), **changes)


def render(of):
    """Sounds, murmur and rhythm of a subject."""
    beats = physiology.draw_rhythm(np.random.default_rng(0), of, SECONDS)
    size = (SECONDS * SAMPLE_RATE, SAMPLE_RATE)
    sounds = heart_sounds.heart_sounds(np.random.default_rng(1), of, beats, *size)
    return sounds, heart_sounds.murmur(np.random.default_rng(2), of, beats, *size), beats


def power(samples, start, end):
    """Mean square between times, each `(beats,)`, over all beats within the recording."""
    time = np.arange(samples.size) / SAMPLE_RATE
    inside = np.zeros(samples.size, bool)
    for a, b in zip(start, end, strict=True):
        inside |= (time >= a) & (time < b)
    return np.mean(samples[inside] ** 2)


def test_coloured_noise_has_the_spectrum_asked_for():
    noise = heart_sounds.coloured(
        np.random.default_rng(0), 400_000, SAMPLE_RATE, lambda f: heart_sounds.octave_bell(f, 200.0, 0.5)
    )
    assert np.mean(noise**2) == pytest.approx(1.0)
    frequencies, density = scipy.signal.welch(noise, SAMPLE_RATE, nperseg=2000)
    # By hand: an octave is two standard deviations, so the amplitude is exp(-2) and the power exp(-4) of the peak's.
    peak, up, down = (density[np.abs(frequencies - f) <= 4].mean() for f in (200.0, 400.0, 100.0))
    assert up / peak == pytest.approx(math.exp(-4), rel=0.15)
    assert down / peak == pytest.approx(math.exp(-4), rel=0.15)


def test_transients_equal_their_formula():
    onset, duration, frequency = (
        np.array([-0.01, 0.1003, 0.11]),
        np.array([0.1, 0.05, 0.08]),
        np.array([50.0, 90.0, 70.0]),
    )
    amplitude, phase = np.array([1.0, 0.5, 2.0]), np.array([0.0, 1.0, 2.0])
    samples = np.zeros(700)
    heart_sounds.add_transients(samples, SAMPLE_RATE, onset, duration, frequency, amplitude, phase)
    expected = np.zeros(700)
    for k in range(3):
        for n in range(700):
            t = n / SAMPLE_RATE - onset[k]
            u = t / duration[k]
            if 0 <= u < 1:
                gammatone = 16 * u * u * math.exp(2 - 8 * u) * (1 - u**4)
                # The integral of a frequency that falls linearly from 1.1 to 0.9 of the middle one.
                turns = frequency[k] * (1.1 * t - 0.2 * t * t / (2 * duration[k]))
                expected[n] += amplitude[k] * gammatone * math.cos(2 * math.pi * turns + phase[k])
    np.testing.assert_allclose(samples, expected, atol=1e-12)


def test_sounds_lie_in_their_states():
    plain = subject(Condition.N, s3=0.0, s4=0.0)
    sounds, _, beats = render(plain)
    s1 = power(sounds, beats.s1[:-1], beats.s1_end)
    s2 = power(sounds, beats.a2, beats.s2_end)
    assert power(sounds, beats.s1_end, beats.a2) < 1e-3 * min(s1, s2)
    assert power(sounds, beats.s2_end + 0.03, beats.s1[1:]) < 1e-3 * min(s1, s2)


@pytest.mark.parametrize(
    ("name", "condition", "event"),
    [
        ("s3", Condition.MR, lambda s, b: b.a2 + 0.12),
        ("s4", Condition.AS, lambda s, b: b.s1[1:] - 0.12),
        ("opening_snap", Condition.MS, lambda s, b: b.a2 + s.snap_delay),
        ("click", Condition.MVP, lambda s, b: b.s1_end + 0.3 * (b.a2 - b.s1_end)),
    ],
)
def test_extra_sounds_come_when_they_should(name, condition, event):
    # From the event on for a tenth of a second there is a sound that is not there without it; nothing else changes.
    of = subject(condition, heart_rate=65.0, s2_duration=0.08, click_phase=0.4, **{name: 0.5})
    sounds, _, beats = render(of)
    without, _, _ = render(dataclasses.replace(of, **{name: 0.0}))
    extra = sounds - without
    start = event(of, beats)
    assert power(extra, start, start + 0.11) > 100 * power(extra, start + 0.11, start + 0.4)
    assert power(extra, start, start + 0.11) > 1e-3


def test_inspiration_widens_the_split_of_s2():
    wide = subject(Condition.N, s2_split=0.02, s2_amplitude=1.0, s1_amplitude=0.0, s3=0.0, s4=0.0, respiration=0.1)
    sounds, _, beats = render(wide)
    inspiring = physiology.breath(beats, wide, beats.a2)
    energy = np.cumsum(sounds**2)

    def centre(a2):
        index = int(a2 * SAMPLE_RATE)
        local = energy[index : index + 600] - energy[index]
        return np.searchsorted(local, 0.8 * local[-1]) / SAMPLE_RATE

    heard = (beats.a2 > 0) & (beats.a2 < SECONDS - 0.2)
    late = np.array([centre(a2) for a2 in beats.a2[heard]])
    assert np.corrcoef(late, inspiring[heard])[0, 1] > 0.4


@pytest.mark.parametrize("peak", [0.3, 0.6])
def test_aortic_stenosis_swells_and_fades(peak):
    loud = Murmur(level=-10.0, centre=200.0, width=0.4, peak=peak)
    of = subject(Condition.AS, murmur=loud, heart_rate=60.0)
    _, sound, beats = render(of)
    start, end = beats.s1[:-1] + 0.05, beats.a2 - 0.005
    course = [power(sound, start + k / 10 * (end - start), start + (k + 1) / 10 * (end - start)) for k in range(10)]
    assert np.argmax(course) / 10 == pytest.approx(peak, abs=0.15)
    assert max(course[0], course[-1]) < 0.3 * max(course)
    assert power(sound, end, beats.s1[1:]) == 0.0
    # At the peak of the envelope (mean square 1, loudness varied by breath and chance) the level is the one asked for.
    assert 10 * np.log10(max(course)) == pytest.approx(-10.0, abs=2.0)


def test_mitral_regurgitation_is_a_plateau_into_s2():
    _, sound, beats = render(subject(Condition.MR, heart_rate=60.0))
    start, end = beats.s1[:-1] + 0.05, beats.a2
    course = [power(sound, start + k / 5 * (end - start), start + (k + 1) / 5 * (end - start)) for k in range(5)]
    assert max(course) < 2 * min(course)
    assert power(sound, beats.a2, beats.a2 + 0.02) > 0.2 * max(course)
    assert power(sound, beats.a2 + 0.03, beats.s1[1:]) == 0.0


def test_prolapse_swells_from_click_to_s2():
    of = subject(Condition.MVP, heart_rate=60.0, murmur=Murmur(level=-12.0, centre=200.0, width=0.4, peak=0.5))
    _, sound, beats = render(of)
    click = beats.s1_end + of.click_phase * (beats.a2 - beats.s1_end)
    early = power(sound, beats.s1[:-1], click - 0.02)
    middle = power(sound, click, (click + beats.a2) / 2)
    late = power(sound, (click + beats.a2) / 2, beats.a2)
    assert early == 0.0
    assert late > 3 * middle > 0.0


def test_mitral_stenosis_rumbles_in_diastole_and_swells_before_s1():
    of = subject(Condition.MS, heart_rate=60.0)
    _, sound, beats = render(of)
    snap, next_s1 = beats.a2 + of.snap_delay, beats.s1[1:]
    early = power(sound, snap + 0.03, snap + 0.15)
    faded = power(sound, snap + 0.35, next_s1 - 0.14)
    presystolic = power(sound, next_s1 - 0.04, next_s1)
    assert early > 5 * faded
    assert presystolic > 5 * faded
    assert power(sound, beats.s1[1:-1] + 0.02, beats.a2[1:]) == 0.0


def test_innocent_murmur_ends_before_s2():
    of = subject(Condition.N, heart_rate=60.0, murmur=Murmur(level=-24.0, centre=120.0, width=0.4, peak=0.5))
    _, sound, beats = render(of)
    assert power(sound, beats.s1[:-1] + 0.08, beats.a2 - 0.08) > 0.0
    assert power(sound, beats.a2 - 0.05, beats.s1[1:]) == 0.0


def test_no_murmur_is_silence():
    _, sound, _ = render(subject(Condition.N, murmur=None))
    assert not sound.any()
