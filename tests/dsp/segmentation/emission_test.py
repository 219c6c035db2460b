import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import sklearn.linear_model

from hsjax.dsp.segmentation.emission import Regression, fit, log_emission


def clouds(rng, counts):
    """Overlapping Gaussians, a state each, of unequal number."""
    centres = rng.normal(0, 1, (4, 3))
    states = np.repeat(np.arange(1, 5), counts)
    return centres[states - 1] + rng.normal(0, 1, (len(states), 3)), states


def test_fit_is_scikit_learn_s_balanced_regression(rng):
    features, states = clouds(rng, [400, 100, 300, 900])
    with jax.enable_x64(True):
        padded = np.concatenate([features, rng.normal(0, 9, (50, 3))])
        unknown = np.concatenate([states, np.zeros(50, int)])
        found = fit(jnp.asarray(padded), jnp.asarray(unknown), ridge=1e-9)
        ours = jax.nn.softmax(log_emission(jnp.asarray(features), found), axis=-1)
    model = sklearn.linear_model.LogisticRegression(C=1e9, class_weight="balanced", tol=1e-10, max_iter=10_000)
    np.testing.assert_allclose(ours, model.fit(features, states).predict_proba(features), atol=1e-5)


def test_separable_states_stay_finite(rng):
    features, states = clouds(rng, [20] * 4)
    found = fit(jnp.asarray(100 * np.eye(4)[states - 1] + 0 * features[:, :1], jnp.float32), jnp.asarray(states), 1e-3)
    assert all(np.isfinite(x).all() for x in found)


def test_log_emission_by_hand(rng):
    envelopes, weights, bias = rng.normal(size=(2, 5, 4)), rng.normal(size=(4, 4)), rng.normal(size=4)
    want = 0.5 * np.log(scipy.special.softmax(envelopes @ weights + bias, axis=-1) / 0.25)
    with jax.enable_x64(True):
        found = log_emission(jnp.asarray(envelopes), Regression(weights, bias), 0.5)
    np.testing.assert_allclose(found, want, atol=1e-12)
