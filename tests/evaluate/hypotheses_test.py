import itertools

import numpy as np
import pytest
import scipy.stats
import statsmodels.stats.contingency_tables
import statsmodels.stats.multitest
import statsmodels.stats.proportion

from hsjax.evaluate import hypotheses
from hsjax.evaluate.hypotheses import Alternative


def right(*counts):
    """Two classifiers' hits from counts of both, only the first, only the second, neither."""
    pairs = [(True, True), (True, False), (False, True), (False, False)]
    return np.array([pair for pair, count in zip(pairs, counts, strict=True) for _ in range(count)]).T


@pytest.mark.parametrize("counts", [(90, 5, 0, 5), (40, 12, 3, 5), (0, 1, 1, 0), (10, 7, 7, 2), (3, 30, 12, 0)])
def test_mcnemar_equals_statsmodels(counts):
    found = hypotheses.mcnemar(*right(*counts))
    table = np.array(counts).reshape(2, 2)
    expected = statsmodels.stats.contingency_tables.mcnemar(table, exact=True)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.statistic == expected.statistic
    assert found[2:] == (sum(counts), counts[1], counts[2])


def test_mcnemar_without_disagreement():
    assert hypotheses.mcnemar(*right(4, 0, 0, 2)) == (0.0, 1.0, 6, 0, 0)
    assert hypotheses.mcnemar(np.zeros(0, bool), np.zeros(0, bool)) == (0.0, 1.0, 0, 0, 0)


def test_pairs_of_the_lightweight_models():
    """100, 95 and 100 of 100 right: five disagreements in one direction are .0625, not the .032 of the paper."""
    hits = {"mobilenet": np.ones(100, bool), "squeezenet": np.arange(100) >= 5, "efficientnet": np.ones(100, bool)}
    pairs = hypotheses.mcnemar_pairs(hits)
    assert [(pair.a, pair.b) for pair in pairs] == list(itertools.combinations(hits, 2))
    assert [pair.test.p for pair in pairs] == pytest.approx([2 / 2**5, 1.0, 2 / 2**5])
    # Holm by hand: the two smallest times 3 and 2, made rising.
    assert [pair.p_holm for pair in pairs] == pytest.approx([3 * 0.0625, 1.0, 3 * 0.0625])
    assert (pairs[2].test.only_a, pairs[2].test.only_b) == (0, 5)
    assert hypotheses.mcnemar_pairs({"alone": np.ones(3, bool)}) == []


@pytest.mark.parametrize("alternative", Alternative)
def test_two_proportions_by_hand(alternative):
    # 3421 units a side; Song et al. have 88.5 % against 86.3 %.
    a, b, n = 3028, 2952, 3421
    pooled = (a + b) / (2 * n)
    z = (a - b) / n / np.sqrt(pooled * (1 - pooled) * 2 / n)
    above = scipy.stats.norm.sf(z)
    expected = {Alternative.GREATER: above, Alternative.LESS: 1 - above, Alternative.DIFFERENT: 2 * above}
    found = hypotheses.two_proportions(a, n, b, n, alternative)
    assert found.statistic == pytest.approx(z)
    assert found.p == pytest.approx(expected[alternative])
    assert found.n == 2 * n


def test_published_significance_needs_more_than_the_published_test_set():
    """Song et al. print p < .001. Two samples of 1/11 of 37,631 cycles give .003; the student taken as known does."""
    n = 37631 // 11
    found = hypotheses.two_proportions(round(0.885 * n), n, round(0.863 * n), n)
    assert found.p == pytest.approx(0.0028, abs=2e-4)
    against_known = statsmodels.stats.proportion.proportions_ztest(
        round(0.885 * n), n, 0.863, alternative="larger", prop_var=0.863
    )
    assert against_known[1] < 0.001


def test_two_proportions_without_variance_or_units():
    for k in (0, 50):
        found = hypotheses.two_proportions(k, 50, k, 50)
        assert np.isnan(found.statistic)
        assert np.isnan(found.p)
        assert found.n == 100
    for counts in ((0, 0, 1, 2), (3, 2, 1, 2), (-1, 2, 1, 2)):
        with pytest.raises(ValueError, match="no proportion"):
            hypotheses.two_proportions(*counts)


def explicit_wilcoxon(gain):
    """Two-sided p by all assignments of signs."""
    gain = gain[gain != 0]
    ranks = scipy.stats.rankdata(np.abs(gain))
    centre = ranks.sum() / 2
    sums = np.array([ranks[np.array(signs)].sum() for signs in itertools.product([False, True], repeat=len(gain))])
    return (np.abs(sums - centre) >= abs(ranks[gain > 0].sum() - centre) - 1e-9).mean()


def test_wilcoxon_equals_all_assignments_of_signs(rng):
    for gain in (rng.normal(0.3, 1, 8), np.array([3, 1, 1, -2, 0, 2, 2]) / 8, np.array([1, 2, 3, 4, 5.0])):
        found = hypotheses.wilcoxon(gain + 5, np.full(len(gain), 5.0))
        assert found.p == pytest.approx(explicit_wilcoxon(np.round(gain, 12)))
        assert found.n == len(gain)
    assert hypotheses.wilcoxon(np.arange(1.0, 6), np.zeros(5)).p == pytest.approx(2 / 2**5)
    assert hypotheses.wilcoxon(np.arange(1.0, 6), np.zeros(5), Alternative.GREATER).p == pytest.approx(1 / 2**5)
    assert hypotheses.wilcoxon(np.arange(1.0, 6), np.zeros(5), Alternative.LESS).p == 1


def test_wilcoxon_ties_differences_that_rounding_parts():
    # 0.3 - 0.2 and 0.1 - 0.2 differ in the last bit of their size; tied they share the ranks 1 and 2.
    found = hypotheses.wilcoxon(np.array([0.3, 0.1, 0.5]), np.array([0.2, 0.2, 0.1]))
    assert found.statistic == 1.5


def test_wilcoxon_without_differences():
    assert hypotheses.wilcoxon(np.ones(4), np.ones(4)) == (0.0, 1.0, 4)
    assert hypotheses.wilcoxon(np.zeros(0), np.zeros(0)) == (0.0, 1.0, 0)
    with pytest.raises(ValueError, match="finite"):
        hypotheses.wilcoxon(np.array([np.nan]), np.array([1.0]))


def test_holm_by_hand():
    np.testing.assert_allclose(hypotheses.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(hypotheses.holm([0.9, 0.8]), [1, 1])
    assert len(hypotheses.holm([])) == 0
    for p in ([np.nan, 0.1], [1.2], [-0.1]):
        with pytest.raises(ValueError, match="between 0 and 1"):
            hypotheses.holm(p)
