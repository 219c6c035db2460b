"""Each recipe against the paper's own steps in scipy, librosa and soundfile; nothing of hsjax on that side."""

import chex
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.signal
import soundfile
import soxr

from hsjax.data import audio
from hsjax.dsp.fourier import Backend
from hsjax.dsp.recipes import Fit, Level, Paper, fit_length, min_max, normalise_level, recipe

EMPTY = pytest.mark.filterwarnings("ignore:mel filters .0, 127.")


def at_rate(path, rate):
    samples, original = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), original, rate, quality="HQ").astype(float)


def mahapatra(samples):
    """Listings 1 and 2 of the report."""
    samples = librosa.util.normalize(samples)
    samples = samples[:2000] if len(samples) > 2000 else np.pad(samples, (0, 2000 - len(samples)))
    mel = librosa.feature.melspectrogram(y=samples, sr=1000, n_mels=128, fmax=500, hop_length=32, n_fft=128)
    db = librosa.power_to_db(mel, ref=np.max)
    return (db - db.min()) / (db.max() - db.min())


def sriram(samples):
    """PAPERS, section 5; the code behind the paper has the same filters as a loop."""
    window = 57 * 22050
    samples = samples[:window] if len(samples) > window else librosa.util.pad_center(samples, size=window)
    frequencies, _, power = scipy.signal.spectrogram(samples, 22050, nperseg=512)
    frequencies, power = frequencies[:175], power[:175]
    tips = 700 * (np.exp(np.linspace(0, 1125 * np.log(1 + frequencies[-1] / 700), 52) / 1125) - 1)
    filters = [np.interp(frequencies, tips[i : i + 3], [0, 1, 0], 0, 0) for i in range(50)]
    log = np.log10(np.array(filters) @ power + 1e-11)
    return ((log - log.min()) / (log.max() - log.min()) + 0.0035824) / 0.0735521


def song(samples):
    samples = np.pad(samples[:5000], (0, max(5000 - len(samples), 0)))
    return librosa.feature.mfcc(
        y=samples, sr=2000, n_mfcc=13, n_fft=256, hop_length=50, n_mels=26, fmin=20, fmax=500, htk=True,
        pad_mode="constant",
    )  # fmt: skip


def sarkhel(samples):
    samples = librosa.util.fix_length(librosa.util.normalize(samples), size=8000)
    mel = librosa.feature.melspectrogram(y=samples, sr=2000, n_fft=256, hop_length=64, n_mels=40, fmin=20, fmax=800)
    return librosa.power_to_db(mel)


def birton(samples):
    return librosa.util.fix_length((samples - samples.mean()) / samples.std(), size=1296).reshape(36, 36)


ORACLES = {
    Paper.MAHAPATRA: mahapatra,
    Paper.SONG: song,
    Paper.SARKHEL: sarkhel,
    Paper.BIRTON: birton,
    Paper.SRIRAM: sriram,
}
# Features in dB are compared relative to their size, normalised ones as they are.
IN_DB = (Paper.SONG, Paper.SARKHEL)


def assert_is(paper, samples, backend, name=""):
    chosen, want = recipe(paper), ORACLES[paper](np.asarray(samples, float))
    got = jax.jit(lambda x: chosen.transform(chosen.prepare(x), backend))(np.asarray(samples, np.float32))
    chex.assert_shape(got, chosen.shape)
    assert want.std() > 0
    scale = np.abs(want).max() if paper in IN_DB else 1.0
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * scale, err_msg=str(name))


@EMPTY
@pytest.mark.parametrize("backend", list(Backend))
@pytest.mark.parametrize(
    ("paper", "seconds"),
    [(p, s) for p in Paper for s in (0.7, 5.0) if p is not Paper.SRIRAM] + [(Paper.SRIRAM, 3.001)],
)
def test_is_the_paper_s_own_computation(paper, seconds, backend, rng):
    rate = recipe(paper).sample_rate
    fading = np.exp(-np.arange(round(seconds * rate)) / rate)
    # Louder at low frequencies, as hearts are.
    samples = fading * scipy.signal.lfilter([0.3], [1, -0.9], rng.standard_normal(len(fading)))
    assert_is(paper, samples.astype(np.float32), backend)


