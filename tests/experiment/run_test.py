"""The whole chain on embedded data: files, skipping, repeatability, and what stops it."""

import csv
import dataclasses
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import chex
import huggingface_hub
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from hsjax import predict
from hsjax.experiment import folder, run
from hsjax.export import models as exported
from hsjax.export.gate import GateFailed
from hsjax.runtime import graph, sidecar
from hsjax.types import UserError
from tests import hurry

ROOT = pathlib.Path(__file__).parent.parent.parent
PUBLISHED = ROOT / "configs" / "published.csv"

TINY = {
    "data.synthetic.subjects": 48,
    "data.synthetic.recordings_per_subject": 1,
    "data.synthetic.seconds": 5.0,
    "stages.teacher.epochs": 1,
    "stages.student.epochs": 3,
    "stages.kd.epochs": 3,
    "stages.export.calibration": 32,
    "stages.export.variants": ("tflite-float32", "tflite-float16", "tflite-int8", "onnx-float32", "onnx-int8-static"),
    # Of a dozen test recordings, a barely trained int8 network may well decide one otherwise.
    "stages.export.agreement": 0.5,
    "stages.export.auroc_drop": 0.5,
    "evaluate.bootstrap": 100,
}


@pytest.fixture(scope="module")
def tiny():
    """Makes configs/kd.py a run of seconds, nothing about it meant to be accurate; further changes by dotted name."""
    spec = importlib.util.spec_from_file_location("kd", ROOT / "configs" / "kd.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def make(variant: str = "", **changes):
        config = module.get_config(variant)
        config.update_from_flattened_dict(TINY | changes)
        return config

    return make


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
        for form in ("tflite-float32", "tflite-float16", "tflite-int8", "onnx-float32", "onnx-int8-static"):
            for input in ("features", "samples"):
                assert {f"{form}-{input}.{form.partition('-')[0]}", f"{form}-{input}.json"} <= names
    page = (finished / "report" / "index.html").read_text()
    assert "SYNTHETIC" in page
    assert "image/svg+xml" in page


def test_the_card_of_a_model_has_the_figures_of_the_table(finished):
    data = huggingface_hub.ModelCard.load(finished / "exports" / "kd" / "README.md").data
    results = {
        (row["metric"], f"{row['variant']}-{row['input']}"): float(row["value"])
        for row in rows(finished / "report" / "results.csv")
        if (row["stage"], row["unit"], row["seed"], row["label"]) == ("kd", "recording", "0", "")
    }
    names = {"MAcc": "macc", "sensitivity": "sensitivity", "specificity": "specificity", "AUROC": "auroc",
             "AUPRC": "auprc", "ECE": "ece"}  # fmt: skip
    forms = [f"{form}-{input}" for form in TINY["stages.export.variants"] for input in ("features", "samples")]
    assert {one.metric_name: one.metric_value for one in data.eval_results} == {
        f"{name}, {form}": results[metric, form] for name, metric in names.items() for form in forms
    }


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
    assert ("kd", "recording", "onnx-int8-static", "agreement") in found
    figures = {(row["stage"], row["variant"], row["metric"]): float(row["value"])
               for row in results if row["input"] == "features"}  # fmt: skip
    assert figures["kd", "jax", "parameters"] == 43_250
    assert figures["kd", "tflite-int8", "bytes"] <= 50_000
    assert all(row["n"] and row["n_groups"] for row in results if row["unit"] in ("segment", "recording"))


def test_recording_figures_follow_from_the_predictions(finished):
    """AUROC of a file, counted by hand over all pairs of predictions.csv."""
    chosen = [row for row in rows(finished / "report" / "predictions.csv")
              if (row["variant"], row["input"]) == ("tflite-int8", "features")
              and row["stage"] == "kd" and row["unit"] == "recording"]  # fmt: skip
    scores = {
        label: [float(r["p_abnormal"]) for r in chosen if r["label"] == label] for label in ("normal", "abnormal")
    }
    wins = [(a > b) + 0.5 * (a == b) for a in scores["abnormal"] for b in scores["normal"]]
    result = next(row for row in rows(finished / "report" / "results.csv")
                  if (row["variant"], row["input"], row["stage"], row["metric"])
                  == ("tflite-int8", "features", "kd", "auroc"))  # fmt: skip
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


def test_the_same_seed_gives_the_same_tables_in_another_process(finished, tmp_path):
    """With another hash seed, so that the order of no set can tell."""
    done = launch(tmp_path, flags(TINY), PYTHONHASHSEED="7").communicate(timeout=400)
    for name in ("predictions.csv", "curves.csv"):
        assert (tmp_path / "report" / name).read_bytes() == (finished / "report" / name).read_bytes(), done
    one, other = ([row for row in rows(workdir / "report" / "results.csv") if row["volatile"] == "0"]
                  for workdir in (finished, tmp_path))  # fmt: skip
    assert one == other
    for model in (finished / "exports").rglob("*lite"):
        assert model.read_bytes() == (tmp_path / model.relative_to(finished)).read_bytes()


def rewritten(path: pathlib.Path, content: bytes, **changes) -> None:
    """Another content for a model, with a sidecar that vouches for it."""
    described = sidecar.read(path)
    path.write_bytes(content)
    known = {field.name: getattr(described, field.name) for field in dataclasses.fields(sidecar.Description)}
    front_end = path.parent / exported.FRONT_END if described.front_end else None
    description = sidecar.Description(**known | changes)
    sidecar.write(path.parent, sidecar.describe(description, path, described.variant, described.input, front_end))


def harmful(content: bytes) -> bytes:
    """A TFLite file that writes a result over a constant, in memory that cannot be written to: LiteRT crashes."""
    opened = graph.opened(content)
    tensors, buffers = opened.subgraph.tensors, opened.model.buffers
    largest = max((tensor.buffer for tensor in tensors if buffers[tensor.buffer].data is not None),
                  key=lambda buffer: len(buffers[buffer].data))  # fmt: skip
    small = min((one.outputs[0] for one in opened.subgraph.operators), key=lambda index: np.prod(tensors[index].shape))
    tensors[small].buffer = largest
    return graph.closed(opened)


def test_a_failed_gate_fails_the_run_names_every_cause_and_keeps_the_rest(tiny, tmp_path, monkeypatch):
    whole = exported.export

    def sabotaged(folder, **keywords):
        files = {file.name: file for file in whole(folder, **keywords)}
        # Cut off, swapped labels, weights that count for more, a crash, and a sidecar from before.
        cut = files["onnx-float32-samples.onnx"]
        rewritten(cut, cut.read_bytes()[:1000])
        swapped = files["tflite-float16-features.tflite"]
        rewritten(swapped, swapped.read_bytes(), labels=("abnormal", "normal"))
        loud = graph.opened(files["tflite-int8-samples.tflite"].read_bytes())
        (second,) = [one for one in loud.subgraph.operators if loud.name(one) == "CONV_2D"][-1:]
        for tensor in (loud.subgraph.tensors[index] for index in second.inputs[1:]):
            tensor.quantization.scale = tensor.quantization.scale * 50
        rewritten(files["tflite-int8-samples.tflite"], graph.closed(loud))
        crashes = files["tflite-float16-samples.tflite"]  # not what the layers of another are held against
        rewritten(crashes, harmful(crashes.read_bytes()))
        stale = files["onnx-int8-static-features.onnx"]
        stale.write_bytes(stale.read_bytes() + b"\0")
        return list(files.values())

    monkeypatch.setattr(exported, "export", sabotaged)
    config = tiny(
        pipeline=("student", "export", "report"),
        **{"stages.export.models": ("student",), "stages.export.agreement": 1.0, "evaluate.differences": ()},
    )
    for _ in range(2):  # a finished export that failed goes on failing
        with hurry.training(), pytest.raises(GateFailed) as error:
            run.run(config, tmp_path)
        told = {check.model.removeprefix("student/"): [] for check in error.value.checks}
        for check in error.value.checks:
            told[check.model.removeprefix("student/")].append(f"{check.check}: {check.detail}")
        assert "ONNX" in told.pop("onnx-float32-samples.onnx")[0]
        assert "output 0 is normal, not abnormal" in told.pop("tflite-float16-features.tflite")[0]
        assert any(": CONV_2D network/" in line for line in told.pop("tflite-int8-samples.tflite"))
        assert "was killed by SIGSEGV" in told.pop("tflite-float16-samples.tflite")[0]
        assert "stale or swapped file" in told.pop("onnx-int8-static-features.onnx")[0]
        assert not told
        assert "failed" in (tmp_path / "report" / "index.html").read_text()
        scored = {(row["variant"], row["input"]) for row in rows(tmp_path / "report" / "predictions.csv")}
        assert {("tflite-int8", "features"), ("onnx-float32", "features"), ("onnx-int8-static", "samples")} <= scored
        assert ("onnx-float32", "samples") not in scored


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (("tflite-int4",), "'tflite-int4'; it must be one of tflite-float32, "),
        (("tflite-int8",), "has tflite-int8 without tflite-float32, which the gate compares it with; add it"),
        (("tflite-float32", "onnx-int8-static"), "has onnx-int8-static without onnx-float32"),
        ((), "give one or more different ones"),
        (("tflite-float32", "tflite-float32"), "give one or more different ones"),
    ],
)
def test_variants_that_cannot_be_are_refused_before_any_work(tiny, tmp_path, variants, message):
    with pytest.raises(UserError, match=message):
        run.run(tiny(**{"stages.export.variants": variants}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_other_settings_in_the_same_folder_are_refused_before_anything_changes(finished, tiny):
    before = (finished / "config.json").read_bytes()
    with pytest.raises(UserError, match=r"made with other settings: stage.alpha \(was 0.1, is 0.3\).*--workdir"):
        run.run(tiny(**{"stages.kd.alpha": 0.3}), finished)
    assert (finished / "config.json").read_bytes() == before


def test_five_classes_without_a_class_to_detect(tiny, tmp_path, capsys):
    changes = {"data.synthetic.task": "condition", "data.synthetic.subjects": 60, "evaluate.differences": ()}
    with hurry.training():
        run.run(tiny(pipeline=("student", "report"), **changes), tmp_path, PUBLISHED)
    assert "AUROC" in capsys.readouterr().out
    found = {row["metric"] for row in rows(tmp_path / "report" / "results.csv")}
    assert {"accuracy", "macro_recall"} <= found
    assert "threshold" not in found


def flags(settings: dict) -> list[str]:
    return [f"--config.{key}={value}" for key, value in settings.items()]


def launch(workdir: pathlib.Path, arguments: list[str], **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "hsjax.launch", "--config=configs/kd.py", f"--workdir={workdir}", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | environment
    )


def epochs_done(stage: pathlib.Path) -> int:
    log = stage / "metrics.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def arrays(stage: pathlib.Path) -> list[np.ndarray]:
    """The trained parameters, as Orbax reads them without being told their shapes."""
    with ocp.StandardCheckpointer() as checkpointer:
        return jax.tree.leaves(checkpointer.restore((stage / "variables").absolute()))


def test_killed_at_any_moment_ends_with_the_same_parameters(tmp_path):
    """SIGKILL in the middle of each stage, when an epoch has been logged and its checkpoint is being written."""
    arguments = flags(TINY | {"stages.student.epochs": 5, "stages.kd.epochs": 5, "stages.teacher.epochs": 2})
    arguments.append("--config.pipeline=('teacher','student','kd')")
    whole = launch(tmp_path / "whole", arguments, XLA_FLAGS=hurry.FLAGS)
    output = whole.communicate(timeout=400)[0]
    assert whole.returncode == 0, output
    for stage, epochs in (("teacher", 1), ("student", 3), ("kd", 2)):
        folder_of_stage = tmp_path / "killed" / "stages" / "grouped" / "0" / stage
        process = launch(tmp_path / "killed", arguments, XLA_FLAGS=hurry.FLAGS)
        while epochs_done(folder_of_stage) < epochs and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (folder_of_stage / "done.json").exists()
    last = launch(tmp_path / "killed", arguments, XLA_FLAGS=hurry.FLAGS)
    output = last.communicate(timeout=400)[0]
    assert last.returncode == 0, output
    for stage in ("teacher", "student", "kd"):
        one, other = (tmp_path / name / "stages" / "grouped" / "0" / stage for name in ("whole", "killed"))
        chex.assert_trees_all_equal(arrays(one), arrays(other))
        for split in ("validation", "test"):
            got, want = (folder.load_predictions(path / f"predictions-{split}.npz") for path in (one, other))
            np.testing.assert_array_equal(got.probabilities, want.probabilities)
