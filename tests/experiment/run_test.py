"""The whole chain on embedded data: files, skipping, repeatability, and what stops it."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from hsjax import predict
from hsjax.experiment import folder, run
from hsjax.export.gate import GateFailed
from hsjax.types import UserError

ROOT = pathlib.Path(__file__).parent.parent.parent
PUBLISHED = ROOT / "configs" / "published.csv"


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    run.run(tiny(), workdir, PUBLISHED)
    return workdir


def rows(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_everything_is_there(finished):
    assert json.loads((finished / "config.json").read_text())["name"] == "kd"
    for stage in ("teacher", "student", "kd"):
        assert (finished / "stages" / "grouped" / "0" / stage / "metrics.jsonl").exists()
    for stage in ("student", "kd"):
        names = {path.name for path in (finished / "exports" / stage).iterdir()}
        for model in ("tflite-float32-features.tflite", "tflite-int8-features.tflite", "tflite-float32-samples.tflite",
                      "onnx-float32-features.onnx", "onnx-float32-samples.onnx"):  # fmt: skip
            assert {model, model.rpartition(".")[0] + ".json"} <= names
    page = (finished / "report" / "index.html").read_text()
    assert "SYNTHETIC" in page
    assert "image/svg+xml" in page


def test_results_hold_every_figure_with_its_n(finished):
    results = rows(finished / "report" / "results.csv")
    assert {row["dataset"] for row in results} == {"synthetic"}
    found = {(row["stage"], row["unit"], row["variant"], row["metric"]) for row in results}
    for stage in ("teacher", "student", "kd"):
        for unit in ("segment", "recording"):
            for metric in ("accuracy", "sensitivity", "specificity", "macc", "precision", "f1", "macro_f1", "auroc",
                           "auprc", "confusion", "macro_recall@0.5"):  # fmt: skip
                assert (stage, unit, "jax", metric) in found
    assert ("kd - student", "recording", "jax", "difference:auroc") in found
    assert ("kd", "recording", "tflite-int8", "auroc") in found
    figures = {(row["stage"], row["variant"], row["metric"]): float(row["value"]) for row in results}
    assert figures["kd", "jax", "parameters"] == 43_250
    assert figures["kd", "tflite-int8", "bytes"] <= 50_000
    assert all(row["n"] and row["n_groups"] for row in results if row["unit"] in ("segment", "recording"))


def test_recording_figures_follow_from_the_predictions(finished):
    """AUROC of a file, counted by hand over all pairs of predictions.csv."""
    chosen = [row for row in rows(finished / "report" / "predictions.csv")
              if row["variant"] == "tflite-int8" and row["stage"] == "kd" and row["unit"] == "recording"]  # fmt: skip
    scores = {
        label: [float(r["p_abnormal"]) for r in chosen if r["label"] == label] for label in ("normal", "abnormal")
    }
    wins = [(a > b) + 0.5 * (a == b) for a in scores["abnormal"] for b in scores["normal"]]
    result = next(row for row in rows(finished / "report" / "results.csv")
                  if (row["variant"], row["stage"], row["metric"]) == ("tflite-int8", "kd", "auroc"))  # fmt: skip
    assert float(result["value"]) == pytest.approx(np.mean(wins), abs=1e-8)
    assert int(result["n"]) == len(chosen)


def test_no_subject_crosses(finished):
    parts = {}
    for row in rows(finished / "report" / "predictions.csv"):
        parts.setdefault(row["split"], set()).add(row["group"])
    assert not parts["validation"] & parts["test"]


def test_predict_reproduces_the_scored_predictions(finished):
    model = finished / "exports" / "kd" / "tflite-int8-features.tflite"
    predictor = predict.Predictor(model)
    scored = [row for row in rows(finished / "report" / "predictions.csv")
              if row["variant"] == "tflite-int8" and row["stage"] == "kd"]  # fmt: skip
    for row in scored:
        got = predictor.file(finished / "recordings" / f"{row['recording']}.wav")
        assert got.probabilities["abnormal"] == pytest.approx(float(row["p_abnormal"]), abs=1e-6)


def test_running_again_does_nothing_again(finished, tiny):
    done = {path: path.stat().st_mtime_ns for path in finished.rglob("done.json")}
    before = (finished / "report" / "results.csv").read_bytes()
    run.run(tiny(), finished, PUBLISHED)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("done.json")} == done
    assert (finished / "report" / "results.csv").read_bytes() == before


def test_the_same_seed_gives_the_same_tables(finished, tiny, tmp_path):
    run.run(tiny(), tmp_path, PUBLISHED)
    for name in ("predictions.csv", "curves.csv"):
        assert (tmp_path / "report" / name).read_bytes() == (finished / "report" / name).read_bytes()
    one, other = ([row for row in rows(workdir / "report" / "results.csv") if row["volatile"] == "0"]
                  for workdir in (finished, tmp_path))  # fmt: skip
    assert one == other


def test_a_failed_gate_fails_the_run_and_keeps_the_rest(tiny, tmp_path):
    impossible = {"stages.export.int8_auroc_drop": -1.0, "stages.export.models": ("student",)}
    config = tiny(pipeline=("student", "export", "report"), **impossible, **{"evaluate.differences": ()})
    for _ in range(2):  # a finished export that failed goes on failing
        with pytest.raises(GateFailed, match="AUROC drop"):
            run.run(config, tmp_path)
        assert (tmp_path / "exports" / "student" / "tflite-int8-features.tflite").exists()
        assert "failed" in (tmp_path / "report" / "index.html").read_text()


def test_other_settings_in_the_same_folder_are_refused(finished, tiny):
    with pytest.raises(UserError, match=r"made with other settings: stage.alpha \(was 0.1, is 0.3\).*--workdir"):
        run.run(tiny(**{"stages.kd.alpha": 0.3}), finished)


def test_killed_at_any_moment_ends_with_the_same_parameters(tiny, tmp_path):
    """SIGKILL, three times, at moments spread over the run; then to the end."""
    arguments = ["--config=configs/kd.py", "--config.pipeline=('teacher','student','kd')",
                 "--config.data.synthetic.subjects=48", "--config.data.synthetic.recordings_per_subject=1",
                 "--config.data.synthetic.seconds=5.0", "--config.stages.teacher.epochs=2",
                 "--config.stages.student.epochs=6", "--config.stages.kd.epochs=6"]  # fmt: skip

    def start(workdir):
        command = [sys.executable, "-m", "hsjax.launch", *arguments, f"--workdir={workdir}"]
        return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ)

    began = time.monotonic()
    whole = start(tmp_path / "whole")
    assert whole.wait(300) == 0, whole.stderr.read()
    duration = time.monotonic() - began
    for fraction in (0.5, 0.7, 0.9):
        process = start(tmp_path / "killed")
        try:
            process.wait(fraction * duration)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    last = start(tmp_path / "killed")
    assert last.wait(300) == 0, last.stderr.read()
    for stage in ("teacher", "student", "kd"):
        for split in ("validation", "test"):
            one, other = (
                folder.load_predictions(workdir / "stages" / "grouped" / "0" / stage / f"predictions-{split}.npz")
                for workdir in (tmp_path / "whole", tmp_path / "killed")
            )
            np.testing.assert_array_equal(one.probabilities, other.probabilities)
