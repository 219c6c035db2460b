from typing import Any

import chex
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from hsjax.dsp.decibels import Reference
from hsjax.dsp.fourier import Backend
from hsjax.dsp.frames import Padding
from hsjax.dsp.mel import MelScale, log_mel, mel_filterbank, mel_spectrogram
from hsjax.dsp.windows import Window

RATE = 2000
MEL: dict[str, Any] = {"n_fft": 256, "hop_length": 50, "n_mels": 26, "fmin": 20.0, "fmax": 500.0}
# Our option, librosa's.
OPTIONS = [
    ({}, {}),
    ({"scale": MelScale.HTK}, {"htk": True}),
    ({"slaney_norm": False}, {"norm": None}),
    ({"window": Window.HAMMING, "win_length": 200}, {"window": "hamming", "win_length": 200}),
    ({"padding": Padding.CENTER_REFLECT}, {"pad_mode": "reflect"}),
    ({"padding": Padding.NONE}, {"center": False}),
    ({"n_fft": 255, "hop_length": 67, "n_mels": 11}, {"n_fft": 255, "hop_length": 67, "n_mels": 11}),
]


def oracle(samples, **options):
    return librosa.feature.melspectrogram(y=samples, sr=RATE, **MEL | {"pad_mode": "constant"} | options).T


@pytest.mark.parametrize("backend", list(Backend))
@pytest.mark.parametrize(("ours", "librosa_s"), OPTIONS)
def test_mel_spectrogram_is_librosa_s(ours, librosa_s, backend, rng):
    samples = rng.standard_normal((2, 1201))
    with jax.enable_x64(True):
        got = np.asarray(mel_spectrogram(jnp.asarray(samples), RATE, **MEL | ours, backend=backend))
    want = np.stack([oracle(row, **librosa_s) for row in samples])
    # librosa's filters are float32
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * want.max())


@pytest.mark.parametrize("backend", list(Backend))
def test_float64_agrees_with_librosa_to_nine_digits(backend, rng):
    samples = rng.standard_normal(1201)
    filters = librosa.filters.mel(sr=RATE, n_fft=256, n_mels=26, fmin=20.0, fmax=500.0, dtype=np.float64)
    power = np.abs(librosa.stft(samples, n_fft=256, hop_length=50, pad_mode="constant")) ** 2
    with jax.enable_x64(True):
        got = np.asarray(mel_spectrogram(jnp.asarray(samples), RATE, **MEL, backend=backend))
        db = np.asarray(log_mel(jnp.asarray(samples), RATE, top_db=60, **MEL, backend=backend))
    np.testing.assert_allclose(got, (filters @ power).T, rtol=1e-9)
    np.testing.assert_allclose(db, librosa.power_to_db(filters @ power, top_db=60).T, atol=1e-9)


@pytest.mark.parametrize(
    ("ours", "librosa_s"),
    [
        ({}, {}),
        ({"ref": 3.0, "top_db": None}, {"ref": 3.0, "top_db": None}),
        ({"ref": Reference.MAX, "top_db": 20}, {"ref": np.max, "top_db": 20}),
        ({"amin": 1.0, "top_db": None}, {"amin": 1.0, "top_db": None}),
    ],
)
@pytest.mark.parametrize("backend", list(Backend))
def test_log_mel_is_librosa_s(ours, librosa_s, backend, rng):
    samples = (rng.standard_normal((2, 1500)) * [[0.1], [1e-3]]).astype(np.float32)
    got = jax.jit(lambda x: log_mel(x, RATE, **MEL, backend=backend, **ours))(samples)
    want = np.stack([librosa.power_to_db(oracle(row.astype(float)), **librosa_s) for row in samples])
    np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.realdata
@pytest.mark.parametrize("backend", list(Backend))
def test_log_mel_is_librosa_s_on_every_dataset(backend, recordings):
    for name, (samples, rate) in recordings.items():
        options: dict[str, Any] = {"n_fft": 512, "hop_length": 160, "n_mels": 20, "fmax": rate / 2}
        got = log_mel(jnp.asarray(samples, jnp.float32), rate, **options, scale=MelScale.HTK, backend=backend)
        mel = librosa.feature.melspectrogram(
            y=samples.astype(np.float32).astype(float), sr=rate, htk=True, pad_mode="constant", **options
        )
        want = librosa.power_to_db(mel).T
        np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max(), err_msg=name)


def test_filters_without_a_bin_are_named():
    with pytest.warns(UserWarning, match=r"mel filters \[0, 127\] of 128 .*always zero"):
        mel_filterbank(1000, 128, 128, 0.0, 500.0)


@pytest.mark.parametrize("change", [{"fmax": 1001.0}, {"fmin": 500.0}, {"fmin": -1.0}, {"n_mels": 0}])
def test_impossible_bands_say_so(change):
    with pytest.raises(ValueError, match="want"):
        mel_spectrogram(jnp.zeros(1000), RATE, **MEL | change)
    with pytest.raises(TypeError, match="fminn"):
        log_mel(jnp.zeros(1000), RATE, **MEL | {"fminn": 3})


@pytest.mark.parametrize("backend", list(Backend))
def test_silence_is_the_floor_and_has_a_finite_gradient(backend):
    silence = jnp.zeros(600)
    assert not mel_spectrogram(silence, RATE, **MEL, backend=backend).any()
    np.testing.assert_allclose(log_mel(silence, RATE, **MEL, backend=backend), -100.0, rtol=1e-6)
    for reference in (1.0, Reference.MAX):
        loss = jax.jit(lambda x, ref=reference: log_mel(x, RATE, **MEL, ref=ref, backend=backend).sum())
        gradient = jax.grad(loss)(silence)
        chex.assert_tree_all_finite(gradient)


@pytest.mark.parametrize("backend", list(Backend))
def test_nan_stays_in_the_frames_that_hold_it(backend, rng):
    samples = rng.standard_normal(1000)
    samples[500] = np.nan
    got = mel_spectrogram(jnp.asarray(samples, jnp.float32), RATE, **MEL, backend=backend)
    touched = [abs(500 - 50 * frame) <= 128 and 500 - 50 * frame < 128 for frame in range(21)]
    np.testing.assert_array_equal(np.isnan(got).all(axis=1), touched)
    np.testing.assert_array_equal(np.isnan(got).any(axis=1), touched)


@pytest.mark.parametrize("backend", list(Backend))
def test_gradient_is_that_of_finite_differences(backend, rng):
    samples = rng.standard_normal(400)
    direction = rng.standard_normal(400)
    with jax.enable_x64(True):
        loss = jax.jit(lambda x: jnp.square(log_mel(x, RATE, **MEL, backend=backend)).mean())
        slope = jax.grad(loss)(jnp.asarray(samples)) @ direction
        step = 1e-6 * direction
        finite = (loss(jnp.asarray(samples + step)) - loss(jnp.asarray(samples - step))) / 2e-6
    np.testing.assert_allclose(slope, finite, rtol=1e-5)


def test_dtypes_at_the_door(rng):
    samples = rng.standard_normal(600)
    assert mel_spectrogram(jnp.asarray(samples, jnp.float16), RATE, **MEL).dtype == jnp.float32
    with pytest.raises(TypeError, match="i16"):
        mel_spectrogram(jnp.zeros(600, jnp.int16), RATE, **MEL)
