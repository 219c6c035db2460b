"""The card of an exported network, as Hugging Face's own library reads it, against the run's tables."""

import csv
import json

import huggingface_hub
import numpy as np
import pytest

from hsjax.config import base, export_stage, report_stage, train_stage
from hsjax.report import model_card, tables
from hsjax.runtime import Aggregation, Description, Input, Variant, sidecar
from hsjax.types import Predictions, ResultRow, RunKey

FORMS = (("tflite-int8", "features"), ("onnx-float32", "samples"))
# By name in the card, the metric of results.csv.
METRICS = {"MAcc": "macc", "sensitivity": "sensitivity", "specificity": "specificity", "AUROC": "auroc"}
VERDICT = "Audit of protocol grouped, tested examples: 3 of 90 are of a recording that was trained on; 0 of 90"


def figures(dataset):
    """Rows as the report stage writes them; every value is another."""
    rows, number = [], 0
    for stage in ("student", "other"):
        for variant, kind in (("jax", "features"), *FORMS):
            for metric in METRICS.values():
                number += 1
                place = (dataset, "grouped", stage, 0, 0, "test", "recording", variant, kind, metric, "")
                value = 0.5 + number / 1000 + 1 / 30000
                rows.append(ResultRow(*place, value, value - 0.1, value + 0.1, 40, 20))
            for metric in ("bytes", "parameters", "macs"):
                place = (dataset, "grouped", stage, 0, 0, "", "model", variant, kind, metric, "")
                rows.append(ResultRow(*place, 48_000.0 + number))
    place = (dataset, "grouped", "student", 0, 0, "test", "recording", "jax", "features", "threshold", "abnormal")
    return [*rows, ResultRow(*place, 0.4, None, None, 40, 20)]


def fabricate(folder, dataset="physionet2016", **changes):
    """A run's folder with one exported network of two files."""
    config = base()
    config.name, config.command, config.published = (
        "tiny",
        "python -m hsjax.launch --config=configs/tiny.py",
        "song2023",
    )
    config.stages = {
        "student": train_stage("song-student"),
        "other": train_stage("song-student"),
        "export": export_stage(models=("student",), threads=2),
        "report": report_stage(),
    }
    config.pipeline = tuple(config.stages)
    config.update_from_flattened_dict(changes)
    (folder / "config.json").write_text(config.to_json())
    part = {"examples": 90, "recordings": 40, "groups": 20, "groups_by_class": {"normal": 9, "abnormal": 11}}
    known = {"examples": 90, "of_trained_recording": 3, "of_trained_group": 0, "of_trained_twin": None}
    fold = {"protocol": "grouped", "fold": 0, "note": "", "warning": "Only 9 of 20 groups hold class normal.",
            "known": known, "parts": dict.fromkeys(("train", "validation", "test"), part)}  # fmt: skip
    data = {"recordings": 2820, "hours": 17.5, "groups": 1044, "grouping": "a table.", "unlabelled": 0,
            "subsets": {}, "distribution": {}, "folds": [fold]}  # fmt: skip
    report, exports = folder / "report", folder / "exports" / "student"
    exports.mkdir(parents=True)
    tables.write_results(report / tables.RESULTS, figures(dataset))
    name = np.array(["a", "b"])
    key, label = RunKey(dataset, "grouped", "student", 0, 0, "test"), np.array([0, 1], np.int32)
    probabilities = np.eye(2, dtype=np.float32)
    predicted = Predictions(key, "recording", ("normal", "abnormal"), name, np.zeros(2), name, label, probabilities)
    tables.write_predictions(report / tables.PREDICTIONS, [predicted])
    tables.write_curves(report / tables.CURVES, [])
    (report / "data.json").write_text(json.dumps(data))
    description = Description(
        stage="student", protocol="grouped", seed=0, dataset=dataset, synthetic=dataset.startswith("synthetic"),
        labels=("normal", "abnormal"), positive="abnormal", threshold=0.4, aggregation=Aggregation.MEAN,
        sample_rate=2000, window=5000, hop=5000, versions={"hsjax": "1.2.3", "jax": "0.10.2"},
    )  # fmt: skip
    front_end, checks = exports / "front.tflite", []
    front_end.write_bytes(b"front end")
    for variant, kind in FORMS:
        model = exports / f"{variant}-{kind}.{variant.partition('-')[0]}"
        model.write_bytes(variant.encode())
        before = front_end if kind == "features" else None
        sidecar.write(exports, sidecar.describe(description, model, Variant(variant), Input(kind), before))
        check = {
            "model": f"student/{model.name}",
            "check": "class agreement",
            "value": 1.0,
            "limit": 0.99,
            "detail": "",
        }
        checks.append(check | {"passed": kind == "features"})
    (report / "gate.json").write_text(json.dumps(checks))
    return exports


