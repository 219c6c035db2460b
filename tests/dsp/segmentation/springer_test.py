import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.data import audio, synthetic
from hsjax.data.readers import state_annotations
from hsjax.dsp.segmentation import springer
from hsjax.dsp.segmentation.durations import DurationModel
from hsjax.dsp.segmentation.rhythm import Rhythm
from hsjax.evaluate import segmentation as scoring
from hsjax.types import HeartState

SOUNDS = (HeartState.S1, HeartState.S2)


def f1(truths, found) -> float:
    """Of both sounds' onsets within 100 ms, all recordings together; truths are states and their rate."""
    total = scoring.Matches()
    for (truth, rate), one in zip(truths, found, strict=True):
        for sound in SOUNDS:
            onsets = scoring.onsets(one.states, sound) / 50
            told = scoring.told(onsets, truth, rate, 0.1)
            total += scoring.score(onsets, scoring.onsets(truth, sound) / rate, 0.1, told)
    return total.f1


SILENCE = np.zeros(12_000, np.float32)
SPOILT = np.random.default_rng(0).normal(0, 0.1, 12_000).astype(np.float32)
SPOILT[6000] = np.nan
SHORT = np.random.default_rng(1).normal(0, 0.1, 400).astype(np.float32)
DEGENERATE = (SILENCE, SPOILT, SHORT)


@pytest.fixture(scope="module")
def found_in_all():
    """Synthetic recordings, and what was found in them and in the degenerate ones: one compilation for all tests."""
    recordings = synthetic.dataset(subjects=9, recordings_per_subject=1, seconds=6.3, sample_rate=2000).recordings
    return recordings, springer.segment_all([*DEGENERATE, *(recording.read() for recording in recordings)], 2000)


@pytest.fixture(scope="module")
def heard(found_in_all):
    recordings, found = found_in_all
    return recordings, found[len(DEGENERATE) :]


def test_finds_the_sounds_of_synthetic_hearts(heard):
    recordings, found = heard
    assert f1([(recording.annotation(), recording.sample_rate) for recording in recordings], found) > 0.9


def test_shapes_and_order(heard):
    recordings, found = heard
    for recording, one in zip(recordings, found, strict=True):
        assert one.states.shape == (-(-recording.num_samples // 40),)
        assert one.states.dtype == np.int8
        order = [int(state) for state, _ in itertools.groupby(one.states)]
        assert set(np.diff(order) % 4) == {1}  # in a circle, none left out
        assert 30 < one.rhythm.heart_rate < 180
        assert np.isfinite(one.log_probability)


def test_what_tells_nothing_gives_states_all_the_same(found_in_all):
    for samples, one in zip(DEGENERATE, found_in_all[1], strict=False):
        assert one.states.shape == (len(samples) // 40,)
        assert ((one.states >= 1) & (one.states <= 4)).all()
        assert np.isfinite(one.log_probability)
    for one in found_in_all[1][:2]:
        assert one.rhythm.confidence == 0


def test_a_recording_without_samples_is_refused():
    with pytest.raises(ValueError, match="without samples"):
        springer.segment_all([SILENCE, SILENCE[:0]], 2000)


def test_decode_takes_log_probabilities_of_any_origin():
    """A perfect emission, of a rate and a systole that are among those tried, gives its own states back."""
    lengths = {HeartState.S1: 6, HeartState.SYSTOLE: 9, HeartState.S2: 5, HeartState.DIASTOLE: 19}  # frames: 77 per min
    truth = np.concatenate([np.full(n, state, np.int8) for state, n in lengths.items()] * 6)
    emission = jnp.where(jnp.arange(1, 5) == truth[:, None], 0.0, -20.0)
    parameters = springer.load_parameters()
    wrong = Rhythm(jnp.array(45.0), jnp.array(0.45), jnp.array(0.0))
    found = jax.jit(springer.decode, static_argnums=2)(emission, wrong, parameters)
    np.testing.assert_array_equal(found.states, truth)
    assert found.rhythm.heart_rate == 76


def test_states_at():
    states = jnp.array([1, 2, 3], jnp.int8)
    np.testing.assert_array_equal(springer.states_at(states, 100, 8), [1, 1, 2, 2, 3, 3, 3, 3])
    at_2000 = springer.states_at(states, 2000, 121)
    np.testing.assert_array_equal(np.flatnonzero(np.diff(at_2000)), [39, 79])
    # 882 samples are 20 ms at 44.1 kHz, exactly: no rounding moves a border.
    np.testing.assert_array_equal(np.flatnonzero(np.diff(springer.states_at(states, 44_100, 2646))), [881, 1763])


def test_parameters_survive_writing(tmp_path):
    parameters = springer.Parameters(
        weights=tuple((0.5 * k, 1.25, -2.0, 3.0) for k in range(4)),
        bias=(0.0, 1.0, 2.0, -3.5),
        exponent=0.7,
        durations=DurationModel(s1_mean=0.13),
        systole=(0.1, 0.2),
        rates=(60.0, 90.0),
        origin=(("command", "x"), ("recordings", 3)),
    )
    springer.save_parameters(parameters, tmp_path / "p.json")
    assert springer.load_parameters(tmp_path / "p.json") == parameters
    content = json.loads((tmp_path / "p.json").read_text())
    del content["bias"]
    (tmp_path / "q.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"q.json holds no parameters.*bias"):
        springer.load_parameters(tmp_path / "q.json")


def test_the_shipped_ones_say_where_they_come_from():
    origin = dict(springer.load_parameters().origin)
    assert origin["command"].startswith("python -m hsjax.segment train")
    assert "grouped" in origin["protocol"]


# Of the test part (grouped protocol, split seed 0; tests/segment/parts_test.py checks it), the first two recordings of
# each sub-dataset with states marked in most of their first 20 s (of which the first 8 are heard).
HELD_OUT = ("a0005", "a0009", "b0009", "b0016", "c0009", "c0011")
HELD_OUT += ("d0001", "d0002", "e00003", "e00009", "f0003", "f0026")
SECONDS = 8  # as many recordings of as many seconds as the synthetic ones: they share the compilation


@pytest.mark.realdata
def test_finds_the_sounds_of_recordings_it_was_not_fitted_to(real_root):
    folder = real_root / "physionet2016"
    sounds, truths = [], []
    for record in HELD_OUT:
        subset = f"training-{record[0]}"
        samples, rate = audio.decode(folder / subset / f"{record}.wav")
        sounds.append(samples[: SECONDS * rate])
        states = state_annotations.read(state_annotations.path(folder, subset, record), len(samples))
        truths.append((states[: SECONDS * rate], rate))
    found = springer.segment_all(sounds, 2000)
    quality = [f1([truth], [one]) for truth, one in zip(truths, found, strict=True)]
    assert min(quality) > 0.9, dict(zip(HELD_OUT, quality, strict=True))
    assert f1(truths, found) > 0.97
