"""Synthetic ECG records: known beats lie where they are said to, and refuse what cannot be."""

import numpy as np
import pytest

from hsjax.data import r_peaks, synthetic_ecg
from hsjax.data.readers.beat_labels import BEAT_SYMBOLS
from hsjax.types import UserError


@pytest.fixture(scope="module")
def records():
    return synthetic_ecg.dataset(people=8, seconds=40, seed=3).recordings


def test_any_record_is_the_same_again_whatever_is_asked_for_beside_it(records):
    again = synthetic_ecg.dataset(people=3, seconds=40, seed=3).recordings
    for one, other in zip(records, again, strict=False):
        np.testing.assert_array_equal(one.read(), other.read())
        np.testing.assert_array_equal(one.beats().index, other.beats().index)
    assert not np.array_equal(synthetic_ecg.dataset(people=1, seconds=40, seed=4).recordings[0].read(), again[0].read())


def test_beats_go_forward_and_have_known_codes(records):
    kinds = set()
    for record in records:
        beats = record.beats()
        assert beats.index[0] >= 0
        assert beats.index[-1] < record.num_samples
        assert (np.diff(beats.index) > 0.25 * record.sample_rate).all()
        assert set(beats.symbol) <= BEAT_SYMBOLS
        kinds |= set(beats.label)
    assert kinds == {"N", "V", "F", "/", "f", "other"}


def test_premature_beats_are_early_and_a_pause_follows(records):
    before, after = [], []
    for record in records:
        beats = record.beats()
        gaps = np.diff(beats.index) / np.median(np.diff(beats.index))
        for place in range(1, len(gaps)):
            if beats.symbol[place] == "V" and set(beats.symbol[place - 1 : place + 2 : 2]) <= {"N", "/"}:
                before.append(gaps[place - 1])
                after.append(gaps[place])
    assert np.mean(before) < 0.75 < 1.2 < np.mean(after)


def test_a_detector_finds_the_beats(records):
    found, missed = 0, 0
    for record in records[:3]:  # without a pacemaker
        peaks = r_peaks.r_peaks(record.read(), record.sample_rate)
        for index in record.beats().index[1:-1]:
            near = np.abs(peaks - index).min() <= 0.15 * record.sample_rate
            found, missed = found + near, missed + (not near)
    assert missed <= 0.02 * found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"people": 0}, "at least one person"),
        ({"seconds": 1}, "lasts at least 10 s"),
        ({"sample_rate": 50}, "at least 100 Hz"),
        ({"noise": -1.0}, "cannot be -1"),
        ({"labels": "mine"}, "no beat labels 'mine'"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        synthetic_ecg.dataset(**({"people": 2, "seconds": 20} | changes))