def rows_of(folder, **wanted):
    with (folder / "report" / "results.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if all(row[name] == value for name, value in wanted.items())]


def test_its_metadata_are_the_figures_of_the_table(tmp_path):
    fabricate(tmp_path)
    (path,) = model_card.build(tmp_path)
    data = huggingface_hub.ModelCard.load(path).data
    assert (data.library_name, data.pipeline_tag, data.license) == ("hsjax", "audio-classification", "unknown")
    assert data.datasets == ["physionet2016"]
    assert {"tflite", "onnx", "int8", "heart-sound"} <= set(data.tags)
    assert "synthetic-data" not in data.tags
    assert set(data.metrics) == {"macc", "recall", "specificity", "roc_auc"}
    assert len(data.eval_results) == len(FORMS) * len(METRICS)
    for result in data.eval_results:
        shown, _, form = result.metric_name.partition(", ")
        variant, _, kind = form.rpartition("-")
        (row,) = rows_of(tmp_path, stage="student", variant=variant, input=kind, metric=METRICS[shown])
        assert result.metric_value == float(row["value"])
        assert result.metric_args == {"n": 40, "n_groups": 20, "low": float(row["low"]), "high": float(row["high"])}
        assert (result.dataset_config, result.dataset_split) == (row["protocol"], row["split"])


def test_its_tables_are_those_figures_rounded(tmp_path):
    fabricate(tmp_path)
    (path,) = model_card.build(tmp_path)
    lines = [[cell.strip("` ") for cell in line.strip("|").split("|")] for line in path.read_text().splitlines()]
    (header,) = [line for line in lines if line[:2] == ["file", "MAcc"]]
    for variant, kind in (("jax", "features"), *FORMS):
        name = "network" if variant == "jax" else f"{variant}-{kind}"
        (cells,) = [line for line in lines if line[0] == name and len(line) == len(header)]
        for shown, cell in zip(header[1:], cells[1:], strict=True):
            (row,) = rows_of(tmp_path, stage="student", variant=variant, input=kind, metric=METRICS[shown])
            value, low, high = (f"{float(row[name]):.3f}" for name in ("value", "low", "high"))
            assert cell == f"{value} ({low} to {high})"
    (size,) = rows_of(tmp_path, stage="student", variant="tflite-int8", metric="bytes")
    assert any(line[:2] == ["tflite-int8-features", f"{int(size['value']):,}"] for line in lines)


def test_it_says_what_its_reader_has_to_know(tmp_path):
    exports = fabricate(tmp_path)
    (path,) = model_card.build(tmp_path)
    text = huggingface_hub.ModelCard.load(path).text
    for said in (
        "Not a medical device",
        VERDICT,
        "2,820 recordings, 17.5 hours, 1,044 groups",
        "n = 40 of 20 groups",
        "Only 9 of 20 groups hold class normal.",
        "`abnormal` is said from a probability of 0.400 on",
        "**failed**: class agreement",
        "windows of 2.5 s at 2,000 Hz",
        "label, age, sex and site are confounded",  # a fault of the dataset, from the register
        "An open access database for the evaluation of heart sound algorithms",
        "Introducing a Knowledge Distillation Approach",
        "none chosen yet",
        "configs/tiny.py",
        sidecar.read(exports / "tflite-int8-features.tflite").sha256,
    ):
        assert said in " ".join(text.split())
    assert "SYNTHETIC" not in text


def test_the_licence_that_was_chosen_and_synthetic_data_are_named(tmp_path):
    fabricate(tmp_path, "synthetic", license="cc-by-4.0")
    (path,) = model_card.build(tmp_path)
    found = huggingface_hub.ModelCard.load(path)
    assert found.data.license == "cc-by-4.0"
    assert "synthetic-data" in found.data.tags
    assert "**SYNTHETIC DATA.**" in found.text
    assert "These files: cc-by-4.0." in found.text


@pytest.mark.parametrize(
    ("select", "said"), [("auroc", "the epoch, by auroc, and the threshold."), ("last", "the threshold.")]
)
def test_what_validation_decided_is_said(tmp_path, select, said):
    fabricate(tmp_path, **{"stages.student.select": select})
    (path,) = model_card.build(tmp_path)
    assert f"Chosen on the validation part: {said}" in path.read_text()


def test_a_swapped_file_is_not_vouched_for(tmp_path):
    exports = fabricate(tmp_path)
    (path,) = model_card.build(tmp_path)
    swapped = exports / "tflite-int8-features.tflite"
    before = sidecar.read(swapped).sha256
    swapped.write_bytes(b"another")
    model_card.build(tmp_path)
    assert before not in path.read_text()
    (exports / "onnx-float32-samples.onnx").unlink()
    assert model_card.build(tmp_path) == []
    assert not path.exists()


def test_a_run_that_exports_nothing_has_no_card(tmp_path):
    assert model_card.build(tmp_path) == []
