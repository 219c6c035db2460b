from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from hsjax.dsp.fourier import Backend
from hsjax.dsp.gammatone import (
    erb_frequencies,
    gammatone_bands,
    gammatone_filterbank,
    gammatone_fir,
    gammatone_spectrogram,
)

RATE = 2000
BANDS: dict[str, Any] = {"n_bands": 8, "fmin": 25.0, "fmax": 500.0}


def test_frequencies_are_equally_spaced_in_erb():
    got = erb_frequencies(20, 20, 1000)
    np.testing.assert_allclose(got[[0, -1]], [20, 1000])
    # Glasberg & Moore 1990 as they print it: 21.4 log10(0.00437 f + 1)
    np.testing.assert_allclose(
        np.diff(21.4 * np.log10(0.00437 * got + 1)), 21.4 * np.log10(5.37 / 1.0874) / 19, rtol=2e-3
    )


@pytest.mark.parametrize("order", [1, 4])
def test_responses_are_scipy_s(order):
    frequencies = erb_frequencies(**BANDS)
    got = gammatone_fir(RATE, frequencies, order, 300)
    want = [scipy.signal.gammatone(f, "fir", order=order, numtaps=300, fs=RATE)[0] for f in frequencies]
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_responses_are_long_enough():
    frequencies = erb_frequencies(**BANDS)
    short, long = gammatone_fir(RATE, frequencies), gammatone_fir(RATE, frequencies, taps=4000)
    assert short.shape[1] < 1000
    assert np.abs(long[:, short.shape[1] :]).max() < 2e-6 * np.abs(long).max()


def test_weights_are_the_squared_response():
    got = gammatone_filterbank(RATE, 256, **BANDS)
    for band, frequency in zip(got.T, erb_frequencies(**BANDS), strict=True):
        taps = scipy.signal.gammatone(frequency, "fir", numtaps=4000, fs=RATE)[0]
        _, response = scipy.signal.freqz(taps, worN=np.arange(129) * RATE / 256, fs=RATE)
        np.testing.assert_allclose(band, np.abs(response) ** 2, atol=1e-6)


@pytest.mark.parametrize("backend", list(Backend))
def test_spectrogram_weighs_scipy_s_spectrum(backend, rng):
    samples = rng.standard_normal((2, 1000))
    _, _, spectrum = scipy.signal.stft(samples, nperseg=256, noverlap=192, padded=False)
    weights = gammatone_filterbank(RATE, 256, **BANDS)
    want = np.swapaxes(np.abs(spectrum) ** 2 * 128**2, 1, 2) @ weights  # scipy divides by the sum of the window
    with jax.enable_x64(True):
        got = gammatone_spectrogram(jnp.asarray(samples), RATE, 256, 64, **BANDS, backend=backend)
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_band_signals_are_scipy_s_filter(rng):
    samples, responses = rng.standard_normal((2, 500)), gammatone_fir(RATE, erb_frequencies(**BANDS))
    with jax.enable_x64(True):
        got = gammatone_bands(jnp.asarray(samples), responses)
    want = np.stack([scipy.signal.lfilter(taps, 1, samples) for taps in responses], axis=1)
    np.testing.assert_allclose(got, want, atol=1e-9)


@pytest.mark.realdata
def test_power_of_band_signals_is_that_of_the_weights(recordings):
    """Over seconds the two forms measure one thing, on all datasets."""
    for name, (samples, rate) in recordings.items():
        samples = samples[: 3 * rate]
        options: dict[str, Any] = {"n_bands": 6, "fmin": 30.0, "fmax": 0.4 * rate if rate < 1000 else 300.0}
        n_fft = 2 ** int(np.log2(rate))
        power = gammatone_spectrogram(jnp.asarray(samples, jnp.float32), rate, n_fft, n_fft // 4, **options)
        responses = gammatone_fir(rate, erb_frequencies(**options))
        bands = np.stack([scipy.signal.fftconvolve(samples, taps) for taps in responses])
        # A Hann window has 3/8 of the power of none; two sides; Parseval.
        got = np.asarray(power).mean(axis=0) / (3 / 8 * n_fft) * 2 / n_fft
        level = 10 * np.log10(got / (np.square(bands).sum(axis=1) / len(samples)))
        assert np.abs(level).max() < 1.5, (name, level)


def test_silence_is_zero_and_has_a_finite_gradient():
    assert not gammatone_spectrogram(jnp.zeros(600), RATE, 256, 64, **BANDS).any()
    gradient = jax.grad(lambda x: gammatone_spectrogram(x, RATE, 256, 64, **BANDS).sum())(jnp.zeros(600))
    chex.assert_tree_all_finite(gradient)


def test_impossible_settings_say_so():
    with pytest.raises(ValueError, match="fmin < fmax"):
        erb_frequencies(4, 500, 20)
    with pytest.raises(ValueError, match="below 1000 Hz"):
        gammatone_fir(RATE, np.array([1000.0]))
    with pytest.raises(ValueError, match="one tap"):
        gammatone_fir(RATE, np.array([100.0]), taps=0)
