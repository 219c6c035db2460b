import warnings

import hypothesis
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import strategies as st

from hsjax.evaluate import metrics


@st.composite
def weighted_scores(draw):
    """Two-class units with coarse scores, so that ties are common, and integer or fractional weights."""
    n = draw(st.integers(2, 40))
    positive = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    hypothesis.assume(positive.any() and not positive.all())
    score = np.array(draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))) / 6
    weight = np.array(draw(st.lists(st.sampled_from([0, 1, 2, 3, 0.25]), min_size=n, max_size=n)), float)
    hypothesis.assume(weight[positive].sum() > 0 and weight[~positive].sum() > 0)
    return score, positive, weight


@st.composite
def weighted_decisions(draw):
    n, classes = draw(st.integers(1, 30)), draw(st.integers(2, 5))
    classed = st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)
    weight = draw(st.lists(st.sampled_from([1, 2, 0.5]), min_size=n, max_size=n))
    return np.array(draw(classed)), np.array(draw(classed)), np.array(weight, float), classes


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(weighted_scores())
def test_areas_equal_scikit_learn(case):
    score, positive, weight = case
    counts = metrics.count(metrics.rank(score, positive), weight)
    np.testing.assert_allclose(
        metrics.auroc(counts), sklearn.metrics.roc_auc_score(positive, score, sample_weight=weight), atol=1e-12
    )
    np.testing.assert_allclose(
        metrics.auprc(counts),
        sklearn.metrics.average_precision_score(positive, score, sample_weight=weight),
        atol=1e-12,
    )


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(weighted_scores())
def test_curves_equal_scikit_learn(case):
    score, positive, _ = case
    counts = metrics.count(metrics.rank(score, positive))
    fpr, tpr, _ = sklearn.metrics.roc_curve(positive, score, drop_intermediate=False)
    np.testing.assert_allclose(metrics.roc_curve(counts), (fpr, tpr), atol=1e-12)
    precision, recall, _ = sklearn.metrics.precision_recall_curve(positive, score)
    # scikit-learn's recall falls, and ends in a point at no recall that stands for no score.
    np.testing.assert_allclose(metrics.pr_curve(counts), (recall[-2::-1], precision[-2::-1]), atol=1e-12)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(weighted_decisions())
