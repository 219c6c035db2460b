from typing import Any

import chex
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.fft

from hsjax.dsp.cepstrum import DctType, dct_basis, idct_basis, mfcc
from hsjax.dsp.fourier import Backend
from hsjax.dsp.mel import MelScale

RATE = 2000
MEL: dict[str, Any] = {"n_fft": 256, "hop_length": 50, "n_mels": 26, "fmin": 20.0, "fmax": 500.0}


@pytest.mark.parametrize("kind", list(DctType))
def test_bases_are_scipy_s(kind, rng):
    values = rng.standard_normal((5, 26))
    want = scipy.fft.dct(values, type=kind.value, norm="ortho")[:, :13]
    np.testing.assert_allclose(values @ dct_basis(26, 13, kind), want, atol=1e-12)
    back = scipy.fft.idct(want, type=kind.value, n=26, norm="ortho")
    np.testing.assert_allclose(want @ idct_basis(13, 26, kind), back, atol=1e-12)


def oracle(samples, rate=RATE, **options):
    return librosa.feature.mfcc(y=samples, sr=rate, n_mfcc=13, htk=True, pad_mode="constant", **MEL | options)


@pytest.mark.parametrize("backend", list(Backend))
@pytest.mark.parametrize("kind", list(DctType))
@pytest.mark.parametrize("lifter", [0, 22])
def test_mfcc_is_librosa_s(backend, kind, lifter, rng):
    samples = rng.standard_normal((2, 1501)).astype(np.float32) * 0.1
    options: dict[str, Any] = MEL | {"scale": MelScale.HTK, "backend": backend}
    got = jax.jit(lambda x: mfcc(x, RATE, 13, dct=kind, lifter=lifter, **options))(samples)
    want = np.stack([oracle(row.astype(float), dct_type=kind.value, lifter=lifter) for row in samples])
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


@pytest.mark.realdata
@pytest.mark.parametrize("backend", list(Backend))
def test_mfcc_is_librosa_s_on_every_dataset(backend, recordings):
    for name, (samples, rate) in recordings.items():
        options: dict[str, Any] = {"n_fft": 512, "hop_length": 160, "n_mels": 20, "fmin": 0.0, "fmax": rate / 2}
        got = mfcc(jnp.asarray(samples, jnp.float32), rate, 13, scale=MelScale.HTK, backend=backend, **options)
        want = oracle(samples.astype(np.float32).astype(float), rate, **options)
        np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max(), err_msg=name)


def test_impossible_coefficients_say_so():
    with pytest.raises(ValueError, match="at least as many mel bands"):
        mfcc(jnp.zeros(1000), RATE, 30, **MEL)
    with pytest.raises(ValueError, match="lifter"):
        mfcc(jnp.zeros(1000), RATE, 13, lifter=-1, **MEL)
    with pytest.raises(ValueError, match="between 1 and 4 coefficients"):
        dct_basis(4, 5)


@pytest.mark.parametrize("backend", list(Backend))
def test_silence_and_its_gradient_are_finite(backend):
    def loss(samples):
        return mfcc(samples, RATE, 13, **MEL, backend=backend).sum()

    got = mfcc(jnp.zeros(600), RATE, 13, **MEL, backend=backend)
    np.testing.assert_allclose(got[0], -100 * np.sqrt(26), rtol=1e-5)
    np.testing.assert_allclose(got[1:], 0, atol=1e-3)
    chex.assert_tree_all_finite(jax.grad(loss)(jnp.zeros(600)))
