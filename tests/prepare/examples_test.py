import functools

import numpy as np
import pytest
import soundfile

from hsjax import config, prepare
from hsjax.data import audio, synthetic
from hsjax.types import Dataset, Recording, UserError


def ramp(length: int) -> np.ndarray:
    return np.arange(length, dtype=np.float32) / 1e4


def recording(name: str, length: int, rate: int = 2000, label: str = "normal") -> Recording:
    return Recording(name, label, "", None, None, rate, length, None, functools.partial(ramp, length))


def dataset(*recordings: Recording) -> Dataset:
    return Dataset("made", ("normal", "abnormal"), "abnormal", False, recordings)


def test_windows_keep_their_recording_label_and_start():
    made = dataset(recording("a", 12_000), recording("b", 5_000, label="abnormal"))
    examples = prepare.examples(made, config.base().prepare)
    # 12,000 samples at 2 kHz: 2 windows of 5,000 and a tail of 2,000, less than half a window
    np.testing.assert_array_equal(examples.recording, [0, 0, 1])
    np.testing.assert_array_equal(examples.label, [0, 0, 1])
    np.testing.assert_array_equal(examples.start, [0.0, 2.5, 0.0])
    np.testing.assert_array_equal(examples.samples[1], ramp(12_000)[5_000:10_000])


def test_other_rates_are_resampled_to_the_prepared_one():
    examples = prepare.examples(dataset(recording("a", 40_000, rate=8000)), config.base().prepare)
    assert examples.samples.shape == (2, 5000)
    # A ramp stays one: away from the ends, four times as steep a sample.
    middle = examples.samples[0][1000:4000]
    np.testing.assert_allclose(np.diff(middle), 4e-4, atol=1e-5)


def test_short_recordings_are_padded_not_lost():
    examples = prepare.examples(dataset(recording("a", 1_000)), config.base().prepare)
    np.testing.assert_array_equal(examples.samples[0, :1000], ramp(1_000))
    np.testing.assert_array_equal(examples.samples[0, 1000:], 0)


def test_examples_are_what_predict_cuts_from_the_same_file(tmp_path):
    one = synthetic.dataset(subjects=2, recordings_per_subject=1, seconds=6.0).recordings[0]
    path = tmp_path / "a.wav"
    soundfile.write(path, one.read(), one.sample_rate, subtype="FLOAT")
    samples, rate = audio.decode(path)
    windows, _ = audio.windows(audio.resample(samples, rate, 2000), 5000, 5000)
    cut, _ = prepare.cut(one, sample_rate=2000, window=5000, hop=5000)
    np.testing.assert_array_equal(cut, windows)


def test_nothing_usable_says_where_to_look():
    with pytest.raises(UserError, match=r"hsjax\.data check"):
        prepare.examples(dataset(), config.base().prepare)


def test_progress_counts_recordings():
    told = []
    prepare.examples(dataset(recording("a", 5000), recording("b", 5000)), config.base().prepare, told.append)
    assert told == [1, 1]
