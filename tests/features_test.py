import chex
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.signal
import soundfile

from hsjax import config, features
from hsjax.dsp.recipes import Paper, recipe
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


@pytest.mark.parametrize("name", ["mfcc", "learnable"])
def test_fitting_takes_windows_from_a_map_some_at_a_time(rng, tmp_path, name):
    """A mean far from 0 and few windows in the last chunk; the oracle is NumPy over all of them in float64."""
    samples = rng.standard_normal((600, 500)).astype(np.float32)
    np.save(tmp_path / "samples.npy", samples)
    index = np.flatnonzero(rng.random(600) < 0.9)
    front_end = features.build(named(name), RATE, 500)
    state = front_end.fit(np.load(tmp_path / "samples.npy", mmap_mode="r"), index)
    raw = features.extract(lambda s: front_end.transform(s, bands=state.bands), samples[index]).astype(np.float64)
    np.testing.assert_allclose(state.mean[:, 0], raw.mean(axis=(0, 2)), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(state.std[:, 0], raw.std(axis=(0, 2)), rtol=1e-5)
    got = front_end.compute(state, jnp.asarray(samples[:4]))
    np.testing.assert_allclose(got, front_end.apply(state, jnp.asarray(samples[:4])), atol=2e-3)


def test_statistics_of_chunks_are_numpy_s_of_the_whole(rng):
    values = (1e3 + rng.standard_normal((70, 3, 5))).astype(np.float32)
    state = features.normalisation_of(np.split(values, [1, 40]))
    np.testing.assert_allclose(state.mean[:, 0], values.mean(axis=(0, 2), dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(state.std[:, 0], values.astype(np.float64).std(axis=(0, 2)), rtol=1e-6)


def test_level_does_not_matter_and_silence_is_finite(rng):
    front_end = features.build(CONFIG, RATE, WINDOW)
    samples = jnp.asarray(rng.standard_normal(WINDOW), jnp.float32)
    np.testing.assert_allclose(front_end.transform(samples), front_end.transform(0.01 * samples + 0.3), atol=0.1)
    chex.assert_tree_all_finite(front_end.transform(jnp.zeros(WINDOW)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "mfccs"}, "known are mfcc, log-mel"),
        ({"fmax": 1500.0}, "fmax"),
        ({"n_mfcc": 40}, "at least as many mel bands"),
        ({"mel_scale": "bark"}, "bark"),
        ({"dct": 4}, "4 is not a valid DctType"),
        ({"name": "song", "center_window": True}, "center_window would change"),
        ({"rows": 14}, "rows is 14, and there are 13"),
        ({"pool": 0}, "pool is 0"),
        ({"pool": 102}, "a window has 101 frames"),
        ({"name": "learnable", "fmax": 1500.0}, "fmax"),
        ({"name": "gammatone", "fmax": 1500.0}, "1000 Hz"),
        ({"name": "pcen", "pcen": {"eps": 0.0}}, "positive eps"),
        ({"band": {"order": 3, "low": 400.0, "high": 20.0}}, "low < high"),
    ],
)
def test_impossible_settings_say_what_to_change(change, message):
    changed = config.base().features
    changed.update(change)
    with pytest.raises(UserError, match=message):
        features.build(changed, RATE, WINDOW)


def named(name: str):
    settings = config.base().features
    settings.name = name
    return settings


@pytest.mark.parametrize("form", ["transform", "exportable"])
def test_centred_windows_do_not_tell_the_device(rng, form):
    settings = config.base().features
    settings.name, settings.top_db, settings.center_window = "log-mel", 200.0, True
    apply = jax.jit(getattr(features.build(settings, RATE, WINDOW), form))
    sound = rng.standard_normal((2, WINDOW)).astype(np.float32)
    device = scipy.signal.lfilter([1.0, 0.6], [1.0], sound).astype(np.float32)  # as short as a sample is to a frame
    heard, through = np.asarray(apply(sound)), np.asarray(apply(device))
    np.testing.assert_allclose(heard.mean(axis=-1), 0, atol=1e-4)
    inner = np.s_[..., 3:-3]  # frames without what lies beyond the window's ends
    assert np.sqrt(np.mean((heard - through)[inner] ** 2)) < 0.05 * heard[inner].std()
    settings.center_window = False
    apply = jax.jit(getattr(features.build(settings, RATE, WINDOW), form))
    as_they_are = np.asarray(apply(sound), np.float64)
    np.testing.assert_allclose(heard, as_they_are - as_they_are.mean(axis=-1, keepdims=True), atol=1e-4)


@pytest.mark.parametrize("form", ["transform", "exportable"])
def test_fewer_rows_and_means_of_frames(rng, form):
    """101 frames are 33 means of 3; the last two are in none. Of 13 rows the first 5 are kept."""
    settings = config.base().features
    sound = jnp.asarray(rng.standard_normal((2, WINDOW)), jnp.float32)
    each = np.asarray(getattr(features.build(settings, RATE, WINDOW), form)(sound), np.float64)
    settings.rows, settings.pool = 5, 3
    front_end = features.build(settings, RATE, WINDOW)
    want = np.stack([each[:, :5, frame : frame + 3].mean(axis=-1) for frame in range(0, 99, 3)], axis=-1)
    assert front_end.shape == (5, 33)
    np.testing.assert_allclose(getattr(front_end, form)(sound), want, rtol=1e-5, atol=1e-3)


GENERAL = ("mfcc", "log-mel", "gammatone", "pcen", "learnable")
ROWS = {"mfcc": 13}


@pytest.mark.parametrize("name", GENERAL)
def test_general_front_ends_by_name(name, rng):
    front_end = features.build(named(name), RATE, 1500)
    assert front_end.shape == (ROWS.get(name, 26), 31)
    samples = rng.standard_normal((5, 1500)).astype(np.float32)
    state = front_end.fit(samples)
    got = jax.jit(lambda x: front_end.apply(state, x))(samples)
    np.testing.assert_allclose(got.mean(axis=(0, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(got.std(axis=(0, 2)), 1, atol=1e-3)
    chex.assert_tree_all_finite(front_end.transform(jnp.zeros(1500)))
    chex.assert_tree_all_finite(front_end.transform(jnp.ones(1500)))


@pytest.mark.parametrize("paper", [Paper.SONG, Paper.SARKHEL, Paper.BIRTON])
def test_recipes_by_name_are_left_as_the_paper_has_them(paper, rng):
    chosen = recipe(paper)
    front_end = features.build(named(paper.value), chosen.sample_rate, chosen.window)
    assert front_end.shape == chosen.shape
    samples = jnp.asarray(rng.standard_normal((2, chosen.window)), jnp.float32)
    state = front_end.fit(np.asarray(samples))
    assert (state.mean.shape, state.std.shape) == ((chosen.shape[0], 1),) * 2
    want = np.asarray(chosen.transform(samples))
    np.testing.assert_allclose(front_end.apply(state, samples), want, atol=1e-4 * np.abs(want).max())


def test_recipes_want_their_own_window_and_warn_of_empty_filters():
    with pytest.raises(UserError, match=r"prepare\.sample_rate=1000 and config\.prepare\.window_seconds=2"):
        features.build(named("mahapatra"), RATE, WINDOW)
    with pytest.warns(UserWarning, match=r"mel filters \[0, 127\]"):
        assert features.build(named("mahapatra"), 1000, 2000).shape == (128, 63)


def test_every_name_is_known():
    assert set(features.NAMES) == {*GENERAL, *(paper.value for paper in Paper)}


def test_learnable_bands_are_fitted_stored_and_differentiable(rng):
    """Two tones: the bands go where they are, and gradients of the features reach centres and widths."""
    settings = named("learnable")
    settings.n_mels = 2
    front_end = features.build(settings, RATE, 2000)
    time = np.arange(2000) / RATE
    tones = np.sin(2 * np.pi * 100 * time) + np.sin(2 * np.pi * 300 * time)
    samples = (tones + 1e-3 * rng.standard_normal((4, 2000))).astype(np.float32)
    state = front_end.fit(samples)
    # Neighbours from fmin 20 to fmax 500 that touch where half of the energy is: between the tones.
    border = 2 * state.center[0] - 20
    assert 95 < border < 305
    np.testing.assert_allclose(2 * state.center[1], border + 500, rtol=1e-5)
    stored = features.FeatureState(**{name: np.array(value) for name, value in state._asdict().items()})
    one = jnp.asarray(samples[0])
    np.testing.assert_array_equal(front_end.apply(stored, one), front_end.apply(state, one))

    def loss(state):
        return jnp.square(front_end.apply(state, one)).sum()

    gradient = jax.jit(jax.grad(loss))(state)
    chex.assert_tree_all_finite(gradient)
    assert (np.abs(gradient.center) > 0).all()
    assert (np.abs(gradient.width) > 0).all()


def test_mfcc_s_state_is_mean_and_deviation_as_ever(rng):
    state = features.build(CONFIG, RATE, WINDOW).fit(rng.standard_normal((2, WINDOW)).astype(np.float32))
    assert state.bands is None
    assert features.FeatureState(state.mean, state.std).bands is None
