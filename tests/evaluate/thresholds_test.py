import hypothesis
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import strategies as st

from hsjax.evaluate import thresholds
from hsjax.types import UserError


@st.composite
def scored(draw):
    n = draw(st.integers(2, 30))
    positive = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    hypothesis.assume(positive.any() and not positive.all())
    return np.array(draw(st.lists(st.integers(0, 20), min_size=n, max_size=n))) / 20, positive


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(scored())
def test_no_midpoint_beats_the_chosen_one(case):
    score, positive = case
    chosen = thresholds.choose(score, positive)

    def macc(threshold):
        return sklearn.metrics.balanced_accuracy_score(positive, score >= threshold)

    distinct = np.unique(score)
    midpoints = (distinct[1:] + distinct[:-1]) / 2
    if len(midpoints) == 0:
        assert chosen == 0.5
        return
    values = np.array([macc(midpoint) for midpoint in midpoints])
    best = midpoints[values > values.max() - 1e-9]
    assert np.abs(best - chosen).min() < 1e-12
    assert abs(chosen - 0.5) == pytest.approx(np.abs(best - 0.5).min())


def test_separable_scores_are_parted_in_the_middle():
    score = np.array([0.1, 0.2, 0.8, 0.9], np.float32)
    assert thresholds.choose(score, np.array([False, False, True, True])) == pytest.approx(0.5)
    assert thresholds.choose(score, np.array([False, True, True, True])) == pytest.approx(0.15)


def test_ties_go_to_the_threshold_closest_to_a_half():
    # Between the two positives and between the two negatives MAcc is 3/4 both times: at 0.2 and at 0.55.
    score = np.array([0.1, 0.3, 0.4, 0.7])
    positive = np.array([False, True, False, True])
    assert thresholds.choose(score, positive) == pytest.approx(0.55)


def test_one_class_is_refused():
    with pytest.raises(UserError, match="one class only"):
        thresholds.choose(np.array([0.1, 0.9]), np.array([True, True]))
