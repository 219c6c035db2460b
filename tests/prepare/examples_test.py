import collections
import dataclasses
import functools

import numpy as np
import pytest
import soundfile
import wfdb

from hsjax import config, prepare
from hsjax.data import audio, protocols, synthetic
from hsjax.data.readers import mitdb
from hsjax.types import Beats, Dataset, Recording, UserError


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


def test_only_the_first_window_of_each_recording():
    chosen = config.base().prepare
    chosen.cut, chosen.fit = "first", "both"
    examples = prepare.examples(dataset(recording("a", 12_000), recording("b", 4_000)), chosen)
    np.testing.assert_array_equal(examples.recording, [0, 1])
    np.testing.assert_array_equal(examples.start, [0.0, 0.0])
    np.testing.assert_array_equal(examples.samples[0], ramp(12_000)[:5_000])
    # 1,000 samples are missing: half of them on either side
    np.testing.assert_array_equal(examples.samples[1], [*np.zeros(500), *ramp(4_000), *np.zeros(500)])


def test_the_level_is_that_of_the_whole_recording_before_it_is_cut():
    chosen = config.base().prepare
    chosen.level = "peak"
    examples = prepare.examples(dataset(recording("a", 10_000)), chosen)
    # The largest sample is the last one of the second window, so the first window stays below one half.
    np.testing.assert_allclose(examples.samples.reshape(-1), np.arange(10_000) / 9_999, rtol=1e-6)


def test_examples_are_what_predict_cuts_from_the_same_file(tmp_path):
    one = synthetic.dataset(subjects=2, recordings_per_subject=1, seconds=6.0).recordings[0]
    path = tmp_path / "a.wav"
    soundfile.write(path, one.read(), one.sample_rate, subtype="FLOAT")
    samples, rate = audio.decode(path)
    windows, _ = audio.windows(audio.resample(samples, rate, 2000), 5000, 5000)
    cut = prepare.examples(dataset(dataclasses.replace(one, label="normal")), config.base().prepare)
    np.testing.assert_array_equal(cut.samples, windows)


def test_nothing_usable_says_where_to_look():
    with pytest.raises(UserError, match=r"hsjax\.data check"):
        prepare.examples(dataset(), config.base().prepare)


def test_progress_counts_recordings():
    told = []
    prepare.examples(dataset(recording("a", 5000), recording("b", 5000)), config.base().prepare, told.append)
    assert told == [1, 1]


def three_beats() -> Beats:
    """At 100 Hz; the last one has no class."""
    return Beats(np.array([100, 180, 300]), np.array(["N", "V", "/"]), np.array(["normal", "abnormal", ""]))


def ecg() -> Dataset:
    one = dataclasses.replace(recording("a", 400, 100, label=""), beats=three_beats)
    return dataset(one)


def beat_settings(sample_rate: int):
    settings = config.base().prepare
    settings.update({"cut": "beats", "sample_rate": sample_rate, "window_seconds": 1.0, "hop_seconds": 1.0})
    return settings


def test_beats_are_examples_with_labels_of_their_own():
    examples = prepare.examples(ecg(), beat_settings(100))
    assert examples.samples.shape == (2, 100)
    assert examples.label.tolist() == [0, 1]
    np.testing.assert_allclose(examples.start, [0.5, 1.3])
    z = (np.arange(400) - 199.5) / np.std(np.arange(400))
    # The first beat's neighbour is 80 samples behind: 40 samples are its own, the next 9 are not.
    np.testing.assert_allclose(examples.samples[0, :91], z[50:141], atol=1e-5)
    assert not examples.samples[0, 91:].any()
    # The second one's are 80 before and 120 behind, more than half a window.
    np.testing.assert_allclose(examples.samples[1, 10:], z[140:230], atol=1e-5)
    assert not examples.samples[1, :10].any()


def test_beats_follow_the_sample_rate():
    examples = prepare.examples(ecg(), beat_settings(200))
    assert examples.samples.shape == (2, 200)
    np.testing.assert_allclose(examples.start, [0.5, 1.3])


def test_what_has_no_label_is_not_cut():
    with pytest.raises(UserError, match=r"recordings have none: set config\.prepare\.cut to beats"):
        prepare.examples(ecg(), config.base().prepare)
    with pytest.raises(UserError, match=r"has no annotated beats: set config\.prepare\.cut"):
        prepare.examples(dataset(recording("a", 400, 100)), beat_settings(100))


@pytest.mark.realdata
def test_inter_patient_beats_of_mit_bih(real_root):
    """Counts of the annotation files as wfdb reads them, by the classes that de Chazal et al. (2004) list."""
    some = ("100", "106", "200", "201", "202", "209", "223")
    whole = mitdb.dataset(real_root)
    chosen = dataclasses.replace(whole, recordings=tuple(one for one in whole.recordings if one.id in some))
    settings = beat_settings(360)
    settings.update({"window_seconds": 3.6, "hop_seconds": 3.6})
    examples = prepare.examples(chosen, settings)
    assert examples.samples.shape[1] == 36 * 36
    classes = {**dict.fromkeys("NLRej", "N"), **dict.fromkeys("AaJS", "S"), **dict.fromkeys("VE", "V")}
    for index, one in enumerate(chosen.recordings):
        symbols = wfdb.rdann(str(real_root / mitdb.FOLDER / one.id), "atr").symbol
        expected = collections.Counter(classes[symbol] for symbol in symbols if symbol in classes)
        found = collections.Counter(chosen.classes[label] for label in examples.label[examples.recording == index])
        assert found == expected, one.id
    (split,) = protocols.splits("inter-patient", examples, chosen, config.base().split, seed=0)
    parts = {
        name: {chosen.recordings[i].id for i in examples.recording[getattr(split, name)]}
        for name in ("train", "validation", "test")
    }
    assert parts["test"] == {"100", "200", "202"}
    assert parts["train"] | parts["validation"] == {"106", "209", "223"}
