"""What windows count for, against SciPy's entropy and arithmetic by hand."""

import numpy as np
import pytest
import scipy.stats

from hsjax.runtime import aggregation
from hsjax.types import Aggregation

PROBABILITIES = np.array([[0.9, 0.1], [0.5, 0.5], [0.0, 1.0], [0.3, 0.7]], np.float32)


def test_windows_count_by_what_their_entropy_leaves():
    want = 1 - scipy.stats.entropy(PROBABILITIES.astype(np.float64), base=2, axis=1)
    np.testing.assert_allclose(aggregation.weights(PROBABILITIES, Aggregation.CONFIDENCE), want, atol=1e-6)
    assert aggregation.weights(PROBABILITIES, Aggregation.CONFIDENCE)[1] == 0.0
    assert aggregation.weights(PROBABILITIES, Aggregation.MEAN).tolist() == [1.0] * 4


def test_of_three_classes_even_ones_count_for_nothing():
    even, sure = np.full((1, 3), 1 / 3, np.float32), np.array([[0.0, 0.0, 1.0]], np.float32)
    assert aggregation.weights(np.concatenate([even, sure]), Aggregation.CONFIDENCE).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("rule", "want"),
    [
        (Aggregation.MEAN, [0.425, 0.575]),
        # Weights 0.53100, 0, 1 and 0.11871.
        (Aggregation.CONFIDENCE, [0.311276, 0.688724]),
    ],
)
def test_a_recording_is_the_mean_by_what_they_count(rule, want):
    found = aggregation.over_windows(PROBABILITIES, rule)
    np.testing.assert_allclose(found, want, atol=2e-6)
    assert found.dtype == np.float32


def test_where_no_window_tells_anything_all_count_the_same():
    even = np.full((3, 2), 0.5, np.float32)
    np.testing.assert_allclose(aggregation.over_windows(even, Aggregation.CONFIDENCE), [0.5, 0.5])
