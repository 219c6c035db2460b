import numpy as np
import pytest

from hsjax.data.readers import beat_labels
from hsjax.data.readers.beat_labels import Labels


def test_every_code_has_a_class():
    symbols = np.array(sorted(beat_labels.BEAT_SYMBOLS))
    assert set(beat_labels.label(symbols, Labels.AAMI).tolist()) == set("NSVFQ")
    assert set(beat_labels.label(symbols, Labels.BIRTON).tolist()) == {"N", "V", "F", "/", "f", "other"}
    assert set(beat_labels.label(symbols, Labels.AAMI_NSV).tolist()) == {"N", "S", "V", ""}


@pytest.mark.parametrize(
    ("labels", "want"),
    [
        # Codes of MIT-BIH in the order of its directory: normal, blocks, atrial, nodal, ventricular, paced, unknown.
        (Labels.AAMI, "N N N S S S S V F N N V Q Q Q"),
        (Labels.AAMI_NSV, "N N N S S S S V - N N V - - -"),
        (Labels.BIRTON, "N other other other other other other V F other other other / f other"),
    ],
)
def test_labels(labels, want):
    symbols = np.array(list("NLRAaJSVFejE/fQ"))
    assert beat_labels.label(symbols, labels).tolist() == want.replace("-", "").split(" ")
    assert beat_labels.label(symbols[:0], labels).tolist() == []


def test_rr_intervals():
    intervals = beat_labels.rr_intervals(np.array([36, 396, 576]), 360)
    np.testing.assert_array_equal(intervals, [[np.nan, 1.0], [1.0, 0.5], [0.5, np.nan]])
    np.testing.assert_array_equal(beat_labels.rr_intervals(np.array([7]), 360), [[np.nan, np.nan]])
    assert beat_labels.rr_intervals(np.zeros(0, np.int64), 360).shape == (0, 2)
