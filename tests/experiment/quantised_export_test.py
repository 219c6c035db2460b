"""A run that trains ranges, prunes, and exports: what was trained is what lies in the files."""

import csv
import json

import numpy as np
import orbax.checkpoint as ocp
import pytest

from hsjax import config as run_config
from hsjax import runtime
from hsjax.experiment import run, sensitivity
from hsjax.runtime import graph
from hsjax.types import UserError
from tests import hurry

SPARSITY = 0.6
QUANTISED = ("int8", "mixed")


def small():
    config = run_config.base()
    config.name, config.command = "compression", "pytest"
    config.data.synthetic.subjects, config.data.synthetic.recordings_per_subject = 30, 1
    config.data.synthetic.seconds = 5.0
    config.split.grouped.folds, config.evaluate.bootstrap = 1, 100
    its = {"epochs": 2, "batch_size": 16}
    mixed = {"weights": 4, "ranges": "learned", "overrides": {"logits": {"weights": 8}}}
    config.stages = {
        "whole": run_config.train_stage("song-student", **its),
        "int8": run_config.train_stage(
            "song-student", **its, begin="whole", quantise={"weights": 8},
            compress={"prune": {"sparsity": SPARSITY, "every": 1, "end": 0.7}},
        ),
        "mixed": run_config.train_stage(
            "song-student", **its, begin="whole", objective="distil", teacher="whole", alpha=0.5, quantise=mixed
        ),
        "export": run_config.export_stage(
            models=("whole", *QUANTISED), calibration=16, agreement=0.5, auroc_drop=1.0,
            variants=("tflite-float32", "tflite-int8", "onnx-float32", "onnx-int8-static"),
        ),
        "report": run_config.report_stage(),
    }  # fmt: skip
    config.pipeline = ("whole", *QUANTISED, "export", "report")
    config.evaluate.differences = ("int8 - whole", "mixed - whole")
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("quantised")
    with hurry.training():
        run.run(small(), workdir)
    return workdir


def params(finished, stage):
    with ocp.StandardCheckpointer() as checkpointer:
        folder = finished / "stages" / "grouped" / "0" / stage / "variables"
        return checkpointer.restore(folder.absolute())["params"]


def weights(path):
    """Of every layer with weights, by how many values: TFLite's type, levels and scales."""
    opened = graph.opened(path.read_bytes())
    found = {}
    for operator in opened.subgraph.operators:
        if opened.name(operator) in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            tensor = opened.subgraph.tensors[operator.inputs[1]]
            kind = next(name for name, value in vars(opened.schema.TensorType).items() if value == tensor.type)
            data = np.array(opened.model.buffers[tensor.buffer].data, np.uint8).view(np.int8)
            found[int(np.prod(tensor.shape))] = kind, data, np.array(tensor.quantization.scale)
    return found


def test_kernels_in_the_file_are_those_that_were_trained(finished):
    kernel = np.asarray(params(finished, "int8")["hidden"]["kernel"], np.float64)
    kind, levels, scale = weights(finished / "exports" / "int8" / "tflite-int8-features.tflite")[kernel.size]
    assert kind == "INT8"
    # One step for each output unit, 127 of them to its largest weight; rows of the file are output units.
    np.testing.assert_allclose(scale, np.abs(kernel).max(0) / 127, rtol=1e-5)
    expected = kernel / scale
    assert np.abs(levels.reshape(kernel.shape[::-1]).T - expected).max() <= 0.5 + 1e-3
    assert (levels == 0).mean() >= (kernel == 0).mean() > SPARSITY - 0.1


def test_layers_have_the_bits_that_the_config_gives_them(finished):
    found = weights(finished / "exports" / "mixed" / "tflite-int8-features.tflite")
    sizes = {name: layer["kernel"].size for name, layer in params(finished, "mixed").items() if "kernel" in layer}
    assert {name: found[size][0] for name, size in sizes.items()} == {
        "conv1": "INT4", "conv2": "INT4", "hidden": "INT4", "logits": "INT8"
    }  # fmt: skip
    small, large = (finished / "exports" / stage / "tflite-int8-features.tflite" for stage in ("mixed", "whole"))
    assert small.stat().st_size < 0.65 * large.stat().st_size


def test_float_forms_hold_kernels_on_their_grids(finished):
    kernel = np.asarray(params(finished, "int8")["hidden"]["kernel"], np.float64)
    _, held, _ = weights(finished / "exports" / "int8" / "tflite-float32-features.tflite")[kernel.size]
    steps = held.view(np.float32).reshape(kernel.shape[::-1]).T / (np.abs(kernel).max(0) / 127)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


