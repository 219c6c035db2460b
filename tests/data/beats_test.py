import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.data import beats as host
from hsjax.data.readers import mitdb
from hsjax.dsp import beats as device
from hsjax.types import Beats


def make(index, labels=None) -> Beats:
    labels = ["N"] * len(index) if labels is None else labels
    return Beats(np.array(index, np.int64), np.array(labels, "<U1"), np.array(labels, str))


def test_by_hand():
    # Mean 0, deviation 1: the z-score leaves it as it is.
    samples = np.tile([1.0, -1.0], 10)
    windows, labels, starts = host.cut_beats(samples, make([2, 9, 12], ["N", "", "V"]), 4, 1.25)
    assert labels.tolist() == ["N", "V"]
    assert starts.tolist() == [-3, 7]
    assert windows.dtype == np.float32
    # The peak is element 5. Of beat 2, three samples lie before the record and those from 6 on are nearer to 9; 12 has
    # a neighbour at 9 without a label: 10 is nearer to that, 11 to it. Nothing follows.
    assert windows.tolist() == [[0, 0, 0, 1, -1, 1, -1, 1, -1, 0], [0, 0, 0, 0, -1, 1, -1, 1, -1, 1]]


def test_the_middle_belongs_to_both():
    windows, _, _ = host.cut_beats(np.tile([1.0, -1.0], 4), make([1, 5]), 1, 4)
    assert windows[0].tolist() == [0, 0, 0, 1, -1, 1, -1, 0]  # sample 3 is 2 from either
    assert windows[1].tolist() == [0, 0, -1, 1, -1, 1, -1, 0]


def test_each_record_has_mean_0_and_deviation_1(rng):
    samples = (7 + 3 * rng.standard_normal(1000)).astype(np.float32)
    windows, _, _ = host.cut_beats(samples, make([500]), 250, 2)
    want = (samples.astype(np.float64) - samples.mean(dtype=np.float64)) / samples.std(dtype=np.float64)
    np.testing.assert_allclose(windows[0], want, atol=1e-6)
    assert host.cut_beats(np.full(9, 3.0), make([4]), 1, 2)[0].tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("rate", [100, 128, 360, 1000])
def test_as_the_device_cuts_them(rng, rate):
    samples = rng.standard_normal(20 * rate)
    samples = (samples - samples.mean()) / samples.std()
    index = np.cumsum(rng.integers(rate // 5, 2 * rate, 12))
    windows, _, starts = host.cut_beats(samples, make(index), rate, device.HALF_WINDOW)
    want = device.beat_windows(jnp.asarray(samples, jnp.float32), index, rate)
    assert windows.shape == (12, 2 * round(1.8 * rate))
    np.testing.assert_array_equal(starts + round(1.8 * rate), index)
    np.testing.assert_allclose(windows, want, atol=1e-5)


def test_nothing_to_cut():
    windows, labels, starts = host.cut_beats(np.arange(5.0), make([1, 3], ["", ""]), 1, 2)
    assert (windows.shape, labels.shape, starts.shape) == ((0, 4), (0,), (0,))
    assert host.cut_beats(np.arange(5.0), make([]), 1, 2)[0].shape == (0, 4)


@pytest.mark.parametrize("index", [[5], [-1], [3, 3], [3, 2]])
def test_beats_that_cannot_be(index):
    with pytest.raises(ValueError, match="not in ascending order within 5 samples"):
        host.cut_beats(np.arange(5.0), make(index), 1, 2)


def test_a_window_holds_something():
    with pytest.raises(ValueError, match="holds no sample"):
        host.cut_beats(np.arange(5.0), make([1]), 1, 0.4)


def test_at_another_rate():
    moved = host.at_rate(make([0, 359, 720], ["N", "", "V"]), 360, 250)
    assert moved.index.tolist() == [0, 249, 500]
    assert moved.label.tolist() == ["N", "", "V"]
    with pytest.raises(ValueError, match="two beats fall on one sample"):
        host.at_rate(make([0, 10]), 360, 10)


@pytest.mark.realdata
def test_real_beats(real_root):
    (record,) = [r for r in mitdb.dataset(real_root, labels="birton").recordings if r.id == "100"]
    beats = record.beats()
    windows, labels, _ = host.cut_beats(record.read(), beats, record.sample_rate, 1.8)
    assert windows.shape == (len(beats.index), 1296) == (2273, 1296)
    assert set(labels.tolist()) == {"N", "V", "other"}
    # The R peak is the highest point of a normal beat, give or take a few samples.
    peaks = np.abs(windows[labels == "N"]).argmax(axis=1)
    assert np.mean(np.abs(peaks - 648) <= 5) > 0.95
