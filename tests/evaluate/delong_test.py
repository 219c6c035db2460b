import hypothesis
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import strategies as st

from hsjax.evaluate import delong

# 43 patients: albumin, total protein, K-G score and the indicator of benefit; the example of DeLong et al. 1988 in the
# documentation of SAS/STAT, PROC LOGISTIC, "Comparing Receiver Operating Characteristic Curves".
_TABLE = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0
2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1
4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1
3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
3.6 6.6 5 1
"""
PATIENTS = np.array(_TABLE.split(), float).reshape(-1, 4)
ALBUMIN, PROTEIN, K_G, BENEFIT = PATIENTS[:, 0], PATIENTS[:, 1], 10 - PATIENTS[:, 2], PATIENTS[:, 3] == 1


@pytest.mark.parametrize(
    ("score", "value", "error", "low", "high"),
    [
        (ALBUMIN, 0.7366, 0.0927, 0.5549, 0.9182),
        (K_G, 0.7258, 0.1028, 0.5243, 0.9273),
        (PROTEIN, 0.6478, 0.1000, 0.4518, 0.8439),
    ],
)
def test_published_areas(score, value, error, low, high):
    found = delong.area(score, BENEFIT)
    assert found.value == pytest.approx(value, abs=5e-5)
    assert found.standard_error == pytest.approx(error, abs=5e-5)
    assert found.plain_interval == pytest.approx((low, high), abs=5e-5)
    assert (found.n, found.n_groups) == (43, 43)


@pytest.mark.parametrize(
    ("score", "value", "error", "low", "high", "chi_square", "p"),
    [
        (ALBUMIN, 0.0108, 0.0953, -0.1761, 0.1976, 0.0127, 0.9102),
        (PROTEIN, -0.0780, 0.1046, -0.2830, 0.1271, 0.5554, 0.4561),
    ],
)
def test_published_differences(score, value, error, low, high, chi_square, p):
    found = delong.difference(score, K_G, BENEFIT)
    assert found.value == pytest.approx(value, abs=5e-5)
    assert found.standard_error == pytest.approx(error, abs=5e-5)
    assert found.interval == pytest.approx((low, high), abs=5e-5)
    assert found.z**2 == pytest.approx(chi_square, abs=5e-5)
    assert found.p == pytest.approx(p, abs=5e-5)


def explicit_components(score, positive):
    """DeLong's structural components, pair by pair."""
    gain = score[positive][:, None] - score[~positive][None, :]
    kernel = (gain > 0) + (gain == 0) / 2
    return kernel.mean(1), kernel.mean(0)


def explicit_covariance(a, b, positive, group):
    """Obuchowski's equations (1997) of two areas, cluster by cluster."""
    num_positive, num_negative = positive.sum(), (~positive).sum()
    parts = []
    for score in (a, b):
        of_positive, of_negative = explicit_components(score, positive)
        theta = of_positive.mean()
        sums = []
        for one in np.unique(group):
            mine_positive, mine_negative = of_positive[group[positive] == one], of_negative[group[~positive] == one]
            sums.append(
                (
                    mine_positive.sum() - len(mine_positive) * theta,
                    mine_negative.sum() - len(mine_negative) * theta,
                    len(mine_positive) > 0,
                    len(mine_negative) > 0,
                )
            )
        parts.append(np.array(sums))
    a, b = parts
    clusters, with_positive, with_negative = len(a), a[:, 2].sum(), a[:, 3].sum()
    s10 = with_positive / ((with_positive - 1) * num_positive) * (a[:, 0] * b[:, 0]).sum()
    s01 = with_negative / ((with_negative - 1) * num_negative) * (a[:, 1] * b[:, 1]).sum()
    s11 = clusters / (clusters - 1) * (a[:, 0] * b[:, 1]).sum()
    s11_back = clusters / (clusters - 1) * (b[:, 0] * a[:, 1]).sum()
    return s10 / num_positive + s01 / num_negative + (s11 + s11_back) / (num_positive * num_negative)


