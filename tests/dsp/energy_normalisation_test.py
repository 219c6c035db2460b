from typing import Any

import chex
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from hsjax.dsp.energy_normalisation import Smoother, pcen, pcen_chunk

RATE, HOP = 2000, 50
OPTIONS: list[dict[str, Any]] = [
    {},
    {"gain": 0.5, "bias": 10.0, "power": 0.25, "time_constant": 0.06, "eps": 1e-3},
    {"power": 0.0},
    {"bias": 0.0},
    {"b": 0.2},
]


@pytest.fixture
def energies(rng):
    return rng.gamma(0.3, 5.0, (2, 60, 7)) * rng.uniform(0.01, 10, (2, 1, 1))


def oracle(energies, **options):
    return np.stack([librosa.pcen(one.T, sr=RATE, hop_length=HOP, **options).T for one in energies])


@pytest.mark.parametrize("smoother", list(Smoother))
@pytest.mark.parametrize("options", OPTIONS)
def test_is_librosa_s(smoother, options, energies):
    want = oracle(energies, **options)
    compute = jax.jit(lambda x: pcen(x, RATE, HOP, smoother=smoother, **options))
    got = compute(jnp.asarray(energies, jnp.float32))
    np.testing.assert_allclose(got, want, atol=1e-4)
    with jax.enable_x64(True):
        exact = compute(jnp.asarray(energies))
    np.testing.assert_allclose(exact, want, atol=1e-9)


@pytest.mark.realdata
@pytest.mark.parametrize("smoother", list(Smoother))
def test_is_librosa_s_on_every_dataset(smoother, recordings):
    for name, (samples, rate) in recordings.items():
        mel = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=512, hop_length=160, n_mels=20) * 2.0**31
        want = librosa.pcen(mel, sr=rate, hop_length=160).T
        got = jax.jit(lambda x, rate=rate: pcen(x, rate, 160, smoother=smoother))(mel.T.astype(np.float32))
        np.testing.assert_allclose(got, want, atol=1e-4 * max(1, want.max()), err_msg=name)


@pytest.mark.parametrize("smoother", list(Smoother))
def test_chunks_are_the_whole(smoother, energies):
    with jax.enable_x64(True):
        step = jax.jit(lambda state, x: pcen_chunk(state, x, RATE, HOP, smoother=smoother, time_constant=0.3))
        whole, state, pieces = jnp.asarray(energies), jnp.ones((2, 7)), []
        for piece in (whole[:, :1], whole[:, 1:30], whole[:, 30:59], whole[:, 59:]):
            out, state = step(state, piece)
            pieces.append(out)
        got = jnp.concatenate(pieces, axis=1)
    np.testing.assert_allclose(got, oracle(energies, time_constant=0.3), atol=1e-9)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("smoother", list(Smoother))
def test_silence_is_zero_and_gradients_are_finite(smoother, options, energies):
    loss = jax.jit(jax.value_and_grad(lambda x: pcen(x, RATE, HOP, smoother=smoother, **options).sum()))
    silent, gradient = loss(jnp.zeros((2, 60, 7)))
    assert silent == 0
    chex.assert_tree_all_finite((gradient, loss(jnp.asarray(energies, jnp.float32))[1]))


def test_nan_stays_in_its_band_and_a_scan_s_in_the_future():
    energies = np.ones((10, 3), np.float32)
    energies[4, 1] = np.nan
    for smoother, first in ((Smoother.MATRIX, 0), (Smoother.SCAN, 4)):
        got = np.isnan(jax.jit(lambda x, s=smoother: pcen(x, RATE, HOP, smoother=s))(energies))
        want = np.zeros((10, 3), bool)
        want[first:, 1] = True
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("change", [{"gain": -1.0}, {"eps": 0.0}, {"time_constant": 0.0}, {"b": 1.5}])
def test_impossible_settings_say_so(change):
    with pytest.raises(ValueError, match="want"):
        pcen(jnp.ones((4, 2)), RATE, HOP, **change)
