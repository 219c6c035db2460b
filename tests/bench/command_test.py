import dataclasses
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from hsjax import bench
from hsjax.bench import output
from hsjax.export import onnx, tflite
from tests import endless


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    weights = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    traced = tflite.Traced(lambda x: x @ weights, (1, 16))
    (folder / "float32.tflite").write_bytes(traced.float32())
    (folder / "float32.onnx").write_bytes(onnx.from_tflite(traced.float32()))
    calibration = np.random.default_rng(0).standard_normal((10, 16), np.float32)
    (folder / "int8.tflite").write_bytes(traced.int8(calibration))
    return folder


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "hsjax.bench", *map(str, words)], capture_output=True, text=True, check=False
    )


def test_a_json_object_a_model_where_nobody_looks(folder, tmp_path):
    models = folder / "int8.tflite", folder / "float32.onnx", tmp_path / "missing.tflite"
    child = run("--repeats=5", "--batches=1,4", "--threads=1,2", *models)
    integers, floats, missing = (json.loads(line) for line in child.stdout.splitlines())
    assert (child.returncode, child.stderr) == (1, "")
    assert missing == {"model": str(models[2]), "error": f"there is no model {models[2]}"}
    for found in (integers, floats):
        settings = [(one["threads"], one["batch"], one["runs"]) for one in found["measurements"]]
        assert settings == [(1, 1, 5), (1, 4, 5), (2, 1, 5), (2, 4, 5)]
        assert found.items() >= found["measurements"][0].items()
        assert (found["macs"], [layer["macs"] for layer in found["layers"]]) == (16 * 8, [16 * 8])
        assert found["seconds"] == 1.0
    assert [one["batching"] for one in integers["measurements"]] == ["whole", "resized"] * 2
    assert [one["batching"] for one in floats["measurements"]] == ["whole", "whole"] * 2
    assert 0 < integers["arena"]["total"] < 4096
    assert floats["arena"] is None
    assert "TFLite Micro" in floats["no_arena"]
    assert {tier["tier"]: tier["fits"] for tier in integers["tiers"]}["microcontroller"]
    assert not {tier["tier"]: tier["fits"] for tier in floats["tiers"]}["microcontroller"]
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.write(models[0], "model", zipfile.ZIP_DEFLATED, 9)
    assert integers["zipped_bytes"] == (tmp_path / "m.zip").stat().st_size


def test_a_model_without_end_does_not_hold_up_the_next(folder, tmp_path):
    path = tmp_path / "endless.onnx"
    path.write_bytes(endless.model(16))
    child = run("--repeats=5", "--batches=1", "--timeout=20", path, "m" * 300 + ".onnx", folder / "float32.onnx")
    first, none, good = (json.loads(line) for line in child.stdout.splitlines())
    assert (child.returncode, child.stderr) == (1, "")
    assert f"ran {path} gave no answer within 20 s: allow more with --timeout" in first["error"]
    assert none["error"] == f"there is no model {'m' * 300}.onnx"
    assert good["runs"] == 5


def test_tables_where_they_are_asked_for(folder):
    child = run("--repeats=5", "--table", "--batches=1", folder / "float32.tflite", folder / "missing.onnx")
    assert child.returncode == 1
    assert child.stderr == f"there is no model {folder / 'missing.onnx'}\n"
    words = [line.split() for line in child.stdout.splitlines()]
    assert ["128", "FULLY_CONNECTED", "1x8", "Identity"] in words
    assert ["128", "all"] in words
    assert f"times on {bench.measurement.processor()}, vector kernels" in child.stdout
    assert "the file takes float32" in child.stdout
    assert ["edge", "fits"] in words


def test_a_table_says_what_is_not_counted(folder):
    found = bench.profile(folder / "float32.tflite", repeats=5)
    assert "not counted" not in output.table(found)
    found = dataclasses.replace(found, count=bench.Count(found.count.layers, ("WHILE",)))
    assert "at least: what WHILE multiply is not counted" in output.table(found)


@pytest.mark.parametrize("flag", ["--batches=0", "--batches=1,,2", "--threads=x", "--repeats=0", "--timeout=nan"])
def test_numbers_that_are_none_are_refused(flag):
    child = run(flag, "model.tflite")
    assert (child.returncode, child.stdout) == (2, "")
    assert "at least 1" in child.stderr or "above 0" in child.stderr


def test_a_profile_needs_no_training_library(folder):
    code = f"""
import pathlib, sys
from hsjax import bench
from hsjax.bench.profile import arena_here
path = pathlib.Path({str(folder / "int8.tflite")!r})
bench.profile(path, repeats=5)
bench.count(path), arena_here(path), bench.count(path.with_name("float32.onnx"))
heavy = {{"jax", "jaxlib", "flax", "tensorflow", "scipy", "onnx"}} & set(sys.modules)
assert not heavy, heavy
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stderr) == (0, "")
