import itertools

import chex
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from hsjax.dsp.fourier import Backend
from hsjax.dsp.learnable import Bands, band_weights, equal_energy_bands, learnable_spectrogram, mel_bands

RATE = 2000
FREQUENCIES = np.arange(129) * RATE / 256


def test_mel_bands_stand_where_librosa_s_triangles_do():
    bands = mel_bands(RATE, 10, 20.0, 800.0)
    edges = librosa.mel_frequencies(12, fmin=20.0, fmax=800.0, htk=True)
    np.testing.assert_allclose(bands.center, edges[1:-1])
    # Half the height, half the width of the triangle away from the middle of its half-height points.
    fine = np.linspace(0, 1000, 200001)
    weights = np.asarray(band_weights(bands, fine))
    widths = (weights >= 0.5).sum(axis=0) * (fine[1] - fine[0])
    np.testing.assert_allclose(widths, (edges[2:] - edges[:-2]) / 2, rtol=1e-3)


def test_weights_are_gaussians(rng):
    bands = Bands(np.array([100.0, 300.0]), np.array([20.0, -50.0]))
    want = np.exp(-0.5 * ((FREQUENCIES[:, None] - [100.0, 300.0]) / [20.0, 50.0]) ** 2)
    np.testing.assert_allclose(band_weights(bands, FREQUENCIES), want, atol=1e-6)


def test_equal_energy_bands_by_hand():
    # 5 bins at 0, 250, 500, 750, 1000 Hz, each from 125 Hz below to 125 above; all energy in the one at 500.
    bands = equal_energy_bands(np.array([0.0, 0, 1, 0, 0]), 2000, 2)
    np.testing.assert_allclose(bands.center, [437.5, 562.5])
    np.testing.assert_allclose(bands.width, 250 / 2.354820045)  # not below the distance of bins
    # Flat: quarters of the axis.
    flat = equal_energy_bands(np.ones(1001), 2000, 4)
    np.testing.assert_allclose(flat.center, [125, 375, 625, 875], rtol=1e-9)
    np.testing.assert_allclose(flat.width, 250 / 2.354820045, rtol=1e-9)


def test_equal_energy_bands_share_the_energy(rng):
    spectrum = rng.gamma(1.0, size=401) * np.exp(-np.arange(401) / 60)
    bands = equal_energy_bands(spectrum, 2000, 5, 20, 700)
    edges = [20.0]
    for center in bands.center:
        edges.append(2 * center - edges[-1])  # neighbours touch
    np.testing.assert_allclose(edges[-1], 700)
    fine = np.linspace(20, 700, 1_000_001)
    density = spectrum[np.rint(fine / 2.5).astype(int)]
    shares = [density[(fine >= low) & (fine < high)].sum() for low, high in itertools.pairwise(edges)]
    np.testing.assert_allclose(shares, np.mean(shares), rtol=1e-3)


@pytest.mark.parametrize("spectrum", [np.zeros(129), np.full(129, np.nan)])
def test_silent_training_data_gives_equal_widths(spectrum):
    bands = equal_energy_bands(spectrum, RATE, 4)
    np.testing.assert_allclose(bands.center, [125, 375, 625, 875])


@pytest.mark.parametrize("backend", list(Backend))
def test_spectrogram_weighs_librosa_s_spectrum(backend, rng):
    samples, bands = rng.standard_normal(1000), mel_bands(RATE, 6, 20.0, 800.0)
    power = np.abs(librosa.stft(samples, n_fft=256, hop_length=64, pad_mode="constant")) ** 2
    weights = np.exp(-0.5 * ((FREQUENCIES[:, None] - bands.center) / bands.width) ** 2)
    with jax.enable_x64(True):
        got = learnable_spectrogram(jnp.asarray(samples), bands, RATE, 256, 64, backend=backend)
    np.testing.assert_allclose(got, power.T @ weights, rtol=1e-9)


def test_gradients_reach_centres_and_widths(rng):
    """Descending finds the tone that the loss asks for; the slope is that of finite differences."""
    tone = np.sin(2 * np.pi * 203 * np.arange(1000) / RATE)

    def loss(bands):
        return -jnp.log(learnable_spectrogram(jnp.asarray(tone), bands, RATE, 256, 64).mean())

    with jax.enable_x64(True):
        bands = Bands(jnp.array([150.0]), jnp.array([40.0]))
        gradient = jax.jit(jax.grad(loss))
        slope = gradient(bands)
        for field, step in (("center", 1e-4), ("width", 1e-4)):
            value = getattr(bands, field)
            up, down = (loss(bands._replace(**{field: value + sign * step})) for sign in (1, -1))
            np.testing.assert_allclose(getattr(slope, field)[0], (up - down) / (2 * step), rtol=1e-5)
        for _ in range(200):
            bands = bands._replace(center=bands.center - 200 * gradient(bands).center)
        np.testing.assert_allclose(bands.center, 203, atol=2)


def test_silence_and_vanishing_bands_have_finite_gradients():
    def loss(samples, bands):
        return learnable_spectrogram(samples, bands, RATE, 256, 64).sum()

    for width in (0.0, 1e-9, 30.0):
        bands = Bands(jnp.array([101.0]), jnp.array([width]))
        chex.assert_tree_all_finite(jax.grad(loss, argnums=(0, 1))(jnp.ones(600), bands))
        assert loss(jnp.zeros(600), bands) == 0


def test_impossible_bands_say_so():
    with pytest.raises(ValueError, match="fmin < fmax"):
        mel_bands(RATE, 4, 20.0, 1001.0)
    with pytest.raises(ValueError, match="two bins"):
        equal_energy_bands(np.ones(1), RATE, 2)
