import dataclasses

import numpy as np
import pytest
import scipy.signal

from hsjax.data import physiology
from hsjax.data.physiology import Condition


def subject(condition=Condition.N, seed=0, **changes):
    return dataclasses.replace(physiology.draw_subject(np.random.default_rng(seed), condition), **changes)


def rhythm(of, seconds=300.0, seed=0):
    return physiology.draw_rhythm(np.random.default_rng(seed), of, seconds)


STEADY = {"sinus_arrhythmia": 0.0, "slow_variability": 0.0, "beat_variability": 0.0}


@pytest.mark.parametrize(("female", "rate", "qs2"), [(False, 60.0, 0.420), (False, 90.0, 0.357), (True, 75.0, 0.399)])
def test_systole_follows_weissler(female, rate, qs2):
    # By hand from the regressions for men, 546 - 2.1 rate, and women, 549 - 2.0 rate, in ms.
    steady = subject(female=female, heart_rate=rate, q_to_s1=0.07, **STEADY)
    beats = rhythm(steady)
    np.testing.assert_allclose(np.diff(beats.s1), 60.0 / rate)
    np.testing.assert_allclose(beats.a2 - beats.s1[:-1], qs2 - 0.07)


def test_a_slower_beat_is_followed_by_a_longer_systole():
    varied = subject(heart_rate=70.0, beat_variability=0.05)
    beats = rhythm(varied)
    preceding, systole = np.diff(beats.s1)[:-1], (beats.a2 - beats.s1[:-1])[1:]
    assert np.corrcoef(preceding, systole)[0, 1] > 0.99


@pytest.mark.parametrize(
    ("changes", "frequency"), [({"sinus_arrhythmia": 0.05}, 0.25), ({"slow_variability": 0.05}, 0.1)]
)
def test_heart_rate_varies_with_breathing_and_the_slow_wave(changes, frequency):
    swinging = subject(respiration=0.25, heart_rate=75.0, **STEADY | changes)
    beats = rhythm(swinging)
    intervals = np.diff(beats.s1)
    # The spectrum of a swing sampled at the beats, as heart-rate variability is measured.
    frequencies = np.linspace(0.03, 0.5, 400)
    power = scipy.signal.lombscargle(beats.s1[:-1], intervals - intervals.mean(), 2 * np.pi * frequencies)
    assert frequencies[power.argmax()] == pytest.approx(frequency, abs=0.01)
    assert intervals.std() / intervals.mean() == pytest.approx(0.05 / np.sqrt(2), rel=0.1)


def test_heart_rate_varies_from_beat_to_beat():
    intervals = np.diff(rhythm(subject(**STEADY | {"beat_variability": 0.02})).s1)
    assert intervals.std() / intervals.mean() == pytest.approx(0.02, rel=0.15)
    assert abs(np.corrcoef(intervals[1:], intervals[:-1])[0, 1]) < 0.15


def test_inspiration_quickens_the_heart():
    swinging = subject(**STEADY | {"sinus_arrhythmia": 0.05})
    beats = rhythm(swinging)
    inspiring = physiology.breath(beats, swinging, beats.s1[:-1])
    assert np.corrcoef(inspiring, np.diff(beats.s1))[0, 1] < -0.99


@pytest.mark.parametrize("condition", Condition)
def test_states_follow_each_other_and_cover_the_recording(condition):
    for seed in range(60):
        anyone = subject(condition, seed)
        beats = rhythm(anyone, 5.0, seed)
        onsets = np.stack([beats.s1[:-1], beats.s1_end, beats.a2, beats.s2_end, beats.s1[1:]])
        assert (np.diff(onsets, axis=0) > 0.004).all()
        assert onsets[0, 0] < 0
        assert onsets[-1, -1] > 5.0


def population(condition):
    return [subject(condition, seed) for seed in range(300)]


def test_conditions_present_as_the_textbook_says():
    people = {condition: population(condition) for condition in Condition}

    def mean(condition, feature):
        return np.mean([feature(someone) for someone in people[condition]])

    assert mean(Condition.MS, lambda s: s.s1_amplitude) > 1.3 * mean(Condition.N, lambda s: s.s1_amplitude)
    assert mean(Condition.MR, lambda s: s.s1_amplitude) < 0.9 * mean(Condition.N, lambda s: s.s1_amplitude)
    assert mean(Condition.MR, lambda s: s.s3 > 0) > 2 * mean(Condition.N, lambda s: s.s3 > 0)
    assert mean(Condition.AS, lambda s: s.s4 > 0) > 2 * mean(Condition.N, lambda s: s.s4 > 0)
    assert mean(Condition.MS, lambda s: s.murmur.centre) < 0.5 * mean(Condition.AS, lambda s: s.murmur.centre)
    for condition in Condition:
        assert all((s.click > 0) == (condition is Condition.MVP) for s in people[condition])
        assert any(s.opening_snap > 0 for s in people[condition]) == (condition is Condition.MS)
    assert 0.1 < mean(Condition.N, lambda s: s.murmur is not None) < 0.4


def test_what_a_condition_does_not_touch_is_alike():
    # Means over 300 subjects; twice the standard error of a difference is 1.8 /min and 1.2 Hz.
    for feature, tolerance in (("heart_rate", 3.0), ("s1_frequency", 2.0), ("chest_cutoff", 13.0)):
        means = [np.mean([getattr(s, feature) for s in population(condition)]) for condition in Condition]
        assert np.ptp(means) < tolerance
