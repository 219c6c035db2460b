import fractions

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from hsjax.dsp.design import Band, butterworth
from hsjax.dsp.fir import fir_filter as whole_fir_filter
from hsjax.dsp.fir import linear_phase_fir
from hsjax.dsp.polyphase import AntiAlias, low_pass
from hsjax.dsp.polyphase import resample as whole_resample
from hsjax.dsp.sos import Form
from hsjax.dsp.sos import sos_filter as whole_sos_filter
from hsjax.dsp.streaming import chain, fir_filter, in_chunks, resample, sos_filter

BAND = butterworth(3, (20, 400), 2000)
TAPS = linear_phase_fir(101, 20, 400, 2000)


def close(got, want, tolerance):
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())


def scipy_s_resample(samples, rate_in, rate_out, anti_alias=AntiAlias.SCIPY):
    ratio = fractions.Fraction(rate_out, rate_in)
    up, down = ratio.numerator, ratio.denominator
    # SciPy scales its window by `up` itself.
    window = ("kaiser", 5.0) if anti_alias is AntiAlias.SCIPY else low_pass(up, down, anti_alias) / up
    return scipy.signal.resample_poly(samples, up, down, axis=-1, window=window)


def test_recursive_filter_is_scipy_s_and_the_whole_signal_s(hear, rng):
    samples = rng.standard_normal((2, 731))
    want = scipy.signal.sosfilt(BAND, samples)
    with jax.enable_x64(True):
        close(hear(sos_filter(BAND), samples, [0, 1, 90, 7], 40), want, 1e-12)
    single = samples.astype(np.float32)
    whole = [np.asarray(jax.jit(lambda x, f=f: whole_sos_filter(x, BAND, f))(single)) for f in (Form.BLOCK, Form.SCAN)]
    close(hear(sos_filter(BAND), single, [1, 90, 7], 40), whole[0], 1e-6)
    np.testing.assert_array_equal(hear(sos_filter(BAND, Form.SCAN), single, [1, 90, 7], 40), whole[1])


@pytest.mark.parametrize("taps", [TAPS, TAPS[:1]], ids=len)
def test_fir_filter_is_scipy_s_and_the_whole_signal_s(taps, hear, rng):
    samples = rng.standard_normal((2, 531))
    with jax.enable_x64(True):
        close(hear(fir_filter(taps), samples, [1, 190, 7], 80), scipy.signal.lfilter(taps, 1, samples), 1e-12)
    single = samples.astype(np.float32)
    close(hear(fir_filter(taps), single, [1, 190, 7], 80), whole_fir_filter(jnp.asarray(single), taps), 1e-6)


@pytest.mark.parametrize(
    ("rate_in", "rate_out", "chunk"),
    [(360, 250, 72), (1000, 2000, 3), (500, 500, 5)],
)
def test_resampling_is_scipy_s_and_the_whole_signal_s(rate_in, rate_out, chunk, hear, rng):
    stream = resample(rate_in, rate_out)
    for time in (1003, 1):
        samples = rng.standard_normal((2, time))
        with jax.enable_x64(True):
            close(hear(stream, samples, [1, 290, 7], chunk), scipy_s_resample(samples, rate_in, rate_out), 1e-12)
    single = rng.standard_normal(503).astype(np.float32)
    whole = jax.jit(lambda x: whole_resample(x, rate_in, rate_out))(single)
    close(hear(stream, single, [11], chunk), whole, 1e-6)


def test_a_steeper_low_pass_waits_longer(hear, rng):
    samples = rng.standard_normal(900)
    steep = resample(4000, 2000, AntiAlias.STEEP)
    with jax.enable_x64(True):
        want = scipy_s_resample(samples, 4000, 2000, AntiAlias.STEEP)
        close(hear(steep, samples, [100], 100), want, 1e-12)
    assert steep.latency == len(low_pass(1, 2, AntiAlias.STEEP)) // 2 // 2 * 2
    # SciPy's looks 20 samples ahead at the double rate, which the tenth output after shows.
    assert resample(4000, 2000).delay == 10
    assert resample(4000, 2000).latency == 20


