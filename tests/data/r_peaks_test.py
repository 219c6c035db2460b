import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from hsjax.data import r_peaks
from hsjax.data.readers import mitdb
from hsjax.dsp import qrs
from hsjax.evaluate import r_peaks as scores

BEATS = np.cumsum([0.7, 0.8, 0.9, 0.7, 0.8, 0.9, 0.7, 0.8, 0.9, 0.7, 0.9, 0.8, 0.7, 0.9, 0.8, 0.9, 0.8, 0.8, 0.7, 0.9])


def ecg(rate: int, heights=1.0) -> np.ndarray:
    """R of 1 mV between Q and S, and a T wave 300 ms behind, at known seconds, wandering."""
    times = np.arange(20 * rate)[:, None] / rate
    samples = 0.2 * np.sin(2 * np.pi * 0.3 * times[:, 0])
    for delay, width, level in ((0, 0.010, 1), (-0.03, 0.010, -0.15), (0.03, 0.012, -0.2), (0.3, 0.040, 0.3)):
        samples += (heights * level * np.exp(-0.5 * np.square((times - BEATS - delay) / width))).sum(axis=1)
    return samples


@pytest.mark.parametrize("rate", [100, 250, 360, 500, 1000])
def test_known_beats_of_either_sign_in_any_unit(rate):
    for samples in (ecg(rate), -ecg(rate), 1e3 * ecg(rate) + 2e4, ecg(rate).astype(np.float32)):
        np.testing.assert_allclose(r_peaks.r_peaks(samples, rate) / rate, BEATS, atol=max(0.004, 1 / rate))


def test_a_weak_beat_is_found_once_the_next_is_late():
    weak = np.where(np.arange(len(BEATS)) == 9, 0.22, 1)  # below the threshold, above half of it
    np.testing.assert_allclose(r_peaks.r_peaks(ecg(250, weak), 250) / 250, BEATS, atol=0.004)


@pytest.mark.parametrize("samples", [np.full(5000, 3.7), np.zeros(5000), ecg(250)[:249], np.zeros(0)])
def test_flat_or_shorter_than_a_second(samples):
    assert r_peaks.r_peaks(samples, 250).tolist() == []


@pytest.mark.parametrize("rate", [100, 360, 1000])
@pytest.mark.parametrize("time", [100, 70_000])
def test_the_filter_is_scipys(rng, rate, time):
    samples = 5 + np.cumsum(rng.standard_normal(time))
    sections = scipy.signal.butter(1, (5, 15), "bandpass", fs=rate, output="sos")
    want = scipy.signal.sosfiltfilt(sections, samples)
    np.testing.assert_allclose(r_peaks.band_pass(samples, rate), want, atol=1e-11 * np.abs(samples).max())


def test_what_is_refused():
    with pytest.raises(ValueError, match="100 to 1000 Hz, got 50 Hz"):
        r_peaks.r_peaks(np.ones(500), 50)
    with pytest.raises(ValueError, match="finite"):
        r_peaks.r_peaks(np.array([0.0, np.nan]), 360)


@pytest.mark.realdata
def test_the_same_beats_as_with_jax(real_root):
    """The first minute of every fourth record, sample for sample; of all whole records it is so too, in minutes."""
    samples = np.stack([mitdb.lead(real_root, name).samples[: 60 * 360] for name in mitdb.records(real_root)[::4]])
    samples = samples.astype(np.float32)
    peaks = jax.jit(functools.partial(qrs.r_peaks, sample_rate=360))(jnp.asarray(samples))
    for row, index, mask in zip(samples, np.asarray(peaks.index), np.asarray(peaks.mask), strict=True):
        np.testing.assert_array_equal(r_peaks.r_peaks(row, 360), index[mask])


@pytest.mark.realdata
def test_sensitivity_and_predictivity(real_root):
    """Within 150 ms of the annotated beats, flutter left out. Of all 87,955 beats of whole records .9983 and .9989."""
    end = 600 * 360
    found = []
    for name in mitdb.records(real_root):
        beats = mitdb.beats(real_root, name)
        peaks = r_peaks.r_peaks(mitdb.lead(real_root, name).samples[:end], 360)
        found.append(scores.score(beats.index[beats.index < end], peaks, 360, excluded=beats.flutter))
    total = scores.gross(found)
    assert total.true_positives + total.false_negatives > 28_000
    assert total.sensitivity > 0.997
    assert total.positive_predictivity > 0.997
