import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics
import statsmodels.stats.proportion

from hsjax.evaluate import bootstrap, calibration
from hsjax.evaluate.calibration import Binning


def sample(seed=0, n=400, ties=True):
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.7, 1.5, n)
    probability = np.round(probability, 2) if ties else probability
    return probability, rng.random(n) < probability**1.5


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("binning", "strategy"), [(Binning.EQUAL_WIDTH, "uniform"), (Binning.EQUAL_MASS, "quantile")])
def test_curve_equals_scikit_learn(binning, strategy, ties):
    probability, event = sample(ties=ties)
    found = calibration.curve(probability, event, bins=7, binning=binning)
    frequency, mean = sklearn.calibration.calibration_curve(event, probability, n_bins=7, strategy=strategy)
    np.testing.assert_allclose(found.probability, mean)
    np.testing.assert_allclose(found.frequency, frequency)
    assert found.n.sum() == len(event)
    low, high = statsmodels.stats.proportion.proportion_confint(
        np.round(found.frequency * found.n), found.n, method="wilson"
    )
    np.testing.assert_allclose(found.low, low, atol=1e-12)
    np.testing.assert_allclose(found.high, high, atol=1e-12)


def test_equal_mass_bins_hold_equal_shares():
    probability, event = sample(ties=False)
    assert set(calibration.curve(probability, event, bins=8, binning=Binning.EQUAL_MASS).n) == {50}


def test_error_by_hand():
    # Two bins of width one half: .2 and .4 with one event of two, .9 (twice) and 1 with two of three.
    probability = np.array([0.2, 0.4, 0.9, 0.9, 1.0])
    event = np.array([True, False, True, False, True])
    expected = (2 * abs(0.3 - 0.5) + 3 * abs(2.8 / 3 - 2 / 3)) / 5
    assert calibration.expected_calibration_error(probability, event, bins=2) == pytest.approx(expected)
    # A bin holds its upper edge; 0 falls into the first.
    found = calibration.curve(np.array([0.0, 0.5, 0.6]), np.ones(3, bool), bins=2)
    assert found.n.tolist() == [2, 1]
    assert found.high.tolist() == pytest.approx([1, 1])


def test_top_label_by_hand():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.4, 0.5, 0.1]], np.float32)
    confidence, right = calibration.top_label(probabilities, np.array([0, 1, 1]))
    np.testing.assert_allclose(confidence, [0.7, 0.6, 0.5], rtol=1e-6)
    assert right.tolist() == [True, False, True]


def test_brier_score_equals_scikit_learn():
    probability, event = sample()
    two = np.stack([1 - probability, probability], axis=1)
    expected = sklearn.metrics.brier_score_loss(event, probability)
    assert calibration.brier_score(two, event.astype(int)) == pytest.approx(expected)
    # Three classes by hand: ((.3² + .2² + .1²) + (.1² + .7² + .6²)) / 2 / 2.
    three = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    assert calibration.brier_score(three, np.array([0, 1])) == pytest.approx((0.14 + 0.86) / 4)


def grouped(seed, groups=40, per_group=5, shift=0.0):
    rng = np.random.default_rng(seed)
    probability = np.clip(rng.beta(1, 2, groups)[:, None] + rng.normal(0, 0.05, (groups, per_group)), 0.01, 0.99)
    event = rng.random(probability.shape) < np.clip(probability + shift, 0, 1)
    probability = probability.ravel()
    group = np.repeat(np.arange(groups), per_group)
    return np.stack([1 - probability, probability], axis=1), event.ravel().astype(np.int32), group


def test_estimates_equal_explicit_resampling():
    probabilities, label, group = grouped(0)
    found = calibration.estimates(probabilities, label, group, positive=1, bins=5, resamples=50, seed=3)
    drawn = np.random.default_rng(3).integers(0, 40, (50, 40))
    rows = [np.concatenate([np.flatnonzero(group == one) for one in draw]) for draw in drawn]
    brier = [sklearn.metrics.brier_score_loss(label[row], probabilities[row, 1]) for row in rows]
    assert found.brier.value == pytest.approx(sklearn.metrics.brier_score_loss(label, probabilities[:, 1]))
    np.testing.assert_allclose(found.brier.interval, np.percentile(brier, [2.5, 97.5]))
    errors = [calibration.expected_calibration_error(probabilities[row, 1], label[row] == 1, bins=5) for row in rows]
    value = calibration.expected_calibration_error(probabilities[:, 1], label == 1, bins=5)
    assert found.error.value == pytest.approx(value)
    assert found.error.interval[1] == pytest.approx(2 * value - np.percentile(errors, 2.5))
    assert found[3:] == (200, 40)
    top = calibration.estimates(probabilities, label, group, positive=None, bins=5, resamples=50, seed=3)
    expected = calibration.expected_calibration_error(*calibration.top_label(probabilities, label), bins=5)
    assert top.error.value == pytest.approx(expected)


def test_interval_of_the_error_holds_zero_for_calibrated_probabilities_only():
    calibrated = [calibration.estimates(*grouped(seed), positive=1, resamples=200, seed=seed) for seed in range(40)]
    assert np.mean([one.error.interval[0] == 0 for one in calibrated]) >= 0.85
    # What calibrated models show on average, estimated from one sample each.
    shown = np.mean([one.error.value for one in calibrated])
    assert np.mean([one.noise for one in calibrated]) == pytest.approx(shown, rel=0.15)
    off = [calibration.estimates(*grouped(seed, shift=0.25), positive=1, resamples=200, seed=0) for seed in range(20)]
    assert all(one.error.interval[0] > 0 for one in off)
    # Clipping the shifted probability at 1 takes a little off the .25.
    assert np.mean([one.error.interval[0] <= 0.24 <= one.error.interval[1] for one in off]) >= 0.8


def test_few_groups_have_no_interval():
    found = calibration.estimates(*grouped(0, groups=9), positive=1, seed=0)
    assert found.error.interval is None
    assert found.brier == bootstrap.Estimate(found.brier.value, None)
    assert np.isnan(found.noise)


def test_degenerate_inputs():
    nothing = np.zeros(0)
    assert len(calibration.curve(nothing, nothing > 0).n) == 0
    assert len(calibration.curve(nothing, nothing > 0, binning=Binning.EQUAL_MASS).low) == 0
    assert np.isnan(calibration.expected_calibration_error(nothing, nothing > 0))
    assert np.isnan(calibration.brier_score(np.zeros((0, 2)), np.zeros(0, int)))
    assert calibration.top_label(np.zeros((0, 2)), np.zeros(0, int))[0].shape == (0,)
    with pytest.raises(ValueError, match="no unit"):
        calibration.estimates(np.zeros((0, 2)), np.zeros(0, int), np.zeros(0, int), positive=1, seed=0)
    same = calibration.curve(np.full(4, 0.3), np.array([True, False, False, False]), binning=Binning.EQUAL_MASS)
    assert (same.n.tolist(), same.frequency.tolist()) == ([4], [0.25])
    for probability in ([1.1], [-0.1], [np.nan]):
        with pytest.raises(ValueError, match="between 0 and 1"):
            calibration.curve(np.array(probability), np.array([True]))
    with pytest.raises(ValueError, match="0 bins"):
        calibration.curve(np.array([0.5]), np.array([True]), bins=0)
