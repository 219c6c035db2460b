import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.data.readers import mitdb
from hsjax.dsp.qrs import r_peaks
from hsjax.evaluate import r_peaks as scores

RATE = 250
SECONDS = 20
BEATS = np.cumsum([0.7, 0.8, 0.9, 0.7, 0.8, 0.9, 0.7, 0.8, 0.9, 0.7, 0.9, 0.8, 0.7, 0.9, 0.8, 0.9, 0.8, 0.8, 0.7, 0.9])


def wave(times: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * np.square((times - centre) / width))


def ecg(rate: int = RATE, beats=BEATS, heights=None, t_wave: float = 0.3) -> np.ndarray:
    """R of 1 mV between Q and S, and a T wave 300 ms behind, at known seconds, wandering."""
    times = np.arange(rate * SECONDS) / rate
    samples = 0.2 * np.sin(2 * np.pi * 0.3 * times)
    for beat, height in zip(beats, np.ones(len(beats)) if heights is None else heights, strict=True):
        for delay, width, level in ((0, 0.010, 1), (-0.03, 0.010, -0.15), (0.03, 0.012, -0.2), (0.3, 0.040, t_wave)):
            samples += height * level * wave(times, beat + delay, width)
    return samples


@pytest.fixture(scope="module")
def detector(quick):
    return functools.cache(lambda rate=RATE, **options: quick(functools.partial(r_peaks, sample_rate=rate, **options)))


def found(peaks, row=()) -> np.ndarray:
    index, mask, count = (np.asarray(part[row]) for part in peaks)
    assert (index[~mask] == -1).all()
    assert mask.sum() == count
    assert mask[:count].all()
    return index[:count]


@pytest.mark.parametrize(("rate", "places"), [(100, None), (1000, 6)])
def test_known_beats_at_any_rate(detector, rate, places):
    peaks = detector(rate, max_peaks=places)(jnp.asarray(ecg(rate), jnp.float32))
    assert peaks.index.shape == (places or 5 * SECONDS,)
    assert peaks.count == len(BEATS)  # all that there are, with or without a place
    assert peaks.mask.sum() == min(len(BEATS), places or len(BEATS))
    got = np.asarray(peaks.index)[np.asarray(peaks.mask)]
    np.testing.assert_allclose(got / rate, BEATS[:places], atol=max(0.004, 1 / rate))


def rows() -> dict[str, tuple[np.ndarray, int, np.ndarray]]:
    """By name: samples, length, seconds of the beats that are to be found."""
    plain, time = ecg(), RATE * SECONDS
    tall = ecg(t_wave=1.2)  # higher than R, but slower
    weak = ecg(heights=np.where(np.arange(len(BEATS)) == 9, 0.22, 1))  # below the threshold, above half of it
    gap = plain.copy()
    gap[5 * RATE : 7 * RATE] = np.nan
    gap[[0, 17, -1]] = np.nan, np.inf, -np.inf
    in_gap = (BEATS > 5) & (BEATS < 7)
    artefact = plain.copy()
    artefact[int(6.7 * RATE) : int(6.7 * RATE) + 8] += 30
    late = plain.copy()
    late[: int(10.1 * RATE)] = plain[int(10.1 * RATE)]
    cut = np.where(np.arange(time) < 10 * RATE, plain, 1e6)
    # What the samples are measured in, and about which level, tells nothing.
    return {
        "plain": (plain, time, BEATS),
        "inverted": (-plain, time, BEATS),
        "microvolts on an offset": (1e3 * plain + 2e4, time, BEATS),
        "volts": (1e-3 * plain, time, BEATS),
        "tall T": (tall, time, BEATS),
        "search back": (weak, time, BEATS),
        "gap": (gap, time, BEATS[~in_gap]),
        "artefact": (artefact, time, np.sort(np.r_[BEATS, 6.716])),
        "lead on after 10 s": (late, time, BEATS[BEATS > 10]),
        "shorter": (cut, 10 * RATE, BEATS[BEATS < 10]),
        "one beat": (ecg(beats=BEATS[3:4], t_wave=0.0), time, BEATS[3:4]),
        "less than a second": (plain, RATE - 1, BEATS[:0]),
        "length 0": (plain, 0, BEATS[:0]),
        "flat": (np.full(time, 3.7), time, BEATS[:0]),
        "silent": (np.zeros(time), time, BEATS[:0]),
        "not a number": (np.full(time, np.nan), time, BEATS[:0]),
    }


@pytest.fixture(scope="module")
def detected(detector):
    samples, lengths, _ = zip(*rows().values(), strict=True)
    peaks = detector()(jnp.asarray(np.stack(samples), jnp.float32), lengths=np.array(lengths))
    return {name: found(peaks, row) for row, name in enumerate(rows())}


@pytest.mark.parametrize("name", rows())
def test_a_batch_of_what_may_come(name, detected):
    samples, length, beats = rows()[name]
    tolerance = 0.06 if name == "artefact" else 0.005  # a step is where it is steepest
    assert len(detected[name]) == len(beats)
    np.testing.assert_allclose(detected[name] / RATE, beats, atol=tolerance)
    assert np.isfinite(samples[detected[name]]).all()
    assert (detected[name] < max(length, 1)).all()


def test_alone_and_in_double_precision(detector, detected):
    with jax.enable_x64(True):
        exact = detector()(jnp.asarray(ecg()))
        assert [part.dtype for part in exact] == [jnp.int32, bool, jnp.int32]
        np.testing.assert_array_equal(found(exact), detected["plain"])


@pytest.mark.parametrize("time", [1, 2, 99])
def test_less_than_a_second_has_no_beats(time):
    peaks = r_peaks(jnp.ones((2, time)), 100)
    assert peaks.index.shape == (2, -(-time // 20))
    assert not peaks.mask.any()
    assert peaks.count.tolist() == [0, 0]


def test_what_is_refused():
    with pytest.raises(ValueError, match="100 to 1000 Hz, got 50 Hz"):
        r_peaks(jnp.ones(500), 50)
    with pytest.raises(ValueError, match="at least one sample"):
        r_peaks(jnp.ones((3, 0)), 360)
    with pytest.raises(ValueError, match="max_peaks"):
        r_peaks(jnp.ones(500), 360, max_peaks=0)
    with pytest.raises(TypeError, match="floating point"):
        r_peaks(jnp.ones(500, int), 360)


@pytest.mark.realdata
def test_five_minutes_of_every_record(detector, real_root):
    """Minutes 5 to 10 of MLII; EC57 leaves the first five out. Over whole records it is .998 and .999."""
    begin, end = 300 * mitdb.SAMPLE_RATE, 600 * mitdb.SAMPLE_RATE
    names = mitdb.records(real_root)
    samples = np.stack([mitdb.lead(real_root, name).samples[begin:end] for name in names])
    peaks = detector(mitdb.SAMPLE_RATE)(jnp.asarray(samples, jnp.float32))
    by_record = {}
    for row, name in enumerate(names):
        beats = mitdb.beats(real_root, name)
        inside = (beats.index >= begin) & (beats.index < end)
        by_record[name] = scores.score(
            beats.index[inside] - begin, found(peaks, row), mitdb.SAMPLE_RATE, excluded=beats.flutter - begin
        )
    total = scores.gross(by_record.values())
    assert total.true_positives + total.false_negatives > 14000
    assert total.sensitivity >= 0.995
    assert total.positive_predictivity >= 0.995
    for name, score in by_record.items():
        assert score.sensitivity >= 0.94, name
        assert score.positive_predictivity >= 0.94, name
