import pathlib

import numpy as np

from hsjax import config as run_config
from hsjax.experiment import report_stage
from hsjax.experiment.context import Context
from hsjax.types import Predictions, RunKey


class Detecting(Context):
    """A run that is known to have a class to detect, without its data."""

    positive = 1


def predictions(stage, split):
    probability = np.array([0.1, 0.3, 0.2, 0.8], np.float32)
    name = np.array(["a", "b", "c", "d"])
    return Predictions(
        RunKey("d", "grouped", stage, 0, 0, split), "recording", ("normal", "abnormal"), name, np.zeros(4), name,
        np.array([0, 1, 0, 1], np.int32), np.stack([1 - probability, probability], 1),
    )  # fmt: skip


def test_on_validation_a_sweep_is_compared_with_its_plain_stage_alone():
    config = run_config.base()
    taught = {"objective": "distil", "teacher": "teacher"}
    config.stages = {
        "teacher": run_config.train_stage("song-teacher"),
        "student": run_config.train_stage("song-student"),
        "kd": run_config.train_stage("song-student", **taught),
        "grid": run_config.train_stage("song-student", **taught, sweep=run_config.grid(alpha=(0.1, 0.3))),
    }
    config.pipeline = tuple(config.stages)
    members = ["grid@alpha=0.1", "grid@alpha=0.3"]
    names = ("teacher", "student", "kd", *members)
    made = [predictions(name, split) for name in names for split in ("validation", "test")]
    context = Detecting(config, pathlib.Path())
    found = report_stage._compared_on_validation(context, made)
    assert [(one.predictions.key.stage, one.predictions.key.split) for one in found] == [
        (name, "validation") for name in ("student", *members)
    ]
    # Every abnormal one lies above every normal one from 0.2 to 0.3: decided there.
    assert all(0.2 <= one.threshold <= 0.3 for one in found)
