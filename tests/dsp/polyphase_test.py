import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from hsjax.dsp.polyphase import AntiAlias, low_pass, ratio
from hsjax.dsp.polyphase import resample as plain_resample

RATES = [(44100, 2000), (4000, 2000), (2000, 22050), (360, 250), (1000, 2000), (2000, 2000)]


@pytest.fixture
def resample(quick):
    def run(samples, rate_in, rate_out, lengths=None, **settings):
        return quick(lambda x, n: plain_resample(x, rate_in, rate_out, lengths=n, **settings))(samples, lengths)

    return run


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("time", [999])
def test_is_scipy_s_resample_poly(quick, rng, exact, time):
    with jax.enable_x64(exact):
        samples = rng.standard_normal((2, time)).astype(np.float64 if exact else np.float32)
        lengths = np.array([time, max(1, time - 77)])

        def run(x):
            return [plain_resample(x, *rates, lengths=n) for rates in RATES for n in (None, lengths)]

        results = iter(quick(run)(samples))
        for rates in RATES:
            whole, parts = next(results), next(results)
            up, down = ratio(*rates)
            want = scipy.signal.resample_poly(samples.astype(np.float64), up, down, axis=-1)
            assert whole.shape == want.shape
            np.testing.assert_allclose(whole, want, atol=1e-12 if exact else 5e-6, err_msg=str(rates))
            want = scipy.signal.resample_poly(samples[1, : lengths[1]].astype(np.float64), up, down)
            np.testing.assert_allclose(parts[1, : len(want)], want, atol=1e-12 if exact else 5e-6)
            assert (np.asarray(parts)[1, len(want) :] == 0).all()


@pytest.mark.parametrize("exact", [False, True])
def test_steep_is_scipy_s_with_the_same_taps(quick, rng, exact):
    """One filter (both directions, few and many inputs to an output) and two in a row, around the ends too."""
    given = {(4000, 2000): 999, (2000, 22050): 300, (7000, 1000): 3001, (8000, 1000): 1500, (44100, 2000): 12345}
    with jax.enable_x64(exact):
        samples = {
            rates: rng.standard_normal((2, n)).astype(float if exact else np.float32) for rates, n in given.items()
        }
        short = {rates: np.array([n - 77, 1]) for rates, n in given.items()}

        def run(samples):
            return {
                rates: [plain_resample(x, *rates, anti_alias=AntiAlias.STEEP, lengths=n) for n in (None, short[rates])]
                for rates, x in samples.items()
            }

        for rates, (whole, parts) in quick(run)(samples).items():
            up, down = ratio(*rates)
            window = low_pass(up, down, AntiAlias.STEEP) / up

            def scipy_s(x, up=up, down=down, window=window):
                return scipy.signal.resample_poly(x.astype(np.float64), up, down, axis=-1, window=window)

            want, tolerance = scipy_s(samples[rates]), 1e-11 if exact else 1e-5
            assert whole.shape == want.shape
            np.testing.assert_allclose(whole, want, atol=tolerance, err_msg=str(rates))
            for row, length in enumerate(short[rates]):
                want = scipy_s(samples[rates][row, :length])
                np.testing.assert_allclose(parts[row, : len(want)], want, atol=tolerance, err_msg=str(rates))
                assert (np.asarray(parts)[row, len(want) :] == 0).all()


@pytest.mark.parametrize("ratio", [(1, 2), (1, 5), (1, 7), (1, 8), (1, 16), (20, 441), (441, 40)])
def test_steep_passes_and_stops_what_it_says(ratio):
    up, down = ratio
    taps = low_pass(up, down, AntiAlias.STEEP) / up
    level = np.abs(np.fft.rfft(taps, 1 << 20))
    frequencies = np.linspace(0, max(up, down), len(level))
    assert len(taps) % 2 == 1
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-15)
    assert np.abs(level[frequencies <= 0.913] - 1).max() < 1e-5
    assert 20 * np.log10(level[frequencies >= 1].max()) < -119


@pytest.mark.realdata
def test_recordings_are_resampled_as_scipy_does(quick, recordings):
    given = {name: samples[:5001].astype(np.float32) for name, (samples, _) in recordings.items()}
    rates = {name: rate for name, (_, rate) in recordings.items()}
    run = quick(lambda given: {name: plain_resample(x, rates[name], 1000) for name, x in given.items()})
    for name, got in run(given).items():
        want = scipy.signal.resample_poly(given[name].astype(np.float64), *ratio(rates[name], 1000))
        np.testing.assert_allclose(got, want, atol=1e-4, err_msg=name)


def test_one_sample_is_resampled(resample):
    np.testing.assert_allclose(
        resample(jnp.ones(1), 1000, 3000), scipy.signal.resample_poly(np.ones(1), 3, 1), atol=1e-6
    )


def test_gradient_and_batch(quick, check_gradient, resample, rng):
    with jax.enable_x64(True):
        samples = jnp.asarray(rng.standard_normal((2, 40)))
        check_gradient(lambda x: plain_resample(x, 360, 250), samples)
        mapped = quick(jax.vmap(lambda x: plain_resample(x, 360, 250)))(samples)
        np.testing.assert_allclose(mapped, resample(samples, 360, 250), atol=1e-12)


def test_a_nan_stays_near_and_silence_is_silent(resample):
    samples = np.zeros((2, 4000), np.float32)
    samples[0, 2000] = np.nan
    got = np.asarray(resample(samples, 2000, 1000))
    assert (got[1] == 0).all()
    assert np.isnan(got[0, 1000])
    assert (got[0, :900] == 0).all()
    assert (got[0, 1100:] == 0).all()


def test_impossible_rates_are_refused():
    with pytest.raises(ValueError, match="positive"):
        plain_resample(jnp.zeros(9), 0, 100)
    with pytest.raises(ValueError, match="larger common divisor"):
        plain_resample(jnp.zeros(9), 44100, 44101)
    with pytest.raises(ValueError, match="at least one sample"):
        plain_resample(jnp.zeros((3, 0)), 2, 1)
    assert ratio(44100, 2000.0) == (20, 441)