@pytest.mark.realdata
@EMPTY
@pytest.mark.parametrize("backend", list(Backend))
def test_mahapatra_from_the_wav_on(backend, real_root):
    files = sorted((real_root / "yaseen2018").glob("*/*.wav"))[::90]
    files += [sorted((real_root / "pascal" / part).glob("*.wav"))[0] for part in ("set_a", "set_b")]
    assert len(files) >= 10
    for file in files:
        ours = audio.resample(*audio.decode(file), 1000)
        np.testing.assert_allclose(ours, at_rate(file, 1000), atol=1e-6)
        want = mahapatra(at_rate(file, 1000))
        chosen = recipe(Paper.MAHAPATRA)
        got = chosen.transform(chosen.prepare(jnp.asarray(ours)), backend)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-4, err_msg=str(file))


@pytest.mark.realdata
def test_sriram_from_the_wav_on(real_root):
    chosen = recipe(Paper.SRIRAM)
    compute = {b: jax.jit(lambda x, b=b: chosen.transform(x, b)) for b in Backend}
    for letter in "abcdef":
        file = sorted((real_root / "physionet2016" / f"training-{letter}").glob("*.wav"))[5]
        want = sriram(at_rate(file, 22050))
        assert want.shape == (50, 2805)
        window = chosen.prepare(jnp.asarray(audio.resample(*audio.decode(file), 22050)))
        for backend in Backend:
            got = compute[backend](window)
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-4, err_msg=f"{file} {backend}")


def test_empty_filters_are_named():
    chosen = recipe(Paper.MAHAPATRA)
    with pytest.warns(UserWarning, match=r"mel filters \[0, 127\] of 128"):
        chosen.transform(jnp.zeros(2000))


@EMPTY
@pytest.mark.parametrize("paper", [p for p in Paper if p is not Paper.SRIRAM])
def test_silence_constants_and_their_gradients_are_finite(paper):
    chosen = recipe(paper)

    def features(samples):
        return chosen.transform(chosen.prepare(samples))

    for value in (0.0, 0.5):
        samples = jnp.full(chosen.window, value)
        got, gradient = jax.jit(lambda x: (features(x), jax.grad(lambda y: features(y).sum())(x)))(samples)
        chex.assert_tree_all_finite((got, gradient))
    if paper in (Paper.MAHAPATRA, Paper.BIRTON):
        assert not features(jnp.zeros(chosen.window)).any()


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_sriram_s_silence_is_the_normalised_zero(value):
    got = recipe(Paper.SRIRAM).features(jnp.full(22050, value), Backend.DFT)
    np.testing.assert_allclose(got, 0.0035824 / 0.0735521, rtol=1e-5)


@EMPTY
@pytest.mark.parametrize("backend", list(Backend))
@pytest.mark.parametrize("paper", [Paper.MAHAPATRA, Paper.SONG, Paper.SRIRAM])
def test_a_nan_is_never_hidden(paper, backend):
    chosen, samples = recipe(paper), np.random.default_rng(0).standard_normal((2, 2000)).astype(np.float32)
    samples[0, 700] = np.nan
    got = np.isnan(jax.jit(lambda x: chosen.features(x, backend))(samples))
    assert got[0].any(axis=1).sum() >= chosen.shape[0] - 2  # the two empty filters have nothing to show
    assert not got[1].any()


def test_min_max_by_hand():
    got = min_max(jnp.array([[[1.0, 2.0], [3.0, 5.0]], [[4.0, 4.0], [4.0, 4.0]]]))
    np.testing.assert_array_equal(got, [[[0, 0.25], [0.5, 1]], [[0, 0], [0, 0]]])


def test_levels_by_hand():
    samples = jnp.array([[1.0, -4.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(normalise_level(samples, Level.PEAK), [[0.25, -1, 0], [0, 0, 0]])
    np.testing.assert_allclose(
        normalise_level(samples, Level.STANDARD), [[0.925820, -1.388730, 0.462910], [0, 0, 0]], atol=1e-6
    )
    np.testing.assert_array_equal(normalise_level(samples, Level.NONE), samples)
    with pytest.raises(ValueError, match="at least one sample"):
        normalise_level(jnp.zeros(0), Level.PEAK)


@pytest.mark.parametrize(
    ("fit", "window", "want"),
    [
        (Fit.END, 5, [1, 2, 3, 0, 0]),
        (Fit.BOTH, 6, [0, 1, 2, 3, 0, 0]),
        (Fit.END, 2, [1, 2]),
        (Fit.BOTH, 2, [1, 2]),
    ],
)
def test_fitting_by_hand(fit, window, want):
    np.testing.assert_array_equal(fit_length(jnp.array([1.0, 2.0, 3.0]), window, fit), want)


def test_other_windows_say_so():
    with pytest.raises(ValueError, match="windows of 2000 samples at 1000 Hz, got 1999"):
        recipe(Paper.MAHAPATRA).transform(jnp.zeros(1999))