def test_decision_metrics_equal_scikit_learn(case):
    label, predicted, weight, classes = case
    confusion = metrics.confusion_matrix(label, predicted, classes, weight)
    names = np.arange(classes)
    np.testing.assert_allclose(
        confusion, sklearn.metrics.confusion_matrix(label, predicted, labels=names, sample_weight=weight)
    )
    np.testing.assert_allclose(
        metrics.accuracy(confusion), sklearn.metrics.accuracy_score(label, predicted, sample_weight=weight)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(
            label, predicted, labels=names, sample_weight=weight, zero_division=np.nan
        )
    np.testing.assert_allclose(metrics.recall(confusion), recall)
    np.testing.assert_allclose(metrics.precision(confusion), precision)
    np.testing.assert_allclose(metrics.f1(confusion), f1)
    np.testing.assert_allclose(metrics.support(confusion), support)
    np.testing.assert_allclose(metrics.macro(metrics.recall(confusion)), recall.mean())


def test_claims_by_hand():
    """The second is of no class, the third of the wrong one; a half is not above a half."""
    probabilities = np.array([[0.6, 0.3, 0.1], [0.4, 0.3, 0.3], [0.1, 0.2, 0.7], [0.5, 0.5, 0.0]], np.float32)
    counts = metrics.claims(probabilities, np.array([0, 0, 1, 0], np.int32))
    np.testing.assert_array_equal(counts, [[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0]])
    assert metrics.micro_precision(counts.sum(0)) == 1 / 2
    assert metrics.micro_recall(counts.sum(0)) == 1 / 4
    assert np.isnan(metrics.micro_precision(counts[1]))


def test_two_class_metrics_by_hand():
    # 8 positives (class 0!), 6 found; 12 negatives, 9 kept.
    confusion = np.array([[6.0, 2.0], [3.0, 9.0]])
    assert metrics.sensitivity(confusion, 0) == pytest.approx(6 / 8)
    assert metrics.specificity(confusion, 0) == pytest.approx(9 / 12)
    assert metrics.macc(confusion, 0) == pytest.approx((6 / 8 + 9 / 12) / 2)
    assert metrics.precision(confusion)[0] == pytest.approx(6 / 9)
    assert metrics.f1(confusion)[0] == pytest.approx(2 * 6 / (2 * 6 + 2 + 3))
    assert metrics.sensitivity(confusion, 1) == metrics.specificity(confusion, 0)


def test_auroc_by_hand_counts_a_tie_as_half():
    score, positive = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    counts = metrics.count(metrics.rank(score, positive))
    assert metrics.auroc(counts) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    # Precision 1 at recall 1/2, then 2/3 for the other half.
    assert metrics.auprc(counts) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    recall, precision = metrics.pr_curve(counts)
    np.testing.assert_allclose(recall, [0.5, 1, 1])
    np.testing.assert_allclose(precision, [1, 2 / 3, 2 / 4])


def test_batches_of_weights_equal_one_weight_at_a_time():
    rng = np.random.default_rng(0)
    score, positive = rng.integers(0, 9, 50) / 9, rng.random(50) < 0.4
    weight = rng.integers(0, 4, (7, 50))
    ranking = metrics.rank(score, positive)
    together = metrics.count(ranking, weight)
    one_by_one = [metrics.auroc(metrics.count(ranking, row)) for row in weight]
    np.testing.assert_allclose(metrics.auroc(together), one_by_one, atol=1e-12)
    confusion = rng.integers(0, 9, (7, 3, 3)).astype(float)
    np.testing.assert_allclose(metrics.f1(confusion), [metrics.f1(one) for one in confusion])


def test_undefined_is_nan():
    nothing_positive = np.array([[5.0, 1.0], [0.0, 0.0]])
    assert np.isnan(metrics.sensitivity(nothing_positive, 1))
    assert np.isnan(metrics.macc(nothing_positive, 1))
    assert metrics.specificity(nothing_positive, 1) == pytest.approx(5 / 6)
    assert np.isnan(metrics.accuracy(np.zeros((2, 2))))
    never_predicted = np.array([[5.0, 0.0], [3.0, 0.0]])
    assert np.isnan(metrics.precision(never_predicted)[1])
    assert metrics.f1(never_predicted)[1] == 0
    for positive in (np.zeros(3, bool), np.ones(3, bool), np.zeros(0, bool)):
        counts = metrics.count(metrics.rank(np.linspace(0, 1, len(positive)), positive))
        assert np.isnan(metrics.auroc(counts))
        assert np.isnan(metrics.auprc(counts)) == (not positive.any())


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        metrics.rank(np.array([0.1, np.nan]), np.array([True, False]))


def test_decide_at_least_the_threshold_is_positive():
    probabilities = np.array([[0.5, 0.5], [0.2, 0.8], [0.7, 0.3]], np.float32)
    np.testing.assert_array_equal(metrics.decide(probabilities, 0.5, 1), [1, 1, 0])
    np.testing.assert_array_equal(metrics.decide(probabilities, 0.5, 0), [0, 1, 0])
    np.testing.assert_array_equal(metrics.decide(probabilities, 0.25, 1), [1, 1, 1])
    np.testing.assert_array_equal(metrics.decide(probabilities, None, None), [0, 1, 0])
    with pytest.raises(ValueError, match="two classes"):
        metrics.decide(np.full((1, 3), 1 / 3), 0.5, 1)


def test_decide_separates_neighbouring_float32_probabilities():
    # Rounded to float32, the middle of two neighbours falls on either of them in turn.
    low = np.float32(0.7)
    for _ in range(4):
        high = np.nextafter(low, np.float32(1))
        middle = (float(low) + float(high)) / 2
        probabilities = np.array([[1 - low, low], [1 - high, high]], np.float32)
        np.testing.assert_array_equal(metrics.decide(probabilities, middle, 1), [0, 1])
        low = high