@st.composite
def grouped_scores(draw):
    n = draw(st.integers(6, 40))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    group = np.array([f"g{index}" for index in rng.integers(0, draw(st.integers(4, 12)), n)])
    positive = rng.random(n) < 0.4
    hypothesis.assume(len(set(group[positive])) > 1 and len(set(group[~positive])) > 1)
    # Few distinct scores: ties within and between the classes.
    return rng.integers(0, 8, n) / 7, rng.integers(0, 8, n) / 7, positive, group


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(grouped_scores())
def test_equals_explicit_components(case):
    a, b, positive, group = case
    for clusters, given_group in ((np.arange(len(a)), None), (group, group)):
        found = delong.area(a, positive, given_group)
        assert found.value == pytest.approx(sklearn.metrics.roc_auc_score(positive, a))
        variance = explicit_covariance(a, a, positive, clusters)
        if variance > 1e-12:
            assert found.standard_error == pytest.approx(np.sqrt(variance))
        elif variance < -1e-12:
            assert np.isnan(found.standard_error)
        else:
            assert found.standard_error == 0
            assert found.interval is None
        gain = delong.difference(a, b, positive, given_group)
        covariance = explicit_covariance(a, b, positive, clusters)
        variance += explicit_covariance(b, b, positive, clusters) - 2 * covariance
        if variance > 1e-12:
            assert gain.standard_error == pytest.approx(np.sqrt(variance))


def test_groups_of_equal_units_count_once():
    """Every patient five times: the clustered error must be that of the patients, DeLong's is smaller by sqrt 5."""
    score, positive = np.tile(ALBUMIN, 5), np.tile(BENEFIT, 5)
    patient = np.tile(np.arange(43), 5)
    once = delong.area(ALBUMIN, BENEFIT)
    clustered, naive = delong.area(score, positive, patient), delong.area(score, positive)
    assert clustered.standard_error == pytest.approx(once.standard_error)
    assert clustered.interval == pytest.approx(once.interval)
    assert (clustered.n, clustered.n_groups) == (215, 43)
    assert naive.standard_error == pytest.approx(once.standard_error / np.sqrt(5), rel=0.05)


def test_logit_interval_by_hand():
    found = delong.area(ALBUMIN, BENEFIT)
    odds = found.value / (1 - found.value)
    factor = np.exp(1.959964 * found.standard_error / (found.value * (1 - found.value)))
    expected = [odds / factor / (1 + odds / factor), odds * factor / (1 + odds * factor)]
    np.testing.assert_allclose(found.interval, expected, rtol=1e-6)


def test_plain_interval_is_cut_where_the_logit_one_stays_inside():
    score = np.array([0.9, 0.8, 0.7, 0.55, 0.6, 0.3, 0.2, 0.1])
    found = delong.area(score, np.arange(8) < 4)
    assert found.value == pytest.approx(15 / 16)
    assert found.plain_interval[1] == 1.0
    assert found.interval[1] < 1


def test_degenerate_inputs():
    half = np.arange(10) < 5
    for positive in (np.zeros(10, bool), np.ones(10, bool)):
        found = delong.area(np.arange(10.0), positive)
        assert np.isnan(found.value)
        assert np.isnan(found.standard_error)
        assert (found.interval, found.plain_interval) == (None, None)
        assert np.isnan(delong.difference(np.arange(10.0), np.ones(10), positive).p)
    assert np.isnan(delong.area(np.zeros(0), np.zeros(0, bool)).value)
    ties = delong.area(np.ones(10), half)
    assert (ties.value, ties.standard_error, ties.interval, ties.plain_interval) == (0.5, 0.0, None, None)
    perfect = delong.area(half.astype(float), half)
    assert (perfect.value, perfect.standard_error, perfect.interval) == (1.0, 0.0, None)
    lone = delong.area(np.arange(10.0), np.arange(10) == 4)
    assert lone.value == pytest.approx(4 / 9)
    assert np.isnan(lone.standard_error)
    one_group = delong.area(np.arange(10) % 3, half, np.zeros(10, int))
    assert np.isnan(one_group.standard_error)
    with pytest.raises(ValueError, match="finite"):
        delong.area(np.array([0.0, np.nan]), np.array([True, False]))


def test_equal_and_opposite_rankings():
    same = delong.difference(ALBUMIN, ALBUMIN**3, BENEFIT)
    assert (same.value, same.interval, same.p) == (0.0, (0.0, 0.0), 1.0)
    half = (np.arange(10) < 5).astype(float)
    opposite = delong.difference(half, -half, half == 1)
    assert (opposite.value, opposite.interval) == (1.0, None)
    assert np.isnan(opposite.p)
    forth, back = delong.difference(ALBUMIN, K_G, BENEFIT), delong.difference(K_G, ALBUMIN, BENEFIT)
    assert forth.value == -back.value
    assert forth.p == back.p
