"""Features on the device, or streamed to it: the same networks, and nothing that a run leaves is missing."""

import numpy as np
import pytest

from hsjax import config as run_config
from hsjax.experiment import run
from hsjax.report.tables import read_predictions
from hsjax.types import UserError
from tests import hurry


def small(placement: str, cache: str, **changes):
    config = run_config.base()
    config.name, config.command = "placement", "pytest"
    config.stages = {
        "teacher": run_config.train_stage("song-student", epochs=1),
        "kd": run_config.train_stage("song-student", epochs=2, objective="distil", teacher="teacher", alpha=0.5),
        "report": run_config.report_stage(),
    }
    config.pipeline = ("teacher", "kd", "report")
    config.update_from_flattened_dict(
        {
            "data.placement": placement,
            "data.cache": cache,
            "data.synthetic.subjects": 40,
            "data.synthetic.recordings_per_subject": 1,
            "data.synthetic.seconds": 5.0,
            "evaluate.bootstrap": 100,
        }
        | changes
    )
    return config


def test_streamed_training_is_that_on_the_device(tmp_path):
    found = {}
    for placement in ("device", "stream"):
        with hurry.training():
            run.run(small(placement, str(tmp_path / "cache")), tmp_path / placement)
        predictions = read_predictions(tmp_path / placement / "report" / "predictions.csv")
        found[placement] = {(one.key, one.unit): one for one in predictions}
        assert (tmp_path / placement / "report" / "index.html").is_file()
    assert found["device"].keys() == found["stream"].keys()
    for key, one in found["device"].items():
        np.testing.assert_array_equal(one.recording, found["stream"][key].recording)
        np.testing.assert_allclose(one.probabilities, found["stream"][key].probabilities, atol=2e-3)


def test_streaming_cannot_scan(tmp_path):
    with pytest.raises(UserError, match=r"config\.dispatch=scan needs all data on the device"):
        run.run(small("stream", "", dispatch="scan"), tmp_path)


def test_a_set_that_does_not_fit_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("hsjax.train.device_memory.host_free", lambda *arguments: 1000)
    with pytest.raises(UserError, match=r"config\.data\.placement=stream"):
        run.run(small("device", ""), tmp_path)
