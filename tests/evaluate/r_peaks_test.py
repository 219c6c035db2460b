import math

import numpy as np
import pytest
import wfdb.processing

from hsjax.evaluate import r_peaks


def score(reference, detected, **options):
    return r_peaks.score(np.array(reference, int), np.array(detected, int), 100, **options)


@pytest.mark.parametrize(
    ("reference", "detected", "pairs"),
    [
        ([100], [115], [(0, 0)]),  # 150 ms are still within 150 ms
        ([100], [116], []),
        ([100], [85], [(0, 0)]),
        ([100], [84], []),
        ([100], [95, 102], [(0, 1)]),  # the nearer one of two
        ([100], [98, 105], [(0, 0)]),
        ([100, 110], [108], [(1, 0)]),
        ([100, 110], [103], [(0, 0)]),
        ([100, 110], [104, 112], [(0, 0), (1, 1)]),
        ([100, 110, 120], [110], [(1, 0)]),  # one-to-one, however wide the tolerance
        ([100, 110], [105], [(0, 0)]),  # as near to both: the earlier
        ([], [5], []),
        ([5], [], []),
    ],
)
def test_pairs_by_hand(reference, detected, pairs):
    found = r_peaks.match(np.array(reference, int), np.array(detected, int), 15)
    assert list(zip(found.reference.tolist(), found.detected.tolist(), strict=True)) == pairs
    assert score(reference, detected) == (len(pairs), len(reference) - len(pairs), len(detected) - len(pairs))


def test_counts_are_wfdb_s(rng):
    for _ in range(20):
        beats = np.cumsum(rng.integers(200, 500, 200))  # so far apart that no detection has two to choose from
        late = rng.choice(np.r_[-90:-54, -53:54, 55:90], 200)
        extra = beats[:-1][np.diff(beats) > 400] + 200
        detected = np.sort(np.concatenate([(beats + late)[rng.random(200) > 0.1], extra]))
        want = wfdb.processing.compare_annotations(beats, detected, 54)
        assert r_peaks.score(beats, detected, 360) == (want.tp, want.fn, want.fp)
        assert want.fn > 20


def test_what_is_not_counted():
    reference, detected = [50, 150, 250, 350, 450], [50, 200, 251, 300, 351, 460, 700]
    assert score(reference, detected) == (4, 1, 3)
    assert score(reference, detected, start=2.0) == (3, 0, 3)
    spans = np.array([[240, 310], [690, 10**12]])
    assert score(reference, detected, excluded=spans) == (3, 1, 1)
    # The span's own ends are in it.
    assert score([100, 200], [100, 200], excluded=np.array([[100, 200]])) == (0, 0, 0)
    # A pair goes where its annotated beat is.
    assert score([100], [95], start=1.0) == (1, 0, 0)
    assert score([95], [101], start=1.0) == (0, 0, 0)


def test_rates():
    found = r_peaks.gross([r_peaks.Detection(8, 2, 0), r_peaks.Detection(1, 0, 3)])
    assert found == (9, 2, 3)
    assert found.sensitivity == pytest.approx(9 / 11)
    assert found.positive_predictivity == pytest.approx(9 / 12)
    empty = r_peaks.gross([])
    assert empty == (0, 0, 0)
    assert math.isnan(empty.sensitivity)
    assert math.isnan(empty.positive_predictivity)


def test_lateness():
    late = r_peaks.timing_errors(np.array([100, 300, 500]), np.array([103, 298, 900]), 100)
    np.testing.assert_allclose(late, [0.03, -0.02])


def test_unsorted_beats_are_refused():
    with pytest.raises(ValueError, match="ascending"):
        score([2, 1], [1])
