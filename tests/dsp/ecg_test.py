import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from hsjax.dsp.ecg import Baseline, notch, remove_baseline, running_median


def chazal(samples, short, long):
    return samples - scipy.signal.medfilt(scipy.signal.medfilt(samples, short), long)


@pytest.mark.realdata
def test_is_scipy_s_on_a_recording(quick, recordings):
    samples, rate = recordings["mitdb"]
    sections = scipy.signal.butter(3, 0.5, "highpass", fs=rate, output="sos")
    for exact, atol in [(False, 1e-4), (True, 1e-9)]:
        with jax.enable_x64(exact):
            given = samples.astype(np.float64 if exact else np.float32)
            run = quick(lambda x: (remove_baseline(x, rate), notch(x, rate)))
            high, hum = run(given)
            np.testing.assert_allclose(high, scipy.signal.sosfiltfilt(sections, given.astype(float)), atol=atol)
            want = scipy.signal.filtfilt(*scipy.signal.iirnotch(60, 30, fs=rate), given.astype(float))
            np.testing.assert_allclose(hum, want, atol=atol)
    given = samples.astype(np.float32)
    got = quick(lambda x: remove_baseline(x, rate, Baseline.MEDIAN))(given)
    np.testing.assert_allclose(got, chazal(given, 73, 217), atol=1e-6)


def test_batched_medians_end_with_each_recording(quick, rng):
    samples = rng.standard_normal((2, 150)).astype(np.float32)
    lengths = np.array([150, 101])
    samples[1, 101:] = np.nan
    got = quick(lambda x: remove_baseline(x, 100, Baseline.MEDIAN, lengths=lengths))(samples)
    for row, length, cleaned in zip(samples, lengths, np.asarray(got), strict=True):
        np.testing.assert_allclose(cleaned[:length], chazal(row[:length], 21, 61), atol=1e-6)
        assert (cleaned[length:] == 0).all()


@pytest.mark.parametrize("exact", [False, True], ids=["float32", "float64"])
def test_median_is_scipy_s_with_ties_and_signs(quick, rng, exact):
    windows = (1, 5, 33)
    samples = np.round(rng.standard_normal((2, 90)), 1).astype(np.float64 if exact else np.float32)
    with jax.enable_x64(exact):
        results = quick(lambda x: [running_median(x, window) for window in windows])(samples)
    for window, got in zip(windows, results, strict=True):
        assert got.dtype == samples.dtype
        np.testing.assert_array_equal(got, [scipy.signal.medfilt(row, window) for row in samples])


def test_gradient_of_a_median_goes_to_the_sample_it_is(quick):
    gradient = quick(jax.grad(lambda x: running_median(x, 3)[2]))(np.array([9.0, 5.0, 1.0, 3.0, 7.0], np.float32))
    np.testing.assert_array_equal(gradient, [0, 0, 0, 1, 0])


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="0 < frequency < 25 Hz, got 60"):
        notch(jnp.zeros(90), 50)
    with pytest.raises(ValueError, match="quality"):
        notch(jnp.zeros(90), 360, quality=0)
    with pytest.raises(ValueError, match="odd, got 4"):
        running_median(jnp.zeros(9), 4)
    with pytest.raises(ValueError, match="at least one sample"):
        remove_baseline(jnp.zeros(0), 360, Baseline.MEDIAN)
    with pytest.raises(ValueError, match="more samples than the padding"):
        remove_baseline(jnp.zeros(5), 360)
