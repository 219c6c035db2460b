import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from hsjax.dsp.cepstrum import mfcc
from hsjax.dsp.mel import MelScale, mel_filterbank
from hsjax.dsp.normalise import unit_rms


@pytest.mark.parametrize("scale", list(MelScale))
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize(
    "args", [(2000, 256, 26, 20.0, 500.0), (22050, 2048, 128, 0.0, None), (8000, 512, 40, 60.0, 4000.0)]
)
def test_filterbank_is_librosa_s(scale, norm, args):
    rate, n_fft, n_mels, fmin, fmax = args
    want = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, htk=scale is MelScale.HTK,
        norm="slaney" if norm else None, dtype=np.float64,
    )  # fmt: skip
    got = mel_filterbank(rate, n_fft, n_mels, fmin, fmax, scale, norm)
    np.testing.assert_allclose(got, want.T, atol=1e-12)


def test_gradient_of_normalised_coefficients_is_finite_on_silence_and_noise(quick, rng):
    options = {"n_mfcc": 13, "n_fft": 256, "hop_length": 50, "n_mels": 26, "fmin": 20.0, "fmax": 500.0}
    gradient = quick(jax.grad(lambda x: jnp.sum(mfcc(unit_rms(x), 2000, **options))))
    assert np.isfinite(gradient(np.zeros(1000, np.float32))).all()
    noisy = np.asarray(gradient(rng.standard_normal(1000).astype(np.float32)))
    assert np.isfinite(noisy).all()
    assert np.abs(noisy).max() > 0
