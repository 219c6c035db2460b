import chex
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.signal

from hsjax.dsp.fourier import Backend
from hsjax.dsp.triangular import log_triangular, triangular_filterbank


def oracle_filters(rate, n_fft, n_filters, n_bins):
    """One filter after the other, one straight line after the other."""
    frequencies = np.fft.rfftfreq(n_fft, 1 / rate)[:n_bins]
    top = 1125 * np.log(1 + frequencies[-1] / 700)
    tips = [700 * (np.exp(top * i / (n_filters + 1) / 1125) - 1) for i in range(n_filters + 2)]
    return np.array([np.interp(frequencies, tips[i : i + 3], [0, 1, 0], 0, 0) for i in range(n_filters)])


def oracle(samples, rate=22050, nperseg=512, n_filters=50, n_bins=175):
    power = scipy.signal.spectrogram(samples, rate, nperseg=nperseg)[2][..., :n_bins, :]
    return np.log10(oracle_filters(rate, nperseg, n_filters, n_bins) @ power + 1e-11)


@pytest.mark.parametrize("shape", [(22050, 512, 50, 175), (4000, 255, 12, 128)])
def test_filters_are_straight_lines_and_htk_s(shape):
    got = triangular_filterbank(*shape)
    np.testing.assert_allclose(got.T, oracle_filters(*shape), atol=1e-9)
    rate, n_fft, n_filters, n_bins = shape
    top = (n_bins - 1) * rate / n_fft
    mel = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=n_filters, fmin=0, fmax=top, htk=True, norm=None, dtype=np.float64
    )
    np.testing.assert_allclose(got.T, mel[:, :n_bins], atol=1e-9)


@pytest.mark.parametrize("backend", list(Backend))
def test_features_are_scipy_s_to_nine_digits(backend, rng):
    samples = rng.standard_normal((2, 3001)) + 0.3
    with jax.enable_x64(True):
        got = log_triangular(jnp.asarray(samples), backend=backend)
        odd = log_triangular(jnp.asarray(samples), 4000, 255, 12, 128, backend=backend)
    np.testing.assert_allclose(got, oracle(samples), atol=1e-9)
    np.testing.assert_allclose(odd, oracle(samples, 4000, 255, 12, 128), atol=1e-9)


@pytest.mark.parametrize("backend", list(Backend))
def test_float32_sees_what_lies_120_db_below(backend, rng):
    """A loud 100 Hz tone: rounded plainly, it would drown what the filters at 7 kHz hold."""
    tone = 0.9 * np.sin(2 * np.pi * 100 * np.arange(22050) / 22050) + 3e-6 * rng.standard_normal(22050)
    samples = tone.astype(np.float32)
    got = log_triangular(jnp.asarray(samples), backend=backend)
    want = oracle(samples.astype(float))
    assert want.min() < -10
    np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize("backend", list(Backend))
def test_silence_and_offset_are_the_floor(backend):
    for samples in (jnp.zeros(1000), jnp.full(1000, 0.7)):
        np.testing.assert_allclose(log_triangular(samples, backend=backend), -11, rtol=1e-6)
        chex.assert_tree_all_finite(jax.grad(lambda x: log_triangular(x, backend=backend).sum())(samples))


def test_nan_stays_in_its_segments():
    samples = np.zeros(2000, np.float32)
    samples[600] = np.nan
    got = log_triangular(jnp.asarray(samples))
    np.testing.assert_array_equal(np.isnan(got).any(axis=0), [False, True, False, False])


def test_impossible_settings_say_so():
    with pytest.raises(ValueError, match="2 to 257"):
        triangular_filterbank(n_bins=258)
    with pytest.raises(ValueError, match="positive floor"):
        log_triangular(jnp.zeros(1000), floor=0)
    with pytest.raises(ValueError, match="fewer than one frame"):
        log_triangular(jnp.zeros(511))
