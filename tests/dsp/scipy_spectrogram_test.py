import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
import scipy.signal
from ai_edge_litert.interpreter import Interpreter

from hsjax.dsp.fourier import Backend
from hsjax.dsp.scipy_spectrogram import (
    Detrend,
    Mode,
    Scaling,
    spectrogram,
    spectrogram_frequencies,
    spectrogram_times,
)
from hsjax.dsp.windows import Window
from hsjax.export import onnx, tflite

# Even and odd segments, transforms of their length, longer even and longer odd; every value of every option.
OPTIONS = [
    {},
    {"nperseg": 255, "noverlap": 100, "detrend": Detrend.LINEAR, "mode": Mode.MAGNITUDE},
    {"nperseg": 64, "noverlap": 50, "nfft": 100, "scaling": Scaling.SPECTRUM, "window": Window.HANN},
    {"nperseg": 129, "noverlap": 0, "nfft": 201, "detrend": Detrend.NONE, "mode": Mode.COMPLEX},
    {"nperseg": 128, "noverlap": 64, "scaling": Scaling.SPECTRUM, "mode": Mode.MAGNITUDE, "window": Window.HAMMING},
    {"nperseg": 101, "detrend": Detrend.LINEAR, "scaling": Scaling.SPECTRUM, "mode": Mode.COMPLEX},
    {"nperseg": 98, "nfft": 101},
]


def scipy_s(samples, rate, detrend=Detrend.CONSTANT, **options):
    named = {key: getattr(value, "value", value) for key, value in options.items()}
    named["detrend"] = False if detrend is Detrend.NONE else detrend.value
    return scipy.signal.spectrogram(samples, rate, **named)


@pytest.fixture
def check(quick):
    """Both backends against scipy."""

    def check(samples, rate, options, tolerance):
        frequencies, times, want = scipy_s(samples.astype(np.float64), rate, **options)
        both = quick(lambda x: [spectrogram(x, rate, **options, backend=backend) for backend in Backend])
        for got in both(samples):
            np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())
        nperseg = options.get("nperseg", 256)
        np.testing.assert_allclose(spectrogram_frequencies(rate, options.get("nfft", nperseg)), frequencies, atol=1e-9)
        got = spectrogram_times(len(samples), rate, nperseg, options.get("noverlap"))
        np.testing.assert_allclose(got, times, atol=1e-9)

    return check


@pytest.mark.parametrize("options", OPTIONS)
def test_is_scipy_s_in_double_precision(check, options, rng):
    with jax.enable_x64(True):
        check(5 + rng.standard_normal(611), 997, options, 1e-9)  # an offset, so that it is seen whether it is taken out


@pytest.mark.realdata
@pytest.mark.parametrize("dataset", range(6))
def test_of_real_recordings_is_scipy_s(check, dataset, recordings):
    """Of each dataset at its rate, of odd length; every option by turns."""
    samples, rate = sorted(recordings.items())[dataset][1]
    samples = samples[: min(len(samples), 2001 + 2 * dataset)]
    for options in OPTIONS[dataset::6]:
        check(samples.astype(np.float32), rate, options, 1e-4)
    with jax.enable_x64(True):
        check(samples, rate, {}, 1e-9)


@pytest.mark.realdata
def test_logarithms_of_real_recordings_are_scipy_s(quick, recordings):
    """As papers use it."""
    both = quick(lambda x: [spectrogram(x, 1, backend=backend) for backend in Backend])
    for samples, _ in recordings.values():
        single = samples[:2001].astype(np.float32)
        _, _, want = scipy_s(single.astype(np.float64), 1)
        loud = want > 1e-6 * want.max()  # below that float32 has no digits left, whoever computes it
        for got in both(single):
            got = np.log10(np.asarray(got, np.float64) + 1e-11)
            np.testing.assert_allclose(got[loud], np.log10(want + 1e-11)[loud], atol=1e-4)


def test_the_angle_is_scipy_s(quick, rng):
    samples = rng.standard_normal(300)
    _, _, want = scipy_s(samples, 997, nperseg=64, mode=Mode.ANGLE)
    with jax.enable_x64(True):
        angles = quick(lambda x: [spectrogram(x, 997, 64, mode=Mode.ANGLE, backend=backend) for backend in Backend])
        for got in angles(samples):
            np.testing.assert_allclose(got, want, atol=1e-8)


def test_gradients_are_those_of_finite_differences(check_gradient, rng):
    options = {"sample_rate": 10, "nperseg": 16, "detrend": Detrend.LINEAR}

    def spectra(x):
        modes = (Mode.PSD, Mode.MAGNITUDE)
        return [spectrogram(x, **options, mode=mode, backend=backend)[1:] for mode in modes for backend in Backend]

    with jax.enable_x64(True):
        check_gradient(spectra, rng.standard_normal(40))


def test_degenerate_input(quick):
    for mode in (Mode.PSD, Mode.MAGNITUDE, Mode.ANGLE):
        function = quick(jax.value_and_grad(lambda x, m=mode: spectrogram(x, 10, 16, mode=m).sum()))
        for value in function(jnp.zeros(40)):
            np.testing.assert_array_equal(value, 0.0)
    function = quick(lambda x: spectrogram(x, 10, 16, 0))
    np.testing.assert_array_equal(function(jnp.ones(64)), 0.0)  # a constant is its mean
    assert np.isfinite(function(jnp.sign(jnp.sin(jnp.arange(64.0))))).all()  # clipped
    spread = np.isnan(function(jnp.zeros(64).at[33].set(jnp.nan)))
    assert spread.all(axis=0).tolist() == spread.any(axis=0).tolist() == [False, False, True, False]
    one_sample = quick(lambda x: [spectrogram(x, 10, 1, detrend=detrend) for detrend in Detrend])
    assert [got.tolist() for got in one_sample(jnp.ones(1))] == [[[0.0]], [[0.0]], [[pytest.approx(0.1)]]]
    shape = jax.eval_shape(lambda x: spectrogram(x, 10, 16), jnp.ones((2, 0, 40), jnp.float16))
    assert (shape.shape, shape.dtype) == ((2, 0, 9, 2), jnp.float32)


@pytest.mark.parametrize(
    ("time", "options", "message"),
    [
        (15, {}, "15 samples are fewer than one frame of 16"),
        (0, {}, "got none"),
        (40, {"noverlap": 16}, "0 <= noverlap < nperseg, got 16, 16"),
        (40, {"noverlap": -1}, "0 <= noverlap < nperseg, got -1, 16"),
        (40, {"nfft": 15}, "shorter than the frame: 15 < 16"),
        (40, {"sample_rate": 0}, "positive sample rate, got 0"),
    ],
)
def test_impossible_arguments_say_so(time, options, message):
    with pytest.raises(ValueError, match=message):
        spectrogram(jnp.ones(time), **{"sample_rate": 10, "nperseg": 16, **options})


def test_converts_to_tflite_and_onnx(rng):
    samples = rng.standard_normal((2, 1111)).astype(np.float32)
    options = {"nperseg": 128, "noverlap": 64, "nfft": 150, "detrend": Detrend.LINEAR}
    _, _, want = scipy_s(samples.astype(np.float64), 997, **options)
    model = tflite.float32(lambda x: spectrogram(x, 997, **options), (1, 1111))
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], samples[:1])
    interpreter.invoke()
    lite = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(lite, want[:1], rtol=0, atol=1e-4 * want.max())
    session = onnxruntime.InferenceSession(onnx.from_tflite(model))
    got = session.run(None, {session.get_inputs()[0].name: samples})[0]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * want.max())
