import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from hsjax.dsp.design import Band, butterworth
from hsjax.dsp.sos import (
    Extension,
    Form,
    direct_form_state,
    from_direct_form_state,
    initial_state,
)
from hsjax.dsp.sos import sos_filter as plain_sos_filter
from hsjax.dsp.sos import sos_filter_with_state as plain_sos_filter_with_state
from hsjax.dsp.sos import zero_phase as plain_zero_phase

HEART = butterworth(3, (25, 400), 2000)
BASELINE = butterworth(3, 0.5, 360, Band.HIGHPASS)  # a pole 0.009 from the unit circle, and a first-order section
FILTERS = [
    HEART,
    BASELINE,
    butterworth(1, 20, 2000, Band.LOWPASS),
    butterworth(4, (55, 65), 360, Band.BANDSTOP),
    butterworth(8, 100, 44100, Band.LOWPASS),  # section gains of 1e-17 to 1
]
FORMS = list(Form)


# One compilation a call, where op by op there would be fifty.
@pytest.fixture
def sos_filter(quick):
    return lambda x, sections, form=Form.BLOCK: quick(lambda x: plain_sos_filter(x, sections, form))(x)


@pytest.fixture
def sos_filter_with_state(quick):
    return lambda x, sections, state: quick(lambda x, s: plain_sos_filter_with_state(x, sections, s))(x, state)


@pytest.fixture
def zero_phase(quick):
    def run(samples, sections, lengths=None, **settings):
        return quick(lambda x, n: plain_zero_phase(x, sections, lengths=n, **settings))(samples, lengths)

    return run


@pytest.fixture(params=[False, True], ids=["float32", "float64"])
def precision(request):
    with jax.enable_x64(request.param):
        yield (np.float64, 1e-9) if request.param else (np.float32, 1e-4)


def walk(rng, *shape):
    return rng.standard_normal(shape).cumsum(-1) * 0.1 + 3


@pytest.mark.parametrize("form", FORMS)
def test_is_scipy_s(quick, rng, precision, form):
    dtype, atol = precision
    samples = walk(rng, 2, 1301).astype(dtype)
    exact = samples.astype(np.float64)
    filters = FILTERS if form is Form.BLOCK and dtype == np.float64 else FILTERS[:2]
    run = quick(lambda x: [(plain_sos_filter(x, s, form), plain_zero_phase(x, s, form=form)) for s in filters])
    for sections, (got, both) in zip(filters, run(jnp.asarray(samples)), strict=True):
        assert got.dtype == both.dtype == dtype
        np.testing.assert_allclose(got, scipy.signal.sosfilt(sections, exact), atol=atol)
        np.testing.assert_allclose(both, scipy.signal.sosfiltfilt(sections, exact), atol=atol)


@pytest.mark.parametrize("time", [1, 22])
def test_short_signals_are_filtered(sos_filter, zero_phase, rng, time):
    samples = walk(rng, 2, time).astype(np.float32)
    exact = samples.astype(np.float64)
    np.testing.assert_allclose(sos_filter(jnp.asarray(samples), HEART), scipy.signal.sosfilt(HEART, exact), atol=1e-5)
    if time > 21:
        want = scipy.signal.sosfiltfilt(HEART, exact)
        np.testing.assert_allclose(zero_phase(jnp.asarray(samples), HEART), want, atol=1e-5)


@pytest.mark.realdata
def test_zero_phase_is_scipy_s_on_recordings(quick, recordings, precision):
    dtype, atol = precision
    filters = {
        name: BASELINE if name == "mitdb" else butterworth(3, (25, min(400, 0.4 * rate)), rate)
        for name, (_, rate) in recordings.items()
    }
    given = {name: samples[:11999].astype(dtype) for name, (samples, _) in recordings.items()}
    run = quick(lambda given: {name: plain_zero_phase(x, filters[name]) for name, x in given.items()})
    for name, got in run(given).items():
        want = scipy.signal.sosfiltfilt(filters[name], given[name].astype(np.float64))
        np.testing.assert_allclose(got, want, atol=atol, err_msg=name)


