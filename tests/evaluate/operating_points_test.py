import hypothesis
import numpy as np
import pytest
import sklearn.metrics
import statsmodels.stats.proportion
from hypothesis import strategies as st

from hsjax.evaluate import operating_points
from hsjax.evaluate.operating_points import Fixed
from hsjax.types import UserError


@st.composite
def scores(draw):
    n = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    positive = rng.random(n) < 0.5
    hypothesis.assume(positive.any() and not positive.all())
    return rng.integers(0, 11, n) / 10, positive


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(scores(), st.sampled_from([0.0, 0.5, 0.8, 0.9, 0.95, 1.0]), st.sampled_from(Fixed))
def test_points_equal_scikit_learns_curve(case, at_least, fixed):
    score, positive = case
    point = operating_points.on_curve(score, positive, fixed, at_least)
    false, found, _ = sklearn.metrics.roc_curve(positive, score, drop_intermediate=False)
    if fixed is Fixed.SPECIFICITY:
        assert point.sensitivity == pytest.approx(found[1 - false >= at_least - 1e-9].max())
        assert point.specificity >= at_least - 1e-9
    else:
        assert point.specificity == pytest.approx(1 - false[found >= at_least - 1e-9].min())
        assert point.sensitivity >= at_least - 1e-9
    # The threshold, applied to the same units, has the rates it says.
    again = operating_points.applied(score, positive, np.arange(len(score)), point.threshold, resamples=2, seed=0)
    assert again.sensitivity.value == pytest.approx(point.sensitivity)
    assert again.specificity.value == pytest.approx(point.specificity)


def test_point_by_hand():
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.8], np.float32)
    positive = np.array([False, False, True, False, True, True])
    point = operating_points.on_curve(score, positive, Fixed.SPECIFICITY, 0.6)
    # Two of three negatives below the threshold allow all positives to be found.
    assert point == pytest.approx((0.25, 1.0, 2 / 3))
    assert operating_points.on_curve(score, positive, Fixed.SPECIFICITY, 0.7) == pytest.approx((0.5, 2 / 3, 1.0))
    assert operating_points.on_curve(score, positive, Fixed.SENSITIVITY, 0.9) == pytest.approx((0.25, 1.0, 2 / 3))


def test_extreme_points_exist():
    score, positive = np.array([1.0, 1.0, 0.0]), np.array([True, False, True])
    none = operating_points.on_curve(score, positive, Fixed.SPECIFICITY, 1)
    assert (none.sensitivity, none.specificity) == (0, 1)
    assert none.threshold > 1
    every = operating_points.on_curve(score, positive, Fixed.SENSITIVITY, 1)
    assert (every.threshold, every.sensitivity, every.specificity) == (0, 1, 0)


def test_points_that_do_not_exist():
    with pytest.raises(UserError, match="one class only"):
        operating_points.on_curve(np.array([0.1, 0.2]), np.zeros(2, bool), Fixed.SPECIFICITY, 0.9)
    for score, at_least in (([0.1, 0.2], 1.1), ([0.1, 1.2], 0.9), ([0.1, np.nan], 0.9)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            operating_points.on_curve(np.array(score), np.array([True, False]), Fixed.SPECIFICITY, at_least)


def test_applied_equals_explicit_resampling(rng):
    group = np.repeat(np.arange(20), 4)
    positive = (np.arange(20) < 8)[group]
    score = np.clip(0.2 * positive + 0.3 * rng.random(20)[group] + 0.5 * rng.random(80), 0, 1)
    found = operating_points.applied(score, positive, group, 0.5, resamples=60, seed=7)
    draws = np.random.default_rng(7).integers(0, 20, (60, 20))
    rows = [np.concatenate([np.flatnonzero(group == one) for one in draw]) for draw in draws]
    predicted = score >= 0.5
    for name, side in (("sensitivity", 1), ("specificity", 0)):
        estimate = getattr(found, name)
        values = [sklearn.metrics.recall_score(positive[row], predicted[row], pos_label=side) for row in rows]
        assert estimate.value == pytest.approx(sklearn.metrics.recall_score(positive, predicted, pos_label=side))
        np.testing.assert_allclose(estimate.interval, np.percentile(values, [2.5, 97.5]))
    assert found[3:] == (32, 48, 8, 12, 20)


def test_a_perfect_rate_is_not_certain():
    """Eight positive groups, all found: the bootstrap would say 1 to 1; Clopper and Pearson say .63 to 1."""
    group = np.repeat(np.arange(20), 4)
    positive = (np.arange(20) < 8)[group]
    found = operating_points.applied(positive * 0.9, positive, group, 0.5, seed=0)
    assert found.sensitivity.value == 1
    assert found.sensitivity.interval == pytest.approx((0.025 ** (1 / 8), 1))
    missed = operating_points.applied(positive * 0.1, positive, group, 0.5, seed=0)
    assert missed.sensitivity.interval == pytest.approx((0, 1 - 0.025 ** (1 / 8)))


def test_few_groups_or_no_units_have_no_interval():
    few = operating_points.applied(np.full(9, 0.7), np.arange(9) < 4, np.arange(9), 0.5, seed=0)
    assert (few.sensitivity, few.specificity) == ((1.0, None), (0.0, None))
    absent = operating_points.applied(np.full(12, 0.7), np.zeros(12, bool), np.arange(12), 0.5, seed=0)
    assert np.isnan(absent.sensitivity.value)
    assert absent.sensitivity.interval is None
    assert absent.n_positive_groups == 0
    empty = operating_points.applied(np.zeros(0), np.zeros(0, bool), np.zeros(0, int), 0.5, seed=0)
    assert np.isnan(empty.specificity.value)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (1, 1)])
def test_clopper_pearson_equals_statsmodels(hits, n):
    expected = statsmodels.stats.proportion.proportion_confint(hits, n, method="beta")
    assert operating_points.clopper_pearson(hits, n) == pytest.approx(expected)


def test_no_proportion():
    for hits, n in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="no proportion"):
            operating_points.clopper_pearson(hits, n)
