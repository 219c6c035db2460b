import chex
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from hsjax import dsp


def test_impulse_response_filters_as_scipy_s_recursion(rng):
    taps = dsp.butterworth_fir(3, 20.0, 400.0, 2000)
    sections = scipy.signal.butter(3, [20, 400], "bandpass", fs=2000, output="sos")
    samples = rng.standard_normal(5000)
    want = scipy.signal.sosfilt(sections, samples)
    np.testing.assert_allclose(np.convolve(samples, taps)[:5000], want, atol=1e-5)
    assert 300 < len(taps) < 700


def test_passes_and_stops_what_it_should():
    taps = dsp.butterworth_fir(3, 20.0, 400.0, 2000)
    _, response = scipy.signal.freqz(taps, worN=np.array([5.0, 20.0, 100.0, 400.0, 800.0]), fs=2000)
    np.testing.assert_allclose(np.abs(response)[[1, 3]], np.sqrt(0.5), atol=1e-3)  # the edges are the -3 dB points
    assert np.abs(response)[2] == pytest.approx(1, abs=1e-2)
    assert max(np.abs(response)[[0, 4]]) < 0.1


@pytest.mark.parametrize("edges", [(0.0, 400.0), (20.0, 1000.0), (400.0, 20.0)])
def test_impossible_bands_are_refused(edges):
    with pytest.raises(ValueError, match="0 < low < high < 1000"):
        dsp.butterworth_fir(3, *edges, 2000)


def test_endless_ringing_is_refused():
    with pytest.raises(ValueError, match="rings"):
        dsp.butterworth_fir(3, 0.01, 400.0, 2000)


class FirTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_is_scipy_s_lfilter(self):
        rng = np.random.default_rng(0)
        for time, taps, block in [(5000, 480, 64), (777, 33, 64), (64, 65, 64), (1, 3, 64), (130, 1, 7)]:
            samples = rng.standard_normal((2, time)).astype(np.float32)
            kernel = rng.standard_normal(taps)
            got = self.variant(lambda x, k=kernel, b=block: dsp.fir_filter(x, k, b))(jnp.asarray(samples))
            want = scipy.signal.lfilter(kernel, 1, samples.astype(np.float64))
            np.testing.assert_allclose(got, want, atol=1e-4)


def test_level():
    samples = jnp.array([[1.0, 3.0], [0.0, 0.0]])
    np.testing.assert_allclose(dsp.remove_mean(samples), [[-1, 1], [0, 0]])
    np.testing.assert_allclose(
        dsp.unit_rms(jnp.array([[3.0, 4.0], [0.0, 0.0]])), [[0.848528, 1.131371], [0, 0]], atol=1e-6
    )
