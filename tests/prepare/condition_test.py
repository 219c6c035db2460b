import dataclasses
import functools

import numpy as np
import pytest
import scipy.signal

from hsjax import config, prepare
from hsjax.data import synthetic
from hsjax.prepare.condition import Conditioned
from hsjax.prepare.examples import cut_cycles, load
from hsjax.types import Dataset, HeartState, Recording, UserError

RATE = 2000
SECTIONS = scipy.signal.butter(3, [20, 400], "bandpass", fs=RATE, output="sos")


def noise(seed: int, length: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(length).astype(np.float32)


def recording(seed: int, length: int, rate: int = RATE) -> Recording:
    return Recording(f"r{seed}", "normal", "", None, None, rate, length, None, functools.partial(noise, seed, length))


def settings(**changes) -> config.ConfigDict:
    chosen = config.base().prepare
    chosen.update(changes)
    return chosen


def dataset(*recordings: Recording) -> Dataset:
    return Dataset("made", ("normal", "abnormal"), "abnormal", False, recordings)


def test_recordings_of_any_length_are_filtered_as_if_alone():
    recordings = [recording(seed, length) for seed, length in enumerate([9_001, 4_000, 30_123, 4_001, 12_345])]
    done, told = [], []
    done = prepare.condition(
        recordings, functools.partial(load, sample_rate=RATE), RATE, prepare.Steps(band=(3, 20.0, 400.0)), told.append
    )
    assert sum(told) == 5
    for one, result in zip(recordings, done, strict=True):
        want = scipy.signal.sosfiltfilt(SECTIONS, one.read().astype(np.float64))
        assert result.samples.dtype == np.float32
        np.testing.assert_allclose(result.samples, want, atol=1e-4)
        assert result.states is None


def test_other_rates_are_resampled_first():
    steps = prepare.Steps(band=(3, 20.0, 400.0))
    (done,) = prepare.condition(
        [recording(0, 44_100, rate=44_100)], functools.partial(load, sample_rate=RATE), RATE, steps
    )
    assert done.samples.shape == (2_000,)


def test_spikes_are_removed_after_the_filter():
    def spiky() -> np.ndarray:
        samples = 0.02 * noise(1, 20_000)
        samples[7_000] = 0.9
        return samples

    one = dataclasses.replace(recording(1, 20_000), read=spiky)
    kept, flat = (
        prepare.examples(dataset(one), settings(filter="zero-phase", remove_spikes=remove)).samples
        for remove in (False, True)
    )
    assert abs(kept).max() > 2 * abs(flat).max()
    changed = np.flatnonzero((kept != flat).ravel())
    assert abs(changed - 7_000).max() < 100


def test_too_short_for_the_filter_is_named():
    with pytest.raises(UserError, match="r3: 21 samples or fewer at 2000 Hz"):
        prepare.examples(dataset(recording(3, 15), recording(4, 9_000)), settings(filter="zero-phase"))


def test_too_short_for_the_segmentation_is_named_before_any_work():
    with pytest.raises(UserError, match="r3, r5: 100 samples or fewer"):
        prepare.examples(dataset(recording(3, 15), recording(4, 9_000), recording(5, 100)), settings(cut="cycles"))


def test_cycles_begin_at_first_heart_sounds_and_are_padded():
    made = synthetic.dataset(subjects=4, recordings_per_subject=1, seconds=10.0)
    examples = prepare.examples(made, settings(cut="cycles"))
    assert examples.samples.shape[1] == 5_000
    near = []
    for index, one in enumerate(made.recordings):
        states = one.annotation()
        marked = np.flatnonzero((states[1:] == HeartState.S1) & (states[:-1] != HeartState.S1)) / one.sample_rate
        starts = examples.start[examples.recording == index]
        assert len(starts) > 3
        near += [abs(marked - start).min() < 0.1 for start in starts]
        own = examples.samples[examples.recording == index]
        sound = load(one, RATE)
        for start, piece, following in zip(starts[:-1], own[:-1], starts[1:], strict=True):
            first, length = round(start * RATE), min(round((following - start) * RATE), 5_000)
            np.testing.assert_array_equal(piece[:length], sound[first : first + length])
            if round((following - start) * RATE) == length:
                assert not piece[length:].any()
    assert np.mean(near) > 0.8


def test_a_recording_without_a_whole_cycle_gives_its_first_window():
    unknown = Conditioned(noise(0, 3_000), np.full(3_000, HeartState.UNKNOWN, np.int8))
    pieces, starts = cut_cycles(unknown, 5_000)
    np.testing.assert_array_equal(starts, [0])
    np.testing.assert_array_equal(pieces[0, :3_000], unknown.samples)
    assert not pieces[0, 3_000:].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filter": "causal"}, "prepare.filter"),
        ({"cut": "breaths"}, "prepare.cut"),
        ({"filter": "zero-phase", "band": {"order": 3, "low": 20.0, "high": 1_000.0}}, "0 < low < high < 1000"),
        ({"cut": "cycles"}, "no device does"),
    ],
)
def test_contradictions_are_refused_before_any_work(changes, message):
    chosen = config.base()
    chosen.pipeline = ("student", "export")
    chosen.stages.student = config.train_stage("song-student")
    chosen.stages.export = config.export_stage(models=("student",))
    chosen.prepare.update(changes)
    with pytest.raises(UserError, match=message):
        config.validate(chosen)
