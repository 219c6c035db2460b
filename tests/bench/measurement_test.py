import os
import sys

import numpy as np
import pytest

from hsjax import bench, runtime
from hsjax.bench import measurement, memory
from hsjax.export import onnx, tflite
from hsjax.runtime import litert
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
        assert (one.batch, one.batching) == (1, "whole")
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
    assert measured["small.tflite"].peak_memory_bytes < 150e6 < memory.peak()


def test_memory_without_proc_is_none(monkeypatch, folder):
    monkeypatch.setattr(memory, "_STATUS", folder / "nothing")
    one = bench.measure_here(folder / "small.tflite", 1, 5, runtime.Kernels.VECTOR)
    assert (one.peak_memory_bytes, one.model_memory_bytes) == (None, None)


def test_a_slow_model_is_timed_for_a_bounded_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(measurement.time, "perf_counter", lambda: now[0])

    def run(seconds):
        now[0] += seconds

    assert len(measurement._time(lambda: run(0.001), 300)) == 300
    assert len(measurement._time(lambda: run(1.0), 300)) == 20  # seconds
    times = measurement._time(lambda: run(60.0), 300)
    np.testing.assert_allclose(times, [60.0] * 5)


def test_a_model_that_cannot_be_run_is_an_error(tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"broken\.tflite cannot be run"):
        bench.measure(broken)


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """A file that has its batch of 1 written into a shape."""
    weights = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    path = tmp_path_factory.mktemp("fixed") / "fixed.tflite"
    path.write_bytes(tflite.float32(lambda x: (x.reshape(1, 4, 4) @ weights).reshape(1, 12), (1, 16)))
    return path


def test_batches_go_through_as_the_file_allows(folder, fixed):
    how = {
        path.name: bench.measure_here(path, 1, 20, runtime.Kernels.VECTOR, batch=8)
        for path in (folder / "small.tflite", folder / "small.onnx", fixed)
    }
    assert {name: one.batching for name, one in how.items()} == {
        "small.tflite": "resized",
        "small.onnx": "whole",
        "fixed.tflite": "repeated",
    }
    assert {one.batch for one in how.values()} == {8}


def test_a_resized_file_computes_what_it_did(folder, fixed, rng):
    session = runtime.load(folder / "small.tflite")
    examples = rng.standard_normal((8, 16)).astype(np.float32)
    weights = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    np.testing.assert_allclose(session.resized(8).run(examples), examples @ weights @ weights.T, rtol=1e-4, atol=1e-4)
    assert runtime.load(fixed).resized(8) is None
    assert runtime.load(folder / "small.onnx").resized(8) is None


def test_a_resized_file_that_computes_something_else_is_not_timed(folder, monkeypatch):
    other = runtime.load(folder / "small.tflite").resized(8)
    right = other.run
    monkeypatch.setattr(other, "run", lambda examples: right(examples[::-1]))
    monkeypatch.setattr(litert.LiteRTSession, "resized", lambda session, batch: other)
    one = bench.measure_here(folder / "small.tflite", 1, 5, runtime.Kernels.VECTOR, batch=8)
    assert one.batching == "repeated"


def test_repeated_batches_take_as_long_as_their_runs(fixed):
    one, many = (bench.measure_here(fixed, 1, 300, runtime.Kernels.VECTOR, batch) for batch in (1, 256))
    assert 50 < many.median_microseconds / one.median_microseconds < 500


def test_a_model_that_ends_its_process_is_an_error(tmp_path, folder, monkeypatch):
    (tmp_path / "functions_of_bench_test.py").write_text("import os\n\ndef die(*_):\n    os.kill(os.getpid(), 11)\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("functions_of_bench_test", None)
    import functions_of_bench_test

    monkeypatch.setattr(measurement, "measure_here", functions_of_bench_test.die)
    with pytest.raises(UserError, match=r"ran .*small\.tflite was killed by SIGSEGV"):
        bench.measure(folder / "small.tflite")
