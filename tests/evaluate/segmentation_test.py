import numpy as np
import pytest
import scipy.optimize

from hsjax.evaluate import segmentation
from hsjax.evaluate.segmentation import Matches
from hsjax.types import HeartState

S1, S2 = HeartState.S1, HeartState.S2


def test_ratios_by_hand():
    counts = Matches(right=6, extra=2, missed=4)
    assert counts.sensitivity == 0.6
    assert counts.ppv == 0.75
    assert counts.f1 == pytest.approx(2 * 0.6 * 0.75 / 1.35)
    assert counts + Matches(1, 0, 2) == Matches(7, 2, 6)
    assert np.isnan([Matches().f1, Matches().ppv, Matches().sensitivity]).all()


def test_one_marked_onset_makes_one_found_one_right():
    right = segmentation.match(np.array([0.95, 1.05, 2.0]), np.array([1.0, 2.1, 3.0]), 0.1)
    np.testing.assert_array_equal(right, [True, False, True])  # 2.0 to 2.1 is within, whatever floats say
    np.testing.assert_array_equal(segmentation.match(np.array([2.0]), np.array([2.1]), 0.099), [False])


def test_no_pairing_is_larger(rng):
    """Against the assignment problem, which knows no order of time."""
    for _ in range(200):
        found, marked = (np.sort(rng.uniform(0, 3, rng.integers(0, 12))) for _ in range(2))
        tolerance = rng.uniform(0.05, 0.5)
        near = np.abs(found[:, None] - marked) <= tolerance
        rows, columns = scipy.optimize.linear_sum_assignment(near, maximize=True)
        assert segmentation.match(found, marked, tolerance).sum() == near[rows, columns].sum()


def test_onsets_are_where_a_state_follows_a_known_one():
    states = np.array([1, 1, 2, 3, 4, 1, 1, 0, 1, 2, 3, 3], np.int8)
    np.testing.assert_array_equal(segmentation.onsets(states, S1), [5])  # not 0, nor 8 behind the unknown
    np.testing.assert_array_equal(segmentation.onsets(states, S2), [3, 10])


def test_middles():
    states = np.array([1, 1, 2, 3, 4, 1, 1, 1, 0, 1], np.int8)
    np.testing.assert_array_equal(segmentation.middles(states, S1), [1, 6.5, 9.5])


def test_nothing_is_extra_near_what_is_unknown():
    states = np.full(100, HeartState.DIASTOLE, np.int8)
    states[50:60] = HeartState.UNKNOWN
    found = np.array([0.0, 0.9, 1.1, 3.0, 3.9, 4.1, 5.5, 6.9, 7.1, 8.8, 9.1])
    told = segmentation.told(found, states, 10, 1.0)  # 10 Hz: unknown from 5.0 to 5.9 s
    np.testing.assert_array_equal(found[told], [1.1, 3.0, 3.9, 7.1, 8.8])


def test_score_by_hand():
    found, marked = np.array([1.0, 2.0, 2.05, 7.0]), np.array([1.05, 2.0, 5.0])
    assert segmentation.score(found, marked, 0.1) == Matches(right=2, extra=2, missed=1)
    told = np.array([False, True, True, False])
    assert segmentation.score(found, marked, 0.1, told) == Matches(right=2, extra=1, missed=1)
    assert segmentation.score(found[:0], marked, 0.1) == Matches(missed=3)


def test_summary_adds_up_and_resamples_groups(rng):
    matches = [Matches(right=int(n), extra=1, missed=2) for n in rng.integers(5, 50, 40)]
    groups = [f"g{k // 2}" for k in range(40)]
    summary = segmentation.summarise(matches, groups, resamples=4000)
    right = sum(one.right for one in matches)
    assert summary.counts == Matches(right, 40, 80)
    assert (summary.recordings, summary.groups) == (40, 20)
    assert summary.ppv.value == pytest.approx(right / (right + 40))
    # The plain bootstrap, written out.
    per_group = np.array([[sum(m.right for m in matches[2 * g : 2 * g + 2]), 2.0, 4.0] for g in range(20)])
    drawn = per_group[rng.integers(0, 20, (4000, 20))].sum(axis=1)
    want = np.percentile(2 * drawn[:, 0] / (2 * drawn[:, 0] + drawn[:, 1] + drawn[:, 2]), (2.5, 97.5))
    np.testing.assert_allclose(summary.f1.interval, want, atol=3e-3)
    assert segmentation.summarise(matches[:4], groups[:4]).f1.interval is None  # two groups say nothing
    with pytest.raises(ValueError, match="a group for each"):
        segmentation.summarise([], [])