def test_filters_behind_a_late_stream(rng):
    """What the resampler says before the signal begins, its pre-ringing, is not heard."""
    samples = rng.standard_normal((2, 640))
    sections = butterworth(2, 30, 250, Band.HIGHPASS)
    halved = scipy_s_resample(samples, 1000, 500)
    cases = [
        (sos_filter(sections), scipy.signal.sosfilt(sections, halved)),
        (fir_filter(TAPS), scipy.signal.lfilter(TAPS, 1, halved)),
        (resample(500, 750), scipy_s_resample(halved, 500, 750)),
    ]
    with jax.enable_x64(True):
        for following, want in cases:
            stream = chain(resample(1000, 500), following)
            got = jax.jit(lambda x, s=stream: in_chunks(s, x, s.multiple * 3))(samples)
            close(got, want, 1e-12)


def test_the_multiple_of_a_chain_is_what_all_its_streams_need():
    """By hand: 441 samples at 44.1 kHz are 20 at 2 kHz; 5 of these are 4 at 1.6 kHz; 3 of these 1 at 533 Hz."""
    stream = chain(resample(44100, 2000), resample(2000, 1600), resample(3, 1))
    assert stream.multiple == 441 * 3  # 60 samples at 2 kHz, 48 at 1.6 kHz, 16
    assert stream.ratio == fractions.Fraction(16, 441 * 3)


def test_a_nan_passes_where_nothing_is_fed_back_and_a_new_beginning_recovers_where_it_is(rng):
    samples = rng.standard_normal(600).astype(np.float32)
    spoiled = samples.copy()
    spoiled[150] = np.nan
    for stream in (fir_filter(TAPS), resample(1000, 500)):
        both = jax.jit(lambda x, s=stream: in_chunks(s, x, 100))
        got, clean = np.asarray(both(spoiled)), np.asarray(both(samples))
        assert np.isnan(got).any()
        assert not np.isnan(got[-len(got) // 2 :]).any()
        np.testing.assert_array_equal(got[-len(got) // 2 :], clean[-len(got) // 2 :])
    stream = sos_filter(BAND)
    step = jax.jit(stream.step)
    beginning = state = stream.init(samples[:100])
    pieces = []
    for k in range(3):
        state, heard = step(state, spoiled[100 * k : 100 * k + 100])
        pieces.append(np.asarray(heard))
    assert np.isfinite(pieces[0]).all()
    assert np.isnan(np.concatenate(pieces)[150:]).all()
    _, heard = step(beginning, samples[300:400])
    close(heard, scipy.signal.sosfilt(BAND, samples[300:400]), 1e-5)


def test_half_precision_is_computed_in_single_and_integers_are_refused():
    half = jnp.ones(20, jnp.bfloat16)
    for stream in (sos_filter(BAND), fir_filter(TAPS), resample(2000, 1000), resample(1000, 1000)):
        state, heard = jax.eval_shape(lambda x, s=stream: s.step(s.init(x), x), half)
        assert heard.dtype == jnp.float32
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state))
    with pytest.raises(TypeError, match="bring them to floating point"):
        sos_filter(BAND).step(sos_filter(BAND).init(jnp.zeros(10)), jnp.zeros(10, jnp.int16))


def test_what_cannot_be_says_so():
    with pytest.raises(ValueError, match="at least one tap"):
        fir_filter(np.zeros(0))
    with pytest.raises(ValueError, match="the filter is not stable"):
        sos_filter(np.array([[1.0, 0, 0, 1, 0, 4]]))
    with pytest.raises(ValueError, match="positive, got 0"):
        resample(0, 100)
    with pytest.raises(ValueError, match="too fine"):
        resample(44100, 44101)
    stream = resample(4000, 2000)
    with pytest.raises(ValueError, match="multiple of 2 items along axis -1, got 3"):
        stream.step(stream.init(jnp.zeros(4)), jnp.zeros(3))


@pytest.mark.realdata
def test_real_recordings_at_their_own_rates_are_scipy_s(recordings, hear):
    for name in ("pascal-a", "mitdb"):
        samples, rate = recordings[name]
        samples = samples[: 3 * rate // 2 + 1]
        sections = butterworth(3, (0.5, 40) if name == "mitdb" else (20, 400), rate)
        target = 250 if name == "mitdb" else 2000
        stream = chain(sos_filter(sections), resample(rate, target))
        chunk = -(-rate // 10 // stream.multiple) * stream.multiple
        want = scipy_s_resample(scipy.signal.sosfilt(sections, samples), rate, target)
        with jax.enable_x64(True):
            close(hear(stream, samples, [rate // 7, 1, rate // 3], chunk), want, 1e-10)