def test_files_with_trained_ranges_are_held_against_the_emulation(finished):
    checks = json.loads((finished / "report" / "gate.json").read_text())
    held = {check["model"].partition("/")[0]: check["value"] for check in checks if "emulation" in check["check"]}
    assert set(held) == set(QUANTISED)
    assert min(held.values()) >= 0.995
    with (finished / "report" / "results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "emulation-agreement"]
    # Four bits have no ONNX file with trained ranges; it is calibrated like any other.
    assert {(row["stage"], row["variant"]) for row in rows} == {
        ("int8", "tflite-int8"), ("int8", "onnx-int8-static"), ("mixed", "tflite-int8")
    }  # fmt: skip
    assert all(row["unit"] == "segment" and int(row["n"]) > 0 for row in rows)


def test_both_runtimes_give_the_same_from_trained_ranges(finished):
    features = np.random.default_rng(0).normal(size=(20, 13, 101)).astype(np.float32)
    folder = finished / "exports" / "int8"
    tflite, onnx = (
        runtime.load(folder / name).run(features)
        for name in ("tflite-int8-features.tflite", "onnx-int8-static-features.onnx")
    )
    step = np.diff(np.unique(tflite)).min()
    assert np.abs(tflite - onnx).max() <= 3.01 * step
    assert (tflite.argmax(1) == onnx.argmax(1)).mean() >= 0.9


def test_the_page_shows_them_side_by_side(finished):
    page = (finished / "report" / "index.html").read_text()
    section = page.split('id="compression"')[1].split("</section>")[0]
    for stage in ("whole", *QUANTISED):
        assert stage in section
    assert "The Pareto front" in section


def test_sensitivity_of_a_float_stage(finished, capsys):
    assert sensitivity.main([f"--run={finished}", "--stage=whole", "--fraction=0.2"]) == 0
    shown = capsys.readouterr()
    rows = list(csv.DictReader(shown.out.splitlines()))
    assert {row["kernel"] for row in rows} == {"conv1/kernel", "conv2/kernel", "hidden/kernel", "logits/kernel"}
    assert "'hidden'" not in shown.err  # nine tenths of all weights are there
    assert shown.err.startswith("quantise = {'weights': 4, 'overrides': {")


def test_sensitivity_of_what_is_not_there(finished, tmp_path):
    with pytest.raises(UserError, match="no folder of a run"):
        sensitivity.of_stage(tmp_path, "whole")
    with pytest.raises(UserError, match="it has whole, int8, mixed"):
        sensitivity.of_stage(finished, "student")
    with pytest.raises(UserError, match="name the float one"):
        sensitivity.of_stage(finished, "int8")


def test_the_int8_file_is_held_against_the_float_stage(finished):
    with (finished / "report" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))

    def auroc(stage, variant):
        (row,) = (
            row for row in rows
            if (row["stage"], row["variant"], row["input"], row["unit"], row["metric"], row["split"])
            == (stage, variant, "features", "recording", "auroc", "test")
        )  # fmt: skip
        return float(row["value"])

    (held,) = (
        row for row in rows
        if (row["stage"], row["variant"], row["unit"], row["metric"])
        == ("int8 - whole", "tflite-int8", "recording", "difference:auroc")
    )  # fmt: skip
    assert float(held["value"]) == pytest.approx(auroc("int8", "tflite-int8") - auroc("whole", "jax"))


@pytest.mark.parametrize("content", ["{}", "[]", '{"stages": 3}', "no JSON"])
def test_sensitivity_of_a_folder_that_no_run_of_this_version_made(tmp_path, capsys, content):
    (tmp_path / "config.json").write_text(content)
    assert sensitivity.main([f"--run={tmp_path}", "--stage=whole"]) == 2
    assert "is no folder of a run of this version" in capsys.readouterr().err


def test_sensitivity_with_more_than_all_weights_is_refused_at_once(finished):
    with pytest.raises(SystemExit):
        sensitivity.main([f"--run={finished}", "--stage=whole", "--fraction=7"])


def test_overrides_of_nothing_stop_a_run_before_any_work(tmp_path):
    config = small()
    config.stages.mixed.quantise.overrides = {"logts": {"weights": 8}}
    with pytest.raises(UserError, match=r"config\.stages\.mixed\.quantise\.overrides: no weights .* 'logts'"):
        run.run(config, tmp_path / "run")
    config.stages.mixed.quantise.overrides = {"logits": 8}
    with pytest.raises(UserError, match=r"of 'logits' is 8; say of what: \{'weights': 8\}"):
        run.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
