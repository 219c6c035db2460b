import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import onnxruntime
import pytest
import scipy.signal
from ai_edge_litert.interpreter import Interpreter

from hsjax.dsp.fourier import Backend, istft, magnitude_spectrum, power_spectrum, stft, stft_parts
from hsjax.dsp.frames import Padding, frame_count
from hsjax.dsp.windows import Window
from hsjax.export import onnx, tflite

# n_fft, hop and options: each window and padding; frames of whole hops, of hops and a rest, of one hop, of many.
OPTIONS = [
    (256, 50, {}),
    (256, 64, {"window": Window.HAMMING, "padding": Padding.CENTER_REFLECT}),
    (255, 60, {"window": Window.BLACKMAN, "padding": Padding.NONE}),
    (512, 256, {"window": Window.BLACKMAN_HARRIS}),
    (200, 67, {"window": Window.FLAT_TOP}),
    (128, 100, {"window": Window.RECTANGULAR}),
    (128, 30, {"window": Window.RECTANGULAR, "padding": Padding.NONE}),
    (256, 50, {"win_length": 201, "padding": Padding.CENTER_REFLECT}),
    (255, 20, {"window": Window.TUKEY}),
    (129, 10, {"window": Window.BARTLETT}),
    (64, 100, {"window": Window.COSINE}),
]


def librosa_s(samples, n_fft, hop, window=Window.HANN, win_length=None, padding=Padding.CENTER):
    """Computed in float64, (..., frames, bins)."""
    mode = "reflect" if padding is Padding.CENTER_REFLECT else "constant"
    spectrum = librosa.stft(
        np.asarray(samples, np.float64), n_fft=n_fft, hop_length=hop, win_length=win_length, window=window.value,
        center=padding is not Padding.NONE, pad_mode=mode, dtype=np.complex128,
    )  # fmt: skip
    return np.swapaxes(spectrum, -1, -2)


def close(got, want, tolerance):
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())


@pytest.fixture
def check(quick):
    """Both backends against librosa."""

    def check(samples, n_fft, hop, options, tolerance):
        want = librosa_s(samples, n_fft, hop, **options)
        both = quick(lambda x: [stft(x, n_fft, hop, **options, backend=backend) for backend in Backend])
        for got in both(samples):
            assert got.shape[-2] == frame_count(samples.shape[-1], n_fft, hop, options.get("padding", Padding.CENTER))
            assert got.dtype == np.result_type(samples, np.complex64)
            close(got, want, tolerance)

    return check


@pytest.mark.parametrize(("n_fft", "hop", "options"), OPTIONS)
def test_is_librosa_s_in_double_precision(check, n_fft, hop, options, rng):
    with jax.enable_x64(True):
        check(rng.standard_normal((2, 611)), n_fft, hop, options, 1e-9)


@pytest.mark.realdata
@pytest.mark.parametrize("dataset", range(6))
def test_of_real_recordings_is_librosa_s(check, dataset, recordings):
    """Of each dataset at its rate, of odd length; every option by turns, in both precisions."""
    samples, _ = sorted(recordings.items())[dataset][1]
    samples = samples[-min(len(samples), 2001 + 2 * dataset) :]
    for n_fft, hop, options in OPTIONS[dataset::6]:
        check(samples.astype(np.float32), n_fft, hop, options, 1e-4)
    with jax.enable_x64(True):
        check(samples, 256, 50, {}, 1e-9)


@pytest.mark.realdata
def test_power_of_real_recordings_in_db_is_librosa_s(quick, recordings):
    """The transform of hops adds up bins that have no window yet: what leaks among them must not stay."""
    both = quick(lambda x: [power_spectrum(x, 256, 50, backend=backend) for backend in Backend])
    for samples, _ in recordings.values():
        single = samples[:2001].astype(np.float32)
        want = np.abs(librosa_s(single, 256, 50)) ** 2
        loud = want > 1e-5 * want.max()
        for got in both(single):
            np.testing.assert_allclose(10 * np.log10(got[loud]), 10 * np.log10(want[loud]), atol=1e-3)


@hypothesis.settings(max_examples=10, deadline=None, derandomize=True)
@hypothesis.given(
    time=st.integers(150, 300),
    n_fft=st.integers(2, 140),
    hops_per_frame=st.floats(0.7, 9.5),
    window=st.sampled_from(Window),
    padding=st.sampled_from([Padding.NONE, Padding.CENTER, Padding.CENTER_REFLECT]),
)
def test_any_lengths_are_librosa_s(quick, time, n_fft, hops_per_frame, window, padding):
    hop = max(1, int(n_fft / hops_per_frame))
    samples = np.random.default_rng(time).standard_normal(time)
    want = librosa_s(samples, n_fft, hop, window, padding=padding)
    with jax.enable_x64(True):
        got = quick(lambda x: stft(x, n_fft, hop, window, padding=padding, backend=Backend.DFT))(samples)
    close(got, want, 1e-9)


