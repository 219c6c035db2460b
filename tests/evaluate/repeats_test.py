import dataclasses

import numpy as np
import pytest
import scipy.stats

from hsjax.evaluate import repeats
from hsjax.types import ResultRow

ROW = ResultRow(
    "synthetic", "grouped", "kd", 0, 0, "test", "segment", "jax", "features", "accuracy", "", 0.5, 0.4, 0.6, 9, 3
)


def test_summary_equals_scipy():
    values = {2: 0.9, 0: 0.8, 1: 0.82}
    found = repeats.repeats(values)
    assert (found.seeds, found.values) == ((0, 1, 2), (0.8, 0.82, 0.9))
    assert found.mean == pytest.approx(0.84)
    assert found.sd == pytest.approx(np.sqrt((0.04**2 + 0.02**2 + 0.06**2) / 2))
    assert (found.lowest, found.highest) == (0.8, 0.9)
    expected = scipy.stats.ttest_1samp(found.values, 0).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high))


def test_one_seed_has_no_spread():
    found = repeats.repeats({3: 0.7})
    assert (found.values, found.mean, found.interval) == ((0.7,), 0.7, None)
    assert np.isnan(found.sd)
    with pytest.raises(ValueError, match="no seed"):
        repeats.repeats({})


def test_a_missing_value_is_shown_and_not_averaged_away():
    found = repeats.repeats({0: 0.7, 1: float("nan"), 2: 0.8})
    assert found.values[0] == 0.7
    assert np.isnan(found.mean)
    assert found.interval is None


def test_rows_by_figure():
    other = dataclasses.replace(ROW, metric="auroc", value=0.9)
    rows = [
        ROW,
        dataclasses.replace(ROW, seed=1, value=0.7, n=8),
        other,
        dataclasses.replace(ROW, seed="all", value=0.0),
    ]
    found = repeats.by_figure(rows)
    assert len(found) == 2
    (accuracy, summary), (auroc, single) = found.items()
    assert (accuracy.metric, accuracy.seed, accuracy.n, accuracy.low) == ("accuracy", "mean", None, None)
    assert accuracy.value == pytest.approx(0.6)
    assert summary.values == (0.5, 0.7)
    assert (auroc.metric, single.values) == ("auroc", (0.9,))
    with pytest.raises(ValueError, match="twice"):
        repeats.by_figure([ROW, dataclasses.replace(ROW, value=0.6)])
