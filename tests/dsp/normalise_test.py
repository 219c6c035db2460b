import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import scipy.stats
import sklearn.preprocessing

from hsjax.dsp.normalise import min_max, peak, remove_mean, unit_rms, z_score

ORACLES = {
    remove_mean: lambda x: scipy.signal.detrend(x, type="constant"),
    unit_rms: lambda x: x / np.sqrt(np.mean(x**2)),
    z_score: scipy.stats.zscore,
    peak: lambda x: sklearn.preprocessing.maxabs_scale(x),
    min_max: lambda x: sklearn.preprocessing.minmax_scale(x),
}


@pytest.mark.parametrize("function", ORACLES)
def test_is_the_oracle_alone_and_in_a_padded_batch(quick, rng, function):
    samples = rng.standard_normal((2, 50)) * 3 - 7
    samples[1, 31:] = np.nan
    with jax.enable_x64(True):
        got, alone = quick(lambda x, n: (function(x, n), function(x[0])))(samples, np.array([50, 31]))
    got = np.asarray(got)
    np.testing.assert_allclose(alone, ORACLES[function](samples[0]), atol=1e-12)
    np.testing.assert_allclose(got[0], ORACLES[function](samples[0]), atol=1e-12)
    np.testing.assert_allclose(got[1, :31], ORACLES[function](samples[1, :31]), atol=1e-12)
    assert (got[1, 31:] == 0).all()


@pytest.mark.parametrize("function", ORACLES)
def test_silence_is_silent_with_finite_gradient_and_nan_stays_in_its_row(quick, function):
    @quick
    def every(silence, rows):
        gradient = jax.grad(lambda x: jnp.sum(function(x) ** 2))(silence)
        padded = function(jnp.zeros((2, 9)), np.array([0, 4]))
        return function(silence), padded, gradient, function(rows), function(rows[1, :1])

    rows = np.array([[1.0, np.nan, 2.0], [1.0, 4.0, 2.0]], np.float32)
    silent, padded, gradient, got, one = map(np.asarray, every(np.zeros(9, np.float32), rows))
    assert (silent == 0).all()
    assert (padded == 0).all()
    assert np.isfinite(gradient).all()
    assert np.isnan(got[0]).all() or function is remove_mean
    assert np.isfinite(got[1]).all()
    assert np.isfinite(one).all()
    with pytest.raises(ValueError, match="at least one sample"):
        function(jnp.zeros((2, 0)))


def test_by_hand(quick):
    @quick
    def every(pairs, fives):
        return remove_mean(pairs), unit_rms(pairs[1]), z_score(fives), min_max(fives)

    centred, loud, *constant = every(np.array([[1.0, 3.0], [3.0, 4.0]], np.float32), np.full(5, 3.0, np.float32))
    np.testing.assert_allclose(centred, [[-1, 1], [-0.5, 0.5]])
    np.testing.assert_allclose(loud, [0.848528, 1.131371], atol=1e-6)
    np.testing.assert_allclose(constant, 0)
