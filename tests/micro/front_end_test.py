"""Generated C front ends against SciPy and librosa in float64, and against JAX."""

import subprocess
import warnings

import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.signal

from hsjax import features
from hsjax.features import FeatureState
from hsjax.micro import reference
from hsjax.micro.design import design
from hsjax.micro.front_end_file import FrontEndFile
from hsjax.types import UserError
from tests.micro import compiled as c

# Frames short and long, hops that divide them and that do not, both scales, another cosine transform, a liftering.
SETTINGS = {
    "mfcc": (2000, 5000, {}),
    "log-mel": (2000, 5000, {"name": "log-mel", "top_db": 60.0}),
    "short": (
        1000,
        777,
        {
            "n_fft": 64,
            "hop_length": 25,
            "n_mels": 12,
            "n_mfcc": 10,
            "band": {"order": 2, "low": 25.0, "high": 300.0},
            "mel_scale": "slaney",
            "dct": 3,
            "lifter": 22.0,
        },
    ),
    "long": (4000, 6000, {"name": "log-mel", "n_fft": 1024, "hop_length": 1100, "n_mels": 40, "fmax": 2000.0}),
}


def by_librosa(settings, rate: int, samples: np.ndarray) -> np.ndarray:
    """The features of one window before normalisation, in float64."""
    centred = samples - samples.mean()
    sections = scipy.signal.butter(
        settings.band.order, (settings.band.low, settings.band.high), "bandpass", fs=rate, output="sos"
    )
    filtered = scipy.signal.sosfilt(sections, centred)
    scaled = filtered / max(np.sqrt(np.mean(filtered**2)), 1e-8)
    power = librosa.feature.melspectrogram(
        y=scaled,
        sr=rate,
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        n_mels=settings.n_mels,
        fmin=settings.fmin,
        fmax=settings.fmax,
        htk=settings.mel_scale == "htk",
        pad_mode="constant",
        dtype=np.float64,
    )
    level = librosa.power_to_db(power, top_db=settings.top_db)
    if settings.name == "log-mel":
        return level
    return librosa.feature.mfcc(
        S=level, n_mfcc=settings.n_mfcc, dct_type=settings.dct, lifter=settings.lifter, norm="ortho"
    )


def heart_like(rng, rate: int, window: int, n: int) -> np.ndarray:
    """int16 windows of bursts between 30 and 250 Hz over noise, on an offset, quiet ones and loud ones."""
    time = np.arange(window) / rate
    made = []
    for k in range(n):
        bursts = np.exp(-(((time[:, None] - rng.uniform(0, time[-1], 6)) / 0.03) ** 2))
        tones = np.sin(2 * np.pi * rng.uniform(30, 250, 6) * time[:, None])
        sound = (bursts * tones).sum(axis=1) + 10.0 ** -rng.uniform(1, 3) * rng.normal(size=window)
        made.append(sound * 20_000 * 10.0 ** (-(k % 4) / 1.5) + rng.uniform(-3000, 3000))
    return np.clip(np.round(made), -32768, 32767).astype(np.int16)


@pytest.fixture(scope="module", params=SETTINGS)
def made(request, tmp_path_factory):
    """A compiled front end with windows, their features by librosa, and the fitted normalisation."""
    rate, window, changes = SETTINGS[request.param]
    settings = c.settings(**changes)
    windows = heart_like(np.random.default_rng(1), rate, window, 12)
    raw = np.array([by_librosa(settings, rate, one / 32768) for one in windows])
    mean, std = (statistic(raw, axis=(0, 2)).astype(np.float32)[:, None] for statistic in (np.mean, np.std))
    expected = (raw - mean) / std
    quantisation = c.quantisation_of(expected)
    content = FrontEndFile(settings, rate, window, FeatureState(mean, std))
    folder = tmp_path_factory.mktemp(request.param)
    built, code = c.front_end_code(folder, content, quantisation)
    return content, built, code, windows, expected, quantisation


def test_the_reference_is_librosa_s(made):
    _, built, _, windows, expected, _ = made
    np.testing.assert_allclose(reference.features(built, windows / 32768), expected, atol=1e-8)