@pytest.mark.parametrize("padding", list(Extension))
def test_paddings_are_scipy_s(zero_phase, rng, padding):
    samples = walk(rng, 3, 90).astype(np.float32)
    padtype = None if padding is Extension.NONE else padding.value
    for length in [40] if padding is not Extension.NONE else [None]:
        want = scipy.signal.sosfiltfilt(HEART, samples.astype(np.float64), padtype=padtype, padlen=length)
        got = zero_phase(jnp.asarray(samples), HEART, padding=padding, padding_length=length)
        np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize(
    ("padding", "form"), [*((padding, Form.BLOCK) for padding in Extension), (Extension.ODD, Form.SCAN)]
)
def test_a_recording_in_a_longer_batch_is_filtered_as_if_alone(zero_phase, rng, padding, form):
    dtype, atol = np.float32, 1e-4
    samples = walk(rng, 2, 2, 400).astype(dtype)
    lengths = np.array([[400, 399], [64, 30]])
    padtype = None if padding is Extension.NONE else padding.value
    for row, length in zip(samples.reshape(4, -1), lengths.ravel(), strict=True):
        row[length:] = [np.nan, 1e6, np.inf][length % 3]
    got = np.asarray(zero_phase(jnp.asarray(samples), BASELINE, lengths=lengths, padding=padding, form=form))
    for row, length, filtered in zip(samples.reshape(4, -1), lengths.ravel(), got.reshape(4, -1), strict=True):
        want = scipy.signal.sosfiltfilt(BASELINE, row[:length].astype(np.float64), padtype=padtype)
        np.testing.assert_allclose(filtered[:length], want, atol=atol)
        np.testing.assert_array_equal(filtered[length:], 0)


def test_a_recording_too_short_for_its_padding_is_nan_and_an_empty_one_zeros(zero_phase):
    got = np.asarray(zero_phase(jnp.ones((4, 50)), HEART, lengths=np.array([22, 21, 5, 0])))
    assert np.isfinite(got[0]).all()
    assert np.isnan(got[1, :21]).all()
    assert np.isnan(got[2, :5]).all()
    assert (got[1, 21:] == 0).all()
    assert (got[3] == 0).all()


def test_chunks_with_state_are_the_whole(sos_filter_with_state, rng, precision):
    dtype, atol = precision
    for sections in [BASELINE]:
        samples = walk(rng, 2, 700).astype(dtype)
        state = initial_state(sections, (2,), dtype)
        zi = np.zeros((len(sections), 2, 2))
        for start, stop in [(0, 1), (1, 200), (200, 700)]:
            chunk = samples[:, start:stop]
            got, state = sos_filter_with_state(jnp.asarray(chunk), sections, state)
            want, zi = scipy.signal.sosfilt(sections, chunk.astype(np.float64), zi=zi)
            np.testing.assert_allclose(got, want, atol=atol)
            np.testing.assert_allclose(
                np.moveaxis(np.asarray(direct_form_state(state, sections)), 0, 1), zi, atol=10 * atol
            )


def test_a_stream_can_begin_in_scipy_s_steady_state(sos_filter_with_state, rng):
    dtype, atol = np.float32, 1e-4
    samples = walk(rng, 300).astype(dtype)
    for sections in FILTERS[:2]:
        zi = scipy.signal.sosfilt_zi(sections)
        state = from_direct_form_state(jnp.asarray(zi, dtype), sections) * samples[0]
        got, _ = sos_filter_with_state(jnp.asarray(samples), sections, state)
        want, _ = scipy.signal.sosfilt(sections, samples.astype(np.float64), zi=zi * samples[0])
        np.testing.assert_allclose(got, want, atol=atol)


@pytest.mark.parametrize("form", FORMS)
def test_a_nan_spoils_what_follows_and_a_recording_filtered_both_ways(quick, rng, form):
    samples = rng.standard_normal((3, 500)).astype(np.float32)
    start = initial_state(HEART, (3,), np.float32)
    run = quick(lambda x: (*plain_sos_filter_with_state(x, HEART, start, form), plain_zero_phase(x, HEART, form=form)))
    clean = np.asarray(run(samples)[0])
    for bad in [np.nan, np.inf]:
        samples[1, 333] = bad
        got, state, both = map(np.asarray, run(samples))
        np.testing.assert_array_equal(got[[0, 2]], clean[[0, 2]])
        np.testing.assert_allclose(got[1, :333], clean[1, :333], atol=1e-6)
        assert np.isnan(got[1, 333:]).all()
        np.testing.assert_array_equal(np.isfinite(state).all(-1), [True, False, True])
        np.testing.assert_array_equal(np.isfinite(both).any(-1), [True, False, True])


