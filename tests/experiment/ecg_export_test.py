"""A run on beats of a few real ECG records goes through export, gate and report, and `predict` uses what it leaves."""

import json
import pathlib

import numpy as np
import pytest
import wfdb

from hsjax import config as run_config
from hsjax import predict
from hsjax.data.readers import mitdb
from hsjax.data.readers.beat_labels import BEAT_SYMBOLS
from hsjax.evaluate import r_peaks
from hsjax.experiment import folder, run
from hsjax.report.tables import read_results
from hsjax.runtime import BeatCut, sidecar
from tests import hurry

RECORDS, SECONDS = ("106", "200", "203", "208", "209", "215", "220", "223", "232"), 120
VARIANTS = ("tflite-float32", "tflite-int8", "onnx-float32")


def shortened(root: pathlib.Path, target: pathlib.Path) -> None:
    """The first two minutes of some records, as wfdb writes them."""
    target.mkdir(parents=True)
    end = SECONDS * mitdb.SAMPLE_RATE
    for name in RECORDS:
        source = str(root / mitdb.FOLDER / name)
        record = wfdb.rdrecord(source, physical=False, sampto=end)
        annotation = wfdb.rdann(source, "atr", sampto=end - 1)
        wfdb.wrsamp(
            name, record.fs, record.units, record.sig_name, d_signal=record.d_signal, fmt=record.fmt,
            adc_gain=record.adc_gain, baseline=record.baseline, comments=record.comments, write_dir=str(target),
        )  # fmt: skip
        wfdb.wrann(name, "atr", annotation.sample, annotation.symbol, write_dir=str(target))


def settings(root: pathlib.Path) -> run_config.ConfigDict:
    config = run_config.base()
    config.name, config.command, config.protocols = "ecg", "pytest", ("inter-patient",)
    config.stages = {
        "student": run_config.train_stage("song-student", epochs=2, batch_size=32),
        # So little training leaves beats between two classes: what is tested here is the way, not the network.
        "export": run_config.export_stage(
            models=("student",), protocol="inter-patient", variants=VARIANTS, agreement=0.9, auroc_drop=0.1
        ),
        "report": run_config.report_stage(),
    }
    config.pipeline = ("student", "export", "report")
    config.update_from_flattened_dict(
        {
            "data.name": "mitdb", "data.root": str(root), "evaluate.bootstrap": 100, "prepare.cut": "beats",
            "prepare.sample_rate": 360, "prepare.window_seconds": 3.6, "prepare.hop_seconds": 3.6,
            "features.name": "birton", "split.inter-patient.validation": 0.3,
        }
    )  # fmt: skip
    return config


@pytest.fixture(scope="module")
def finished(real_root, tmp_path_factory):
    root = tmp_path_factory.mktemp("ecg")
    shortened(real_root, root / "data" / mitdb.FOLDER)
    with hurry.training():
        run.run(settings(root / "data"), root / "run")
    return root


@pytest.mark.realdata
def test_every_file_is_scored_on_the_beats_of_its_network(finished):
    directory = finished / "run" / "exports" / "student"
    checks = json.loads((directory / "gate.json").read_text())
    assert {check["check"] for check in checks if not check["passed"]} == set()
    stage = finished / "run" / "stages" / "inter-patient" / "0" / "student"
    network = folder.load_predictions(stage / "predictions-test.npz")
    files = sorted((directory / "predictions").glob("*.npz"))
    assert len(files) == 2 * len(VARIANTS)
    for file in files:
        scored = folder.load_predictions(file)
        assert scored.unit == "segment"
        np.testing.assert_array_equal(scored.recording, network.recording)
        np.testing.assert_array_equal(scored.start, network.start)
        tolerance = 1e-4 if "float32" in file.name else 0.2
        np.testing.assert_allclose(scored.probabilities, network.probabilities, atol=tolerance)
    rows = read_results(finished / "run" / "report" / "results.csv")
    agreements = [row for row in rows if row.metric == "agreement"]
    assert {(row.unit, row.n, row.n_groups) for row in agreements} == {("segment", len(network.label), 2)}
    assert (finished / "run" / "report" / "index.html").is_file()


@pytest.mark.realdata
def test_predict_needs_the_file_and_its_sidecar_alone(finished, capsys):
    model = finished / "run" / "exports" / "student" / "tflite-int8-samples.tflite"
    assert sidecar.read(model).beats == BeatCut(("MLII",))
    record = finished / "data" / mitdb.FOLDER / "200.hea"
    capsys.readouterr()
    assert predict.main([str(model), str(record)]) == 0
    line = json.loads(capsys.readouterr().out)
    annotated = wfdb.rdann(str(record.with_suffix("")), "atr")
    reference = annotated.sample[np.isin(annotated.symbol, sorted(BEAT_SYMBOLS))]
    detected = np.rint(np.array([beat["time"] for beat in line["beats"]]) * mitdb.SAMPLE_RATE).astype(int)
    score = r_peaks.score(reference, detected, mitdb.SAMPLE_RATE)
    assert line["lead"] == "MLII"
    assert sum(line["counts"].values()) == len(line["beats"])
    assert min(score.sensitivity, score.positive_predictivity) > 0.98


@pytest.mark.realdata
def test_a_random_split_of_beats_is_exported_too(finished):
    """As Birton splits: test beats lie between beats that were trained on."""
    config = settings(finished / "data")
    config.protocols, config.stages.export.protocol = ("paper",), "paper"
    config.stages.export.variants, config.stages.student.epochs = ("tflite-float32",), 1
    with hurry.training():
        run.run(config, finished / "paper")
    directory = finished / "paper" / "exports" / "student"
    assert all(check["passed"] for check in json.loads((directory / "gate.json").read_text()))
    scored = folder.load_predictions(directory / "predictions" / "tflite-float32-samples.npz")
    assert len(np.unique(scored.recording)) > 2