@pytest.mark.parametrize(("nperseg", "noverlap"), [(256, 128), (255, 100)])
def test_padding_scipy_is_scipy_s(quick, nperseg, noverlap, rng):
    samples = rng.standard_normal(1111)
    _, _, want = scipy.signal.stft(samples, nperseg=nperseg, noverlap=noverlap, window="hann")
    scale = scipy.signal.get_window("hann", nperseg).sum()
    with jax.enable_x64(True):
        got = quick(lambda x: stft(x, nperseg, nperseg - noverlap, padding=Padding.SCIPY))(samples)
    close(np.asarray(got) / scale, want.T, 1e-9)


@pytest.mark.parametrize("options", [{}, {"window": Window.TUKEY}])
def test_chosen_bins_power_and_magnitude(quick, options, rng):
    samples = rng.standard_normal(1500).astype(np.float32)
    want = librosa_s(samples, 256, 50, **options)
    some = (slice(3, 40), slice(1, None, 2), slice(120, None), slice(5, 5), slice(-4, -1))
    parts = quick(lambda x: [stft_parts(x, 256, 50, bins, **options) for bins in some])(samples)
    for bins, (real, imaginary) in zip(some, parts, strict=True):
        assert real.shape == want[:, bins].shape
        if real.size:
            close(np.asarray(real) + 1j * np.asarray(imaginary), want[:, bins], 1e-4)

    def levels(x):
        arguments = [(x, 256, 50, some[0])] * len(Backend)
        return [
            [f(*a, **options, backend=b) for a, b in zip(arguments, Backend, strict=True)]
            for f in (power_spectrum, magnitude_spectrum)
        ]

    power, magnitude = quick(levels)(samples)
    for got in power:
        close(got, np.abs(want[:, some[0]]) ** 2, 1e-4)
    for got in magnitude:
        close(got, np.abs(want[:, some[0]]), 1e-4)


@pytest.mark.parametrize(
    ("n_fft", "hop", "options"),
    [
        (256, 50, {}),
        (255, 85, {"window": Window.HAMMING, "padding": Padding.NONE}),
        (256, 100, {"padding": Padding.CENTER_REFLECT, "win_length": 220}),
        (200, 60, {"padding": Padding.SCIPY, "window": Window.BLACKMAN}),
        (128, 128, {"padding": Padding.END, "window": Window.RECTANGULAR}),
    ],
)
def test_the_inverse_reconstructs(quick, n_fft, hop, options, rng):
    samples = rng.standard_normal((2, 611)).astype(np.float32)
    padded = options.get("padding") is not Padding.NONE

    def there_and_back(x):
        spectrum = stft(x, n_fft, hop, **options)
        lengths = (None, 611) if padded else (None,)
        return [istft(spectrum, n_fft, hop, **options, length=length) for length in lengths]

    whole, *exact = quick(there_and_back)(samples)
    inside = min(611, whole.shape[-1])
    assert inside >= 611 - hop
    close(whole[..., :inside], samples[..., :inside], 1e-5)
    for got in exact:
        close(got, samples, 1e-5)


@pytest.mark.realdata
def test_the_inverse_reconstructs_real_recordings(quick, recordings):
    there_and_back = quick(lambda x: istft(stft(x, 256, 64), 256, 64, length=x.shape[-1]))
    for samples, _ in recordings.values():
        close(there_and_back(samples[:1999].astype(np.float32)), samples[:1999], 1e-5)
    with jax.enable_x64(True):
        close(there_and_back(samples[:1999]), samples[:1999], 1e-12)


def test_the_inverse_of_a_changed_spectrum_is_librosa_s(quick, rng):
    spectrum = rng.standard_normal((18, 129)) + 1j * rng.standard_normal((18, 129))
    spectrum[:, [0, -1]] = spectrum[:, [0, -1]].real
    with jax.enable_x64(True):
        for length in (None, 1050):
            want = librosa.istft(spectrum.T, n_fft=256, hop_length=64, win_length=200, window="hamming", length=length)
            got = quick(lambda s, n=length: istft(s, 256, 64, Window.HAMMING, 200, length=n))(spectrum)
            close(got, want, 1e-9)


