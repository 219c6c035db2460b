import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from hsjax.dsp.segmentation.durations import DurationModel, statistics, truncated_gaussians


def test_statistics_are_schmidt_s():
    mean, sd = statistics(jnp.array([60.0, 120.0]), jnp.array([0.33, 0.25]), DurationModel())
    np.testing.assert_allclose(mean[0], [0.122, 0.33 - 0.122, 0.092, 1 - 0.33 - 0.092], atol=1e-6)
    np.testing.assert_allclose(mean[1], [0.122, 0.25 - 0.122, 0.092, 0.5 - 0.25 - 0.092], atol=1e-6)
    np.testing.assert_allclose(sd[0], [0.022, 0.025, 0.022, 0.07 * 0.578 + 0.006], atol=1e-6)


def test_impossible_rhythms_leave_room_for_every_state():
    mean, _ = statistics(jnp.array(300.0), jnp.array(0.05), DurationModel())
    assert (mean >= 0.04 - 1e-6).all()


def test_is_scipy_s_gaussian_cut_at_three_deviations():
    mean, sd = np.array([0.122, 0.2, 0.092, 0.5]), np.array([0.022, 0.025, 0.022, 0.041])
    with jax.enable_x64(True):
        found = jax.tree.map(np.asarray, truncated_gaussians(jnp.asarray(mean), jnp.asarray(sd), 50, 40))
    seconds = np.arange(1, 41) / 50
    for state in range(4):
        want = scipy.stats.norm.pdf(seconds, mean[state], sd[state])
        want[(np.abs(seconds - mean[state]) > 3 * sd[state]) | (seconds < 0.04)] = 0
        want /= want.sum()
        np.testing.assert_allclose(np.exp(found.whole[state]), want, atol=1e-12)
        survival = np.array([want[d:].sum() for d in range(40)])
        np.testing.assert_allclose(np.exp(found.last[state]), survival, atol=1e-12)
        expected = (want * np.arange(1, 41)).sum()
        # Of all ways in which a recording can begin in this state, the share with d frames to come.
        first = np.exp(found.first[state])
        np.testing.assert_allclose(first / first.sum(), survival / expected, atol=1e-12)
    np.testing.assert_allclose(np.exp(found.first).sum(), 1)


@pytest.mark.parametrize(("mean", "sd"), [(5.0, 0.01), (0.001, 0.001), (0.131, 1e-6)])
def test_every_state_can_last(mean, sd):
    table = truncated_gaussians(jnp.full(4, mean), jnp.full(4, sd), 50, 30)
    assert all(np.isfinite(x).any(axis=-1).all() and not np.isnan(x).any() for x in table)


def test_gradient_is_finite():
    def total(sd):
        table = truncated_gaussians(jnp.array([0.1, 0.2, 0.1, 0.5]), sd, 50, 40)
        return jnp.where(jnp.isfinite(table.whole), table.whole, 0).sum()

    assert np.isfinite(jax.jit(jax.grad(total))(jnp.full(4, 0.03))).all()
