"""What the gate makes of files that cannot be run to the end; the other process is told what to say."""

import pathlib
import unittest.mock

import numpy as np
import pytest

from hsjax import predict, progress
from hsjax.config import ConfigDict
from hsjax.experiment import export_gate, export_scoring
from hsjax.experiment.context import Context
from hsjax.experiment.export_source import Source
from hsjax.export import gate
from hsjax.runtime import Aggregation, Description, Input, Variant, isolated, sidecar
from hsjax.types import Predictions, UserError

NAME = "tflite-float32-samples.tflite"
GOOD, BAD = (gate.Check(NAME, name, 0.0, 1.0, name == "good") for name in ("good", "bad"))
LAYER = gate.Check(NAME, "layer", 0.0, 1.0, False)


@pytest.fixture
def file(tmp_path):
    return tmp_path / NAME


def described(file, labels=("normal", "abnormal")):
    file.write_bytes(b"a model")
    description = Description(
        stage="kd", protocol="grouped", seed=0, dataset="synthetic", synthetic=True, labels=labels, positive=labels[1],
        threshold=0.5, aggregation=Aggregation.MEAN, sample_rate=1000, window=4, hop=4, versions={},
    )  # fmt: skip
    sidecar.write(
        file.parent, sidecar.describe(description, file, Variant.TFLITE_FLOAT32, Input.SAMPLES, front_end=None)
    )


def judged(file, answers):
    """Checks, and what the other process was asked for: it returns or raises what `answers` has for a function."""
    apart, context = unittest.mock.Mock(spec=isolated.Isolated), unittest.mock.Mock(spec=Context)
    source = unittest.mock.Mock(spec=Source)
    context.dataset.classes, source.trained = ("normal", "abnormal"), {}
    source.reference = unittest.mock.Mock(spec=Predictions)
    source.reference.probabilities = np.zeros((1, 2), np.float32)
    asked = []

    def call(function, *_):
        asked.append(function)
        answer = answers[function]
        if isinstance(answer, Exception):
            raise answer
        return answer

    apart.call.side_effect = call
    windows = export_gate._Windows(*(np.zeros((1, 4), np.float32),) * 4)
    recordings = [export_scoring.Tested(pathlib.Path("a.wav"), np.array([0]))]
    with progress.bar("test", 1) as advance:
        case = export_gate._Case(context, ConfigDict({"float_deviation": 1e-4}), source, windows, recordings)
        found = export_gate._judged(apart, case, file, advance)
    return found, asked


@pytest.mark.parametrize(
    ("error", "check", "detail"),
    [
        (isolated.Died("was killed by SIGSEGV"), "runs", "the process that ran it was killed by SIGSEGV"),
        (UserError("no such thing"), "runs on recordings", "no such thing"),
    ],
)
def test_what_was_found_before_a_file_died_or_was_refused_is_kept(file, error, check, detail):
    described(file)
    answers = {gate.inspect: [GOOD, BAD], predict.of_file: error, gate.locate: LAYER}
    (labels, *found), _ = judged(file, answers)
    assert labels.passed
    assert found == [GOOD, BAD, gate.broken(NAME, check, detail), LAYER]


def test_a_file_that_dies_at_every_try(file):
    described(file)
    died = isolated.Died("was killed by SIGSEGV")
    found, _ = judged(file, {gate.inspect: died, gate.locate: died})
    assert [check.check for check in found] == ["labels out of place", "runs", "values of its layers"]
    assert all(check.detail.endswith("was killed by SIGSEGV") for check in found[1:])


def test_a_file_without_its_sidecar(file):
    (check,), asked = judged(file, {})
    assert (check.check, asked) == ("runs on recordings", [])


def test_a_file_that_names_other_classes_is_not_scored(file):
    described(file, ("murmur", "none"))
    found, asked = judged(file, {gate.locate: LAYER})
    assert [check.check for check in found] == ["labels out of place", "layer"]
    assert not found[0].passed
    assert asked == [gate.locate]


@pytest.mark.parametrize(("low", "drop"), [(-0.02, 0.02), (0.01, 0.0), (np.nan, np.nan)])
def test_the_largest_drop_that_an_interval_leaves_possible(low, drop):
    assert export_gate.largest_drop(low) == pytest.approx(drop, nan_ok=True)
    assert gate.metric_drop("m", "AUROC", 0.9, 0.9, bound=drop)[1].passed == (drop == 0)