def test_no_inverse_where_the_windows_leave_gaps():
    spectrum = jnp.ones((4, 129), jnp.complex64)
    with pytest.raises(ValueError, match=r"do not cover.*shorten the hop of 256"):
        istft(spectrum, 256, 256)
    with pytest.raises(ValueError, match=r"or compute the spectrum with padding, got Padding\.NONE"):
        istft(spectrum, 256, 64, padding=Padding.NONE)  # Hann begins at zero
    with pytest.raises(ValueError, match="4 frames do not cover 1000 samples"):
        istft(spectrum, 256, 64, length=1000)
    with pytest.raises(ValueError, match="= 127 bins, got 129"):
        istft(spectrum, 252, 64)
    with pytest.raises(ValueError, match="got 4, 0"):
        istft(spectrum, 256, 0)


@pytest.mark.parametrize("window", [Window.HANN, Window.TUKEY])
def test_gradients_are_those_of_finite_differences(check_gradient, window, rng):
    def spectra(x):
        options = {"n_fft": 16, "hop_length": 5, "window": window}
        return [
            (
                magnitude_spectrum(x, backend=backend, **options),
                power_spectrum(x, backend=backend, padding=Padding.CENTER_REFLECT, **options),
            )
            for backend in Backend
        ]

    with jax.enable_x64(True):
        check_gradient(spectra, rng.standard_normal(40))


def test_gradients_of_the_inverse_are_those_of_finite_differences(check_gradient, rng):
    with jax.enable_x64(True):
        parts = rng.standard_normal((2, 6, 9))
        check_gradient(lambda x: istft(jax.lax.complex(x[0], x[1]), 16, 5), parts)


@pytest.mark.parametrize("backend", list(Backend))
def test_degenerate_input(quick, backend):
    options = {"n_fft": 16, "hop_length": 4, "backend": backend}
    power = quick(functools.partial(power_spectrum, **options))
    for function in (power_spectrum, magnitude_spectrum):
        silent = quick(jax.value_and_grad(lambda x, f=function: f(x, **options).sum()))(jnp.zeros(80))
        for value in silent:
            np.testing.assert_array_equal(value, 0.0)
    np.testing.assert_allclose(power(jnp.ones(80))[2:-2, :3], [[64.0, 16.0, 0.0]] * 17, atol=1e-4)  # of 16 Hann samples
    assert np.isfinite(power(jnp.sign(jnp.sin(jnp.arange(80.0))))).all()  # clipped
    spread = np.isnan(power(jnp.zeros(80).at[40].set(jnp.nan)))
    assert spread.all(axis=1).tolist() == spread.any(axis=1).tolist()
    assert np.flatnonzero(spread.any(axis=1)).tolist() == [9, 10, 11, 12]
    assert power(jnp.ones(1)).shape == (1, 9)
    assert jax.eval_shape(functools.partial(stft, **options), jnp.ones(40, jnp.bfloat16)).dtype == jnp.complex64
    for bad, message in ((jnp.ones(0), "got none"), (jnp.ones(7), "fewer than one frame")):
        with pytest.raises(ValueError, match=message):
            power_spectrum(bad, padding=Padding.NONE, **options)
    with pytest.raises(ValueError, match="win_length between 1 and n_fft = 16, got 17"):
        stft(jnp.ones(40), win_length=17, **options)


def test_is_the_same_under_vmap(quick, rng):
    samples = rng.standard_normal((2, 3, 100)).astype(np.float32)
    power = functools.partial(power_spectrum, n_fft=16, hop_length=5)
    got, want = quick(lambda x: (jax.vmap(power)(x), power(x)))(samples)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    assert power(jnp.zeros((0, 100))).shape == (0, 21, 9)


def exported(function, samples):
    """What TFLite and, for the whole batch, ONNX Runtime compute."""
    model = tflite.float32(function, (1, samples.shape[1]))
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    lite = []
    for one in samples:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], one[None])
        interpreter.invoke()
        lite.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    session = onnxruntime.InferenceSession(onnx.from_tflite(model))
    return np.stack(lite), session.run(None, {session.get_inputs()[0].name: samples})[0]


def test_converts_to_tflite_and_onnx(rng):
    """From hops and from frames, mirrored ends and a square root."""
    samples = rng.standard_normal((2, 1111)).astype(np.float32)

    def both(x):
        hops = power_spectrum(x, 256, 50, slice(2, 40), padding=Padding.CENTER_REFLECT)
        frames = magnitude_spectrum(x, 256, 50, slice(2, 40), window=Window.TUKEY)
        return jnp.concatenate([hops / 1e4, frames / 1e2], axis=-1)

    hops = np.abs(librosa_s(samples, 256, 50, padding=Padding.CENTER_REFLECT))[..., 2:40] ** 2
    frames = np.abs(librosa_s(samples, 256, 50, window=Window.TUKEY))[..., 2:40]
    for got in exported(both, samples):
        close(got, np.concatenate([hops / 1e4, frames / 1e2], axis=-1), 1e-4)
