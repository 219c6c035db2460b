import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from hsjax.dsp.spikes import remove_spikes


def by_the_book(samples, sample_rate, replacement=1e-4):
    """One recording after the description of Schmidt et al. and Springer's choices; (samples, spikes)."""
    samples = samples.copy()
    size = round(sample_rate / 2)
    windows = [samples[k * size : (k + 1) * size] for k in range(len(samples) // size)]
    spikes = 0
    while True:
        maxima = [np.max(np.abs(window)) for window in windows]
        if not max(maxima, default=0) > 3 * np.median(maxima or [0]):
            return samples, spikes
        window = windows[int(np.argmax(maxima))]
        start = end = peak = int(np.argmax(abs(window)))
        while start > 0 and not window[start] * window[start + 1 if start + 1 < size else start] < 0:
            start -= 1
        end = peak + 1
        while end < size - 1 and not window[end] * window[end + 1] < 0:
            end += 1
        window[start : end + 1] = replacement
        spikes += 1


def noisy(rng, seconds, sample_rate, clicks):
    samples = 0.05 * rng.standard_normal(int(seconds * sample_rate))
    for place in rng.integers(0, len(samples), clicks):
        samples[place : place + 5] += rng.choice([-1, 1]) * rng.uniform(0.5, 2)
    return samples


@pytest.fixture(scope="module")
def despike(quick):
    """Of (4, 400) samples at 100 Hz."""
    return quick(lambda x: remove_spikes(x, 100))


def test_equals_the_description_on_a_batch_of_different_lengths(quick, rng):
    recordings = [noisy(rng, seconds, 500, clicks) for seconds, clicks in [(12, 7), (9.7, 4), (5.2, 0), (0.4, 1)]]
    lengths = np.array([len(samples) for samples in recordings], np.int32)
    batch = np.full((4, 6100), 9.0)  # what lies behind the end looks like one long spike
    for row, samples in zip(batch, recordings, strict=True):
        row[: len(samples)] = samples
    with jax.enable_x64(True):
        folded = quick(lambda x, n: remove_spikes(x, 500, n))(batch.reshape(2, 2, -1), lengths.reshape(2, 2))
        got = np.asarray(folded).reshape(4, -1)
    found = 0
    for row, before, samples in zip(got, batch, recordings, strict=True):
        want, spikes = by_the_book(samples, 500)
        found += spikes
        np.testing.assert_array_equal(row[: len(samples)], want)
        np.testing.assert_array_equal(row[len(samples) :], before[len(samples) :])
    assert found > 5


def test_by_hand(quick):
    despike = quick(lambda x: remove_spikes(x, 8, replacement=0.5))
    quiet = np.tile([1.0, 2.0, -1.0, -2.0], 4)
    spike = quiet.copy()
    spike[4:8] = [1, -8, -7, 3]  # crossings behind 4 and 6: the sample before the crossing counts as it
    want = quiet.copy()
    want[4:8] = [0.5, 0.5, 0.5, 3]
    np.testing.assert_array_equal(despike(spike), want)
    spike[5] = -6.01
    spike[6] = -5
    np.testing.assert_array_equal(despike(spike), want)
    spike[5] = -6  # three times the median is not more than three times the median
    np.testing.assert_array_equal(despike(spike), spike.astype(np.float32))


def test_samples_behind_the_last_whole_window_are_left_alone(quick):
    samples = np.tile([1.0, 2.0, -1.0, -2.0], 4)
    samples = np.append(samples, [90.0, -90.0])
    np.testing.assert_array_equal(quick(lambda x: remove_spikes(x, 8))(samples), samples)


def test_degenerate_recordings_come_back_as_they_are(despike, rng):
    nan = noisy(rng, 4, 100, 5)
    nan[170] = np.nan
    half_silent = np.zeros(400)
    half_silent[:4] = 5e-5, -5e-5, 1e-4, -1e-4  # a median of 0, and nothing above the replacement
    batch = np.stack([np.zeros(400), np.full(400, 0.3), nan, half_silent]).astype(np.float32)
    np.testing.assert_array_equal(despike(batch), batch)
    short = np.array([0.0, 9.0, -9.0], np.float32)
    np.testing.assert_array_equal(remove_spikes(jnp.asarray(short), 100), short)
    assert remove_spikes(jnp.zeros((2, 0)), 100).shape == (2, 0)


def test_a_median_of_zero_ends_with_nothing_above_the_replacement(despike):
    samples = np.zeros((4, 400), np.float32)
    samples[:, 60:64] = 0.5, -0.7, 0.2, -0.1
    assert (np.abs(despike(samples)).max(axis=-1) == np.float32(1e-4)).all()


def test_the_gradient_is_that_of_what_stays(quick):
    samples = np.tile(np.array([1.0, 2.0, -1.0, -2.0], np.float32), 4)
    samples[5] = -9.0
    gradient = quick(jax.grad(lambda x: jnp.sum(3 * remove_spikes(x, 8))))(samples)
    want = np.full(16, 3.0)
    want[4:8] = 0
    np.testing.assert_array_equal(gradient, want)


@pytest.mark.parametrize(("rate", "replacement", "match"), [(2, 1e-4, "at least 4 Hz"), (2000, -1.0, "0 or more")])
def test_impossible_arguments_are_refused(rate, replacement, match):
    with pytest.raises(ValueError, match=match):
        remove_spikes(jnp.zeros(4000), rate, replacement=replacement)


@pytest.mark.realdata
def test_equals_the_description_on_real_recordings(quick, real_root):
    # The spikiest of training-a and -b, and some others.
    names = ["a0305", "a0361", "a0045", "a0033", "a0303", "a0404", "b0405", "b0371", "b0001", "a0001", "a0002", "b0141"]
    paths = [real_root / "physionet2016" / f"training-{name[0]}" / f"{name}.wav" for name in names]
    recordings = [soundfile.read(path, dtype="float64")[0] for path in paths if path.exists()]
    lengths = np.array([len(samples) for samples in recordings], np.int32)
    batch = np.zeros((len(recordings), lengths.max()))
    for row, samples in zip(batch, recordings, strict=True):
        row[: len(samples)] = samples
    with jax.enable_x64(True):
        got = np.asarray(quick(lambda x, n: remove_spikes(x, 2000, n))(batch, lengths))
    found = []
    for row, samples in zip(got, recordings, strict=True):
        want, spikes = by_the_book(samples, 2000)
        found.append(spikes)
        np.testing.assert_array_equal(row[: len(samples)], want)
    assert len(recordings) >= 8
    assert sum(found) > 50
