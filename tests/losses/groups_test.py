"""Losses over groups against arithmetic by hand and NumPy in float64, gradients by differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import losses
from tests.losses.differences import slope

VALUES = np.array([1.0, 3.0, 2.0, 5.0, np.nan])
WEIGHT = np.array([1.0, 3.0, 2.0, 0.5, 0.0])
GROUP = np.array([2, 2, 0, 0, 7])


def found(values=VALUES, groups=4):
    return losses.risks(*(jnp.asarray(one, jnp.float32) for one in (values, WEIGHT)), jnp.asarray(GROUP), groups)


def test_a_group_is_the_mean_by_weight_of_its_examples_and_padding_is_of_none():
    risks = found()
    np.testing.assert_allclose(risks.mean, [(2 * 2 + 0.5 * 5) / 2.5, 0, (1 + 3 * 3) / 4, 0], rtol=1e-6)
    assert risks.present.tolist() == [True, False, True, False]


def test_shares_grow_by_the_exponential_of_the_loss():
    share = np.array([0.1, 0.2, 0.3, 0.4])
    loss, after = losses.group_dro(found(), jnp.asarray(share, jnp.float32), 0.7)
    grown = share * np.exp(0.7 * np.array([2.6, 0.0, 2.5, 0.0]))
    np.testing.assert_allclose(after, grown / grown.sum(), rtol=1e-6)
    np.testing.assert_allclose(loss, (grown[0] * 2.6 + grown[2] * 2.5) / (grown[0] + grown[2]), rtol=1e-6)


def test_losses_of_any_size_leave_shares_that_sum_to_one():
    risks = losses.Risks(jnp.array([1e30, 0.0, 3.0]), jnp.array([True, True, False]))
    loss, after = losses.group_dro(risks, jnp.array([0.0, 0.5, 0.5]), 10.0)
    np.testing.assert_allclose(after, [1.0, 0.0, 0.0], atol=1e-6)
    assert np.isfinite(loss)


def test_without_examples_nothing_moves():
    nothing = losses.Risks(jnp.zeros(3), jnp.zeros(3, bool))
    share = jnp.array([0.2, 0.5, 0.3])
    loss, after = losses.group_dro(nothing, share, 0.5)
    assert (float(loss), after.tolist()) == (0.0, share.tolist())
    assert float(losses.v_rex(nothing, 5.0)) == 0.0


@pytest.mark.parametrize(("penalty", "want"), [(0.0, 2.55), (0.5, 2.55 + 0.5 * 0.0025), (4.0, (2.55 + 0.01) / 4)])
def test_the_variance_of_the_groups_is_added(penalty, want):
    np.testing.assert_allclose(losses.v_rex(found(), penalty), want, rtol=1e-6)


@pytest.mark.parametrize("rule", ["group-dro", "v-rex"])
def test_gradients_are_slopes(rule):
    share = np.array([0.1, 0.2, 0.3, 0.4])
    shown = np.where(np.isnan(VALUES), 0.0, VALUES)

    def loss(values):
        risks = found(values)
        if rule == "v-rex":
            return losses.v_rex(risks, 2.0)
        return losses.group_dro(risks, jnp.asarray(share, jnp.float32), 0.7)[0]

    weight = np.array([[0, 0, 0.8, 0.2, 0], [0.25, 0.75, 0, 0, 0]])
    mean = weight @ shown
    if rule == "v-rex":
        by_group = np.array([0.5, 0.5]) + 2 * 2 * (mean - mean.mean()) / 2
        by_group = by_group / 2
    else:
        # The shares follow the loss but are no part of what is minimised.
        grown = share[[0, 2]] * np.exp(0.7 * mean)
        by_group = grown / grown.sum()
    np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(shown, jnp.float32)), by_group @ weight, atol=1e-6)
    if rule == "v-rex":
        differences = slope(lambda values: _v_rex(values, weight, 2.0), shown)
        np.testing.assert_allclose(by_group @ weight, differences, atol=1e-6)


def _v_rex(values, weight, penalty):
    mean = weight @ values
    return (mean.mean() + penalty * mean.var()) / max(penalty, 1.0)