def test_single_precision_is_librosa_to_1e_4(made):
    _, _, code, windows, expected, _ = made
    single = code.single(windows)
    assert np.abs(single - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("made", ["log-mel", "short"], indirect=True)
def test_single_precision_is_what_jax_computes(made):
    content, _, code, windows, expected, _ = made
    front_end = features.build(content.features, content.sample_rate, content.window)
    ours = np.asarray(front_end.apply(content.state, jnp.asarray(windows / np.float32(32768))))
    # Twice the bound above: most of the difference is what JAX rounds.
    assert np.abs(code.single(windows) - ours).max() < 2.1e-4 * np.abs(expected).max()


def test_integers_are_librosa_to_one_step(made):
    _, _, code, windows, expected, quantisation = made
    steps = code.fixed(windows).astype(int) - quantisation.quantise(expected.astype(np.float32))
    assert np.abs(steps).max() <= 1
    assert (steps != 0).mean() < 0.03


def test_quantise_is_tflite_s(made, rng):
    *_, code, _, expected, quantisation = made
    size = expected[0].size
    values = np.concatenate([expected[0].ravel()[: size // 2], rng.normal(size=size - size // 2) * 20])
    ties = (np.arange(-40, 40) + 0.5) * np.float32(quantisation.scale)
    values[: len(ties)] = ties
    values = values.astype(np.float32)
    np.testing.assert_array_equal(code.quantise(values), quantisation.quantise(values))


def test_silence_and_constants_are_the_floor(made):
    content, built, code, *_, quantisation = made
    state = content.state
    levels = np.full((built.filters.shape[1], built.frames), -100.0)
    floor = levels if built.cepstrum is None else built.cepstrum.T @ levels
    expected = (floor - state.mean) / state.std
    for value in (0, 1, -1234, 32767, -32768):
        window = np.full((1, content.window), value, np.int16)
        np.testing.assert_allclose(code.single(window)[0], expected, atol=1e-4 * np.abs(expected).max())
        steps = code.fixed(window)[0].astype(int) - quantisation.quantise(expected.astype(np.float32))
        assert np.abs(steps).max() <= 1


def extremes(rng, window: int) -> np.ndarray:
    """What is as large, as small and as sudden as int16 can be."""
    square = np.where(np.arange(window) // 20 % 2, 32767, -32768)
    alternating = np.where(np.arange(window) % 2, 32767, -32768)
    step = np.where(np.arange(window) < window // 2, -32768, 32767)
    noise = rng.integers(-32768, 32768, window)
    single = np.zeros(window)
    single[window // 3] = 1
    least = rng.integers(-1, 2, window)
    half = np.where(np.arange(window) < window // 2, noise, 0)
    return np.array([square, alternating, step, noise, single, least, half]).astype(np.int16)


def test_extremes(made, rng):
    content, built, code, *_, quantisation = made
    windows = extremes(rng, content.window)
    expected = reference.features(built, windows / 32768)
    steps = code.fixed(windows).astype(int) - quantisation.quantise(expected.astype(np.float32))
    assert np.abs(steps).max() <= 2
    assert (np.abs(steps) > 1).mean() < 0.005
    assert np.abs(code.single(windows) - expected).max() < 1e-3 * np.abs(expected).max()


def test_no_overflow_and_no_access_beyond_the_ends(made, rng):
    content, built, code, windows, *_ = made
    (code.folder / "checked.c.txt").write_text(CHECKED)
    c.compile_c(
        code.folder, *c.SANITIZERS, "-xc", "checked.c.txt", "hs_front_end_fixed.c", "hs_front_end_float.c", "-o", "run"
    )
    given = np.concatenate([extremes(rng, content.window), windows[:3], worst(built, content.window)])
    done = subprocess.run([code.folder / "run"], input=given.tobytes(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    results = np.frombuffer(done.stdout, np.int8).reshape(len(given), *built.shape)
    np.testing.assert_array_equal(results, code.fixed(given))


def worst(built, window: int) -> np.ndarray:
    """The input that makes the filter's output largest at the end, and its negative: the signs of its response."""
    impulse = np.zeros(window)
    impulse[0] = 1
    signs = np.sign(scipy.signal.sosfilt(built.sections, impulse))[::-1]
    return np.where(np.array([signs, -signs]) > 0, 32767, -32768).astype(np.int16)


CHECKED = """
#include <stdio.h>
#include "hs_front_end.h"
static int16_t samples[HS_WINDOW];
static int8_t quantised[HS_FEATURES];
static float features[HS_FEATURES];
static hs_fixed_scratch fixed_scratch;
static hs_float_scratch float_scratch;
int main(void) {
  while (fread(samples, sizeof samples, 1, stdin) == 1) {
    hs_features_float(samples, features, &float_scratch);
    hs_quantise(features, quantised);
    hs_features_fixed(samples, quantised, &fixed_scratch);
    if (fwrite(quantised, sizeof quantised, 1, stdout) != 1) return 1;
  }
  return 0;
}
"""


def test_the_integer_version_needs_no_library(made):
    folder = made[2].folder
    c.compile_c(folder, "-c", "hs_front_end_fixed.c", "-o", "fixed.o")
    needed = c.output(folder, "nm", "-u", "fixed.o")
    assert set(needed.split()) - {"U"} <= {"memset", "memcpy"}  # which compilers make of loops
    assert not {"float", "double"} & set((folder / "hs_front_end_fixed.c").read_text().split())


@pytest.mark.parametrize("made", ["mfcc"], indirect=True)
def test_flash_and_memory(made):
    folder = made[2].folder
    for name, most in (("fixed", 6 * 1024), ("float", 7 * 1024)):
        c.compile_c(folder, "-Os", "-c", f"hs_front_end_{name}.c", "-o", f"{name}.o")
        sizes = c.output(folder, "size", f"{name}.o")
        text, data, bss = map(int, sizes.splitlines()[1].split()[:3])
        assert text < most  # code and tables; half of it on a Cortex-M4
        assert (data, bss) == (0, 0)  # nothing but what the caller gives


def test_the_headers_are_c_plus_plus_too(made):
    folder = made[2].folder
    (folder / "main.cc").write_text('#include "hs_front_end.h"\n#include "hs_stream.h"\nint main() { return 0; }\n')
    command = [c.program("g++"), "-std=c++17", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "main.cc"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def state_of(settings) -> FeatureState:
    coefficients = settings.n_mels if settings.name == "log-mel" else settings.n_mfcc
    return FeatureState(np.zeros((coefficients, 1), np.float32), np.ones((coefficients, 1), np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "pcen"}, "C code for the front ends mfcc and log-mel, not for 'pcen'"),
        ({"name": "song"}, "not for 'song'"),
        ({"center_window": True}, "no C code for config.features.center_window"),
        ({"rows": 8}, "no C code for config.features.rows"),
        ({"pool": 2}, "no C code for config.features.pool"),
        ({"n_fft": 250}, "n_fft is 250; C code takes powers of two"),
        ({"n_fft": 4096}, "n_fft is 4096"),
    ],
)
def test_what_there_is_no_code_for(changes, message):
    settings = c.settings(**changes)
    with pytest.raises(UserError, match=message):
        design(FrontEndFile(settings, 2000, 5000, state_of(settings)))


@pytest.mark.parametrize("changes", [{"band": {"order": 3, "low": 0.3, "high": 400.0}}])
def test_a_filter_that_rings_too_long_for_integers(changes, tmp_path):
    settings = c.settings(**changes)
    content = FrontEndFile(settings, 2000, 5000, state_of(settings))
    with pytest.raises(UserError, match="rings for too long to be computed in integers"):
        c.front_end_code(tmp_path, content, c.Quantisation(0.05, 0))


def test_a_coefficient_that_never_varied(tmp_path):
    settings = c.settings()
    state = state_of(settings)
    state.std[3] = 1e-6
    with pytest.raises(UserError, match=r"coefficient 3 .* did not vary"):
        c.front_end_code(tmp_path, FrontEndFile(settings, 2000, 5000, state), c.Quantisation(0.05, 0))


def test_bands_between_the_bins_are_the_floor(tmp_path, rng):
    settings = c.settings(name="log-mel", n_fft=64, n_mels=40, top_db=200.0)
    content = FrontEndFile(settings, 2000, 1000, state_of(settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        built, code = c.front_end_code(tmp_path, content, c.Quantisation(1.0, 0))
    empty = ~built.filters.any(axis=0)
    assert empty.any()
    windows = heart_like(rng, 2000, 1000, 2)
    assert (code.fixed(windows)[:, empty] == -100).all()
    np.testing.assert_allclose(code.single(windows)[:, empty], -100, rtol=1e-6)
