import json
import subprocess
import sys

import numpy as np
import pytest

from hsjax import bench, runtime
from hsjax.export import onnx, tflite
from hsjax.types import UserError

SIZES = {"small": 16, "large": 1200}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, size in SIZES.items():
        weights = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
        model = tflite.float32(lambda x, weights=weights: x @ weights @ weights.T, (1, size))
        (folder / f"{name}.tflite").write_bytes(model)
    (folder / "small.onnx").write_bytes(onnx.from_tflite((folder / "small.tflite").read_bytes()))
    return folder


@pytest.fixture(scope="module")
def measured(folder):
    names = ("small.tflite", "large.tflite", "small.onnx")
    return {name: bench.measure(folder / name, threads=1, repeats=200) for name in names}


def test_what_is_measured(folder, measured):
    for name, one in measured.items():
        assert (one.model, one.bytes) == (str(folder / name), (folder / name).stat().st_size)
        assert (one.threads, one.kernels, one.runs) == (1, "vector", 200)
        assert 0 < one.p5_microseconds <= one.median_microseconds <= one.p95_microseconds
        assert one.processor


def test_a_larger_model_takes_longer_and_more_memory(measured):
    small, large = measured["small.tflite"], measured["large.tflite"]
    assert large.median_microseconds > 5 * small.median_microseconds
    # Two matrices of 1200 x 1200 float32, packed; the small one has next to nothing.
    weights = 2 * 4 * SIZES["large"] ** 2
    assert weights < large.model_memory_bytes - small.model_memory_bytes < 3 * weights
    # What Python, NumPy and LiteRT take is not the model's.
    assert small.model_memory_bytes < 15e6 < small.peak_memory_bytes - small.model_memory_bytes


def test_the_memory_is_of_a_fresh_process(measured):
    # This process has TensorFlow in it; one with NumPy and LiteRT alone stays far below.
    assert measured["small.tflite"].peak_memory_bytes < 150e6 < bench._peak_memory()


def test_memory_without_proc_is_none(monkeypatch, folder):
    monkeypatch.setattr(bench, "_STATUS", folder / "nothing")
    one = bench.measure_here(folder / "small.tflite", 1, 5, runtime.Kernels.VECTOR)
    assert (one.peak_memory_bytes, one.model_memory_bytes) == (None, None)


def test_a_slow_model_is_timed_for_a_bounded_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: now[0])

    def run(seconds):
        now[0] += seconds

    assert len(bench._time(lambda: run(0.001), 300)) == 300
    assert len(bench._time(lambda: run(1.0), 300)) == 20  # seconds
    times = bench._time(lambda: run(60.0), 300)
    np.testing.assert_allclose(times, [60.0] * 5)


def test_a_model_that_cannot_be_run_is_an_error(tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"broken\.tflite cannot be run"):
        bench.measure(broken)


def test_command(folder, tmp_path):
    flags = ["--repeats=5", "--kernels=reference", folder / "small.tflite", tmp_path / "missing.tflite"]
    child = subprocess.run(
        [sys.executable, "-m", "hsjax.bench", *map(str, flags)], capture_output=True, text=True, check=False
    )
    good, bad = (json.loads(line) for line in child.stdout.splitlines())
    assert (child.returncode, child.stderr) == (1, "")
    assert (good["runs"], good["kernels"]) == (5, "reference")
    assert bad == {
        "model": str(tmp_path / "missing.tflite"),
        "error": f"there is no model {tmp_path / 'missing.tflite'}",
    }


def test_bench_imports_no_training_library(folder):
    code = f"""
import pathlib, sys
from hsjax import bench, runtime
bench.measure_here(pathlib.Path({str(folder / "small.tflite")!r}), 1, 5, runtime.Kernels.VECTOR)
heavy = {{"jax", "jaxlib", "flax", "tensorflow", "scipy", "onnx"}} & set(sys.modules)
assert not heavy, heavy
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stderr) == (0, "")