@pytest.mark.parametrize("form", FORMS)
def test_silence_stays_silence_and_a_constant_has_the_gain_at_0_hz(quick, form):
    low = butterworth(3, 40, 2000, Band.LOWPASS)
    run = quick(lambda x: (plain_zero_phase(x, HEART, form=form), plain_zero_phase(x, low, form=form)))
    assert (np.asarray(run(jnp.zeros(200))) == 0).all()
    band, smooth = run(jnp.full(200, 1000.0))
    np.testing.assert_allclose(band, 0, atol=1e-2)
    np.testing.assert_allclose(smooth, 1000, atol=1e-2)


def test_one_trace_serves_any_lengths_and_vmap_is_the_batch(quick, rng):
    samples = jnp.asarray(rng.standard_normal((3, 100)), jnp.float32)
    run = quick(chex.assert_max_traces(lambda x, n: plain_zero_phase(x, HEART, lengths=n), n=1))
    one = run(samples, jnp.array([100, 50, 70]))
    run(samples, jnp.array([30, 50, 100]))
    mapped = quick(jax.vmap(lambda x, n: plain_zero_phase(x, HEART, lengths=n)))(samples, jnp.array([100, 50, 70]))
    np.testing.assert_allclose(mapped, one, atol=1e-6)


def test_gradients(quick, check_gradient, rng):
    with jax.enable_x64(True):
        samples = jnp.asarray(rng.standard_normal((2, 70)))
        lengths = np.array([70, 41])

        def both(x):
            return plain_sos_filter(x, HEART), plain_zero_phase(x, HEART, lengths=lengths)

        check_gradient(both, samples)
        beyond = quick(jax.grad(lambda x: jnp.sum(both(x)[1] ** 2)))(samples)
        assert (np.asarray(beyond)[1, 41:] == 0).all()


def test_what_cannot_be_filtered_is_refused(sos_filter, zero_phase, rng):
    with pytest.raises(ValueError, match="more samples than the padding of 21, got 21"):
        zero_phase(jnp.zeros(21), HEART)
    with pytest.raises(ValueError, match="length of the input vector"):
        scipy.signal.sosfiltfilt(HEART, np.zeros(21))
    with pytest.raises(ValueError, match="at least one sample"):
        sos_filter(jnp.zeros((2, 0)), HEART)
    with pytest.raises(ValueError, match="not stable"):
        sos_filter(jnp.zeros(9), np.array([[1.0, 0, 0, 1, -2.5, 1.2]]))
    with pytest.raises(ValueError, match=r"\(sections, 6\), got"):
        sos_filter(jnp.zeros(9), np.zeros((0, 6)))
    with pytest.raises(ValueError, match="a0 = 1"):
        sos_filter(jnp.zeros(9), np.ones((1, 6)) * 2)
    with pytest.raises(TypeError, match="int32"):
        zero_phase(jnp.zeros(90, jnp.int32), HEART)


def test_sections_with_hidden_or_repeated_poles_are_filtered_too(quick, rng):
    samples = rng.standard_normal(200)
    repeated = np.array([[1.0, 0.3, 0.1, 1, -1.2, 0.36]] * 3)  # a pole of 0.6, six times
    hidden = np.array([[1.0, -0.9, 0.5, 1, -0.9, 0.5], [0.5, 0, 0, 1, 0, 0]])  # half of the input
    negative = np.array([[1.0, 0, 0, 1, 0.7, 0], [2.0, 1, 0.5, 1, 0.2, -0.4]])
    filters = [repeated, hidden, negative]
    with jax.enable_x64(True):
        run = quick(lambda x: [(plain_sos_filter(x, s), plain_zero_phase(x, s)) for s in filters])
        for sections, (got, both) in zip(filters, run(samples), strict=True):
            np.testing.assert_allclose(got, scipy.signal.sosfilt(sections, samples), atol=1e-9)
            np.testing.assert_allclose(both, scipy.signal.sosfiltfilt(sections, samples), atol=1e-9)
