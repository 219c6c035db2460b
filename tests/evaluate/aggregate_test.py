import dataclasses

import numpy as np
import pytest

from hsjax.evaluate import aggregate
from hsjax.types import Aggregation, Predictions, RunKey

SEGMENTS = Predictions(
    key=RunKey("synthetic", "grouped", "kd", 0),
    unit="segment",
    classes=("normal", "abnormal"),
    recording=np.array(["b", "a", "b", "a", "a"]),
    start=np.array([0.0, 0.0, 2.5, 2.5, 5.0]),
    group=np.array(["s2", "s1", "s2", "s1", "s1"]),
    label=np.array([1, 0, 1, 0, 0], np.int32),
    probabilities=np.array([[0.4, 0.6], [0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.1, 0.9]], np.float32),
)


def test_mean_probability_of_each_recording():
    recordings = aggregate.recordings(SEGMENTS)
    assert (recordings.unit, recordings.key, recordings.classes) == ("recording", SEGMENTS.key, SEGMENTS.classes)
    assert recordings.recording.tolist() == ["a", "b"]
    assert recordings.group.tolist() == ["s1", "s2"]
    assert recordings.label.tolist() == [0, 1]
    assert recordings.start.tolist() == [0, 0]
    np.testing.assert_allclose(recordings.probabilities, [[0.5, 0.5], [0.3, 0.7]], rtol=1e-6)
    assert recordings.probabilities.dtype == np.float32


def test_contradicting_segments_are_refused():
    with pytest.raises(ValueError, match="share its label"):
        aggregate.recordings(dataclasses.replace(SEGMENTS, label=np.array([1, 0, 0, 0, 0], np.int32)))
    with pytest.raises(ValueError, match="only segments"):
        aggregate.recordings(aggregate.recordings(SEGMENTS))


def test_recordings_are_scored_as_predict_does_it():
    """Of recording a two windows tell something, 1 - H(0.9, 0.1) = 0.531 each; of b 0.02905 and 0.27807."""
    recordings = aggregate.recordings(SEGMENTS, Aggregation.CONFIDENCE)
    b = (0.02905 * 0.4 + 0.27807 * 0.2) / (0.02905 + 0.27807)
    np.testing.assert_allclose(recordings.probabilities, [[0.5, 0.5], [b, 1 - b]], atol=1e-5)
    even = dataclasses.replace(SEGMENTS, probabilities=np.full((5, 2), 0.5, np.float32))
    np.testing.assert_allclose(aggregate.recordings(even, Aggregation.CONFIDENCE).probabilities, 0.5)
