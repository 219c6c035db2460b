import chex
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.signal
import soundfile

from hsjax import config, features
from hsjax.types import UserError

CONFIG = config.base().features
RATE, WINDOW = 2000, 5000


def oracle(samples: np.ndarray) -> np.ndarray:
    """The same features by scipy and librosa in float64, recursion instead of impulse response."""
    sections = scipy.signal.butter(3, [20, 400], "bandpass", fs=RATE, output="sos")
    filtered = scipy.signal.sosfilt(sections, samples - samples.mean())
    filtered /= np.sqrt(np.mean(filtered**2))
    return librosa.feature.mfcc(
        y=filtered, sr=RATE, n_mfcc=13, n_fft=256, hop_length=50, n_mels=26, fmin=20, fmax=500, htk=True,
        pad_mode="constant",
    )  # fmt: skip


def assert_close_to_oracle(samples: np.ndarray) -> None:
    got = np.asarray(jax.jit(features.build(CONFIG, RATE, WINDOW).transform)(samples))
    want = np.stack([oracle(row.astype(np.float64)) for row in samples])
    # dB of a mel band, of which a coefficient sums up to 26: relative to the size of the features
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


def test_mfcc_is_scipy_and_librosa_s_on_noise(rng):
    assert_close_to_oracle(rng.standard_normal((3, WINDOW)).astype(np.float32) * 0.1)


@pytest.mark.realdata
def test_mfcc_is_scipy_and_librosa_s_on_real_recordings(real_root):
    windows = []
    for letter in "abcdef":
        files = sorted((real_root / "physionet2016" / f"training-{letter}").glob("*.wav"))
        assert files
        for file in files[:: max(1, len(files) // 6)]:
            samples, rate = soundfile.read(file, dtype="float32")
            assert rate == RATE
            windows.append(samples[:WINDOW])
    assert len(windows) >= 36
    assert_close_to_oracle(np.stack(windows))


def test_shape_and_normalisation(rng):
    front_end = features.build(CONFIG, RATE, WINDOW)
    assert front_end.shape == (13, 101)
    samples = rng.standard_normal((300, WINDOW)).astype(np.float32)  # more than one chunk
    state = front_end.fit(samples)
    chex.assert_shape([state.mean, state.std], (13, 1))
    got = features.extract(lambda s: front_end.apply(state, s), samples)
    np.testing.assert_allclose(got.mean(axis=(0, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(got.std(axis=(0, 2)), 1, atol=1e-4)


def test_level_does_not_matter_and_silence_is_finite(rng):
    front_end = features.build(CONFIG, RATE, WINDOW)
    samples = jnp.asarray(rng.standard_normal(WINDOW), jnp.float32)
    np.testing.assert_allclose(front_end.transform(samples), front_end.transform(0.01 * samples + 0.3), atol=0.1)
    chex.assert_tree_all_finite(front_end.transform(jnp.zeros(WINDOW)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "mfccs"}, "known is 'mfcc'"),
        ({"fmax": 1500.0}, "fmax"),
        ({"n_mfcc": 40}, "at least as many mel bands"),
        ({"mel_scale": "bark"}, "bark"),
        ({"band": {"order": 3, "low": 400.0, "high": 20.0}}, "low < high"),
    ],
)
def test_impossible_settings_say_what_to_change(change, message):
    changed = config.base().features
    changed.update(change)
    with pytest.raises(UserError, match=message):
        features.build(changed, RATE, WINDOW)
