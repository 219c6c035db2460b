import chex
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal

from hsjax import dsp


class FrameTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_centred_frames_are_librosa_s(self):
        for time, length, hop in [(5000, 256, 50), (4999, 255, 50), (300, 256, 64), (129, 128, 1), (257, 128, 200)]:
            samples = np.random.default_rng(time).standard_normal((2, time)).astype(np.float32)
            got = self.variant(lambda x, a=length, b=hop: dsp.frame(x, a, b))(jnp.asarray(samples))
            padded = np.pad(samples, [(0, 0), (length // 2, length // 2)])
            want = librosa.util.frame(padded, frame_length=length, hop_length=hop)
            np.testing.assert_array_equal(got, np.swapaxes(want, 1, 2))

    def test_uncentred_frames(self):
        got = dsp.frame(jnp.arange(10.0), 4, 3, center=False)
        np.testing.assert_array_equal(got, [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]])

    def test_too_short_says_so(self):
        with pytest.raises(ValueError, match="3 samples are fewer than one frame of 4"):
            dsp.frame(jnp.zeros(3), 4, 1, center=False)
        with pytest.raises(ValueError, match="positive"):
            dsp.frame(jnp.zeros(3), 4, 0)


def test_hann_is_scipy_s():
    np.testing.assert_allclose(dsp.hann(256), scipy.signal.get_window("hann", 256), atol=1e-15)


@pytest.mark.parametrize(("n_fft", "hop"), [(256, 50), (512, 128), (200, 67)])
def test_power_spectrum_is_librosa_s(n_fft, hop, rng):
    samples = rng.standard_normal(3000).astype(np.float32)
    want = np.abs(librosa.stft(samples.astype(np.float64), n_fft=n_fft, hop_length=hop, pad_mode="constant")).T ** 2
    got = dsp.power_spectrum(jnp.asarray(samples), n_fft, hop)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * want.max())
    part = dsp.power_spectrum(jnp.asarray(samples), n_fft, hop, slice(3, 40))
    np.testing.assert_allclose(part, got[:, 3:40], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("top_db", [None, 80.0, 30.0])
def test_power_to_db_is_librosa_s(top_db, rng):
    power = 10 ** rng.uniform(-14, 3, (4, 20, 30))
    want = np.stack([librosa.power_to_db(p, ref=1.0, top_db=top_db) for p in power])
    np.testing.assert_allclose(dsp.power_to_db(jnp.asarray(power, jnp.float32), top_db=top_db), want, atol=1e-4)


@pytest.mark.parametrize("scale", list(dsp.MelScale))
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize(
    "args", [(2000, 256, 26, 20.0, 500.0), (22050, 2048, 128, 0.0, None), (8000, 512, 40, 60.0, 4000.0)]
)
def test_filterbank_is_librosa_s(scale, norm, args):
    rate, n_fft, n_mels, fmin, fmax = args
    want = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, htk=scale is dsp.MelScale.HTK,
        norm="slaney" if norm else None, dtype=np.float64,
    )  # fmt: skip
    got = dsp.mel_filterbank(rate, n_fft, n_mels, fmin, fmax, scale, norm)
    np.testing.assert_allclose(got, want.T, atol=1e-12)


def test_empty_filters_are_named():
    with pytest.warns(UserWarning, match=r"mel filters \[\d+.*always zero"):
        dsp.mel_filterbank(1000, 128, 128, 0.0, 500.0)


def test_filterbank_refuses_frequencies_above_nyquist():
    with pytest.raises(ValueError, match="fmax"):
        dsp.mel_filterbank(2000, 256, 26, 20.0, 1001.0)


def test_dct_is_scipy_s(rng):
    x = rng.standard_normal((5, 26))
    np.testing.assert_allclose(x @ dsp.dct_basis(26, 13), scipy.fft.dct(x, norm="ortho")[:, :13], atol=1e-12)


class MfccTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_is_librosa_s(self):
        samples = np.random.default_rng(1).standard_normal((3, 5000)).astype(np.float32)
        options = {"n_mfcc": 13, "n_fft": 256, "hop_length": 50, "n_mels": 26, "fmin": 20.0, "fmax": 500.0}
        got = self.variant(lambda x: dsp.mfcc(x, 2000, scale=dsp.MelScale.HTK, **options))(jnp.asarray(samples))
        chex.assert_shape(got, (3, 13, 101))
        for row, one in zip(got, samples.astype(np.float64), strict=True):
            want = librosa.feature.mfcc(y=one, sr=2000, htk=True, pad_mode="constant", **options)
            np.testing.assert_allclose(row, want, atol=1e-4 * np.abs(want).max())

    def test_more_coefficients_than_bands(self):
        with pytest.raises(ValueError, match="at least as many mel bands"):
            dsp.mfcc(jnp.zeros(1000), 2000, n_mfcc=30, n_fft=256, hop_length=50, n_mels=26)

    def test_gradient_is_finite_on_silence_and_noise(self):
        options = {"n_mfcc": 13, "n_fft": 256, "hop_length": 50, "n_mels": 26, "fmin": 20.0, "fmax": 500.0}
        noise = jax.random.normal(jax.random.key(0), (1000,))
        for samples in (jnp.zeros(1000), noise):
            gradient = jax.grad(lambda x: dsp.mfcc(dsp.unit_rms(x), 2000, **options).sum())(jnp.asarray(samples))
            chex.assert_tree_all_finite(gradient)
