import subprocess
import sys
import warnings

import jax.numpy as jnp
import numpy as np
import onnx
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from hsjax import runtime
from hsjax.export import tflite
from hsjax.runtime import Kernels, litert, quiet
from hsjax.types import UserError

WEIGHTS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
CALIBRATION = np.random.default_rng(1).uniform(-1, 1, (50, 6)).astype(np.float32)


def dense(x):
    return jnp.maximum(x @ WEIGHTS, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "float.tflite").write_bytes(tflite.float32(dense, (1, 6)))
    (folder / "int8.tflite").write_bytes(tflite.int8(dense, (1, 6), CALIBRATION))
    (folder / "int16.tflite").write_bytes(tflite.Traced(dense, (1, 6)).int16(CALIBRATION))
    (folder / "batch2.tflite").write_bytes(tflite.float32(dense, (2, 6)))
    _onnx(folder / "free.onnx", ["batch", 6], onnx.TensorProto.FLOAT)
    _onnx(folder / "double.onnx", ["batch", 6], onnx.TensorProto.DOUBLE)
    _onnx(folder / "time.onnx", ["batch", "time"], onnx.TensorProto.FLOAT)
    return folder


def _onnx(path, shape, kind):
    weights = onnx.numpy_helper.from_array(WEIGHTS.astype(onnx.helper.tensor_dtype_to_np_dtype(kind)), "w")
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["h"]), onnx.helper.make_node("Relu", ["h"], ["y"])]
    ends = [
        onnx.helper.make_tensor_value_info("x", kind, shape),
        onnx.helper.make_tensor_value_info("y", kind, ["batch", 3]),
    ]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize("name", ["float.tflite", "free.onnx"])
@pytest.mark.parametrize("n", [0, 1, 3, 40])
def test_runs_any_number_of_examples(folder, rng, name, n):
    x = rng.normal(size=(n, 6)).astype(np.float32)
    session = runtime.load(folder / name)
    outputs = session.run(x)
    assert session.batch == (1 if name.endswith(".tflite") else None)
    assert (session.input_shape, session.output_shape) == ((6,), (3,))
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, np.maximum(x @ WEIGHTS, 0), atol=1e-5)


@pytest.mark.parametrize(("name", "dtype", "part"), [("int8", np.int8, 0.02), ("int16", np.int16, 0.005)])
def test_integers_are_hidden(folder, name, dtype, part):
    session = runtime.load(folder / f"{name}.tflite")
    assert session.input_dtype == dtype
    outputs, expected = session.run(CALIBRATION), np.maximum(CALIBRATION @ WEIGHTS, 0)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, expected, atol=part * expected.max())


def test_inputs_beyond_the_calibrated_range_saturate(folder):
    session = runtime.load(folder / "int8.tflite")
    x = np.array([[1, -1, 1, -1, 1, -1]], np.float32)
    np.testing.assert_allclose(session.run(1000 * x), session.run(x), atol=0.05)


def test_quantisation_rounds_halves_away_from_zero_and_saturates():
    quantisation = litert.Quantisation(scale=0.5, zero_point=3)
    real = np.array([0, 0.25, -0.25, 0.24, 0.75, -0.75, 1e9, -1e9], np.float32)
    expected = np.array([3, 4, 2, 3, 5, 1, 127, -128], np.int8)
    np.testing.assert_array_equal(quantisation.quantise(real), expected)
    np.testing.assert_array_equal(quantisation.dequantise(expected[:6]), np.array([0, 0.5, -0.5, 0, 1, -1], np.float32))
    wide = litert.Quantisation(scale=0.5, zero_point=0, dtype=np.int16)
    np.testing.assert_array_equal(wide.quantise(real), np.array([0, 1, -1, 0, 2, -2, 32767, -32768], np.int16))
    np.testing.assert_array_equal(litert.Quantisation(1e-44, 0).quantise(real[:1] + 1), [127])


def test_quantisation_is_tflites_own(rng):
    # The oracle is the QUANTIZE operator with which a converted file of float input begins.
    weights = tf.constant(rng.normal(size=(1000, 2)), tf.float32)
    function = tf.function(lambda x: x @ weights, input_signature=[tf.TensorSpec((1, 1000), tf.float32)])
    x = rng.uniform(-1, 1, (4, 1, 1000)).astype(np.float32)
    with quiet.native_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], function)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([example] for example in x)
        interpreter = Interpreter(
            model_content=converter.convert(),
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        )
        interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x[0])
    interpreter.invoke()
    quantised = next(
        t for t in interpreter.get_tensor_details() if t["dtype"] == np.int8 and tuple(t["shape"]) == (1, 1000)
    )
    quantisation = litert.Quantisation(*quantised["quantization"])
    np.testing.assert_array_equal(quantisation.quantise(x[0]), interpreter.get_tensor(quantised["index"]))


@pytest.mark.parametrize("name", ["float.tflite", "int8.tflite", "free.onnx"])
def test_bound_models_run_without_further_ado(folder, name):
    session = runtime.load(folder / name)
    run = session.bind(np.ones((1, 6), np.float32))
    assert run() is None


@pytest.mark.parametrize("name", ["float.tflite", "free.onnx"])
def test_examples_of_another_shape_are_refused(folder, name):
    with pytest.raises(UserError, match=r"takes examples of shape \(6,\), not \(5,\)"):
        runtime.load(folder / name).run(np.zeros((1, 5), np.float32))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("batch2.tflite", "only a batch of 1 or a free one"),
        ("time.onnx", "nothing else may be free"),
        ("double.onnx", "only float32 is run"),
        ("nothing.tflite", "there is no model"),
        ("model.h5", "neither a .tflite nor an .onnx"),
    ],
)
def test_models_that_cannot_be_run_are_refused(folder, name, message):
    (folder / "model.h5").touch()
    with pytest.raises(UserError, match=message):
        runtime.load(folder / name)


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize("damage", ["empty", "cut", "head", "noise", "text"])
def test_damaged_files_are_refused(folder, tmp_path, rng, suffix, damage):
    whole = (folder / ("float.tflite" if suffix == ".tflite" else "free.onnx")).read_bytes()
    content = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "head": whole[:9],
        "noise": rng.bytes(1000),
        "text": b"<html>404</html>",
    }
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content[damage])
    with pytest.raises(UserError, match=f"damaged{suffix} cannot be run .* export it again"):
        runtime.load(path)


@pytest.mark.parametrize(("suffix", "module"), [(".tflite", "ai_edge_litert.interpreter"), (".onnx", "onnxruntime")])
def test_a_missing_runtime_is_named_with_its_extra(folder, monkeypatch, suffix, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=r'is not installed: pip install "hsjax\[runtime\]"'):
        runtime.load(folder / ("float.tflite" if suffix == ".tflite" else "free.onnx"))


def test_reference_kernels_compute_the_same(folder, rng):
    x = rng.uniform(-1, 1, (20, 6)).astype(np.float32)
    plain = runtime.load(folder / "int8.tflite", kernels=Kernels.REFERENCE).run(x)
    fast = runtime.load(folder / "int8.tflite").run(x)
    np.testing.assert_allclose(plain, fast, atol=0.02)
    with pytest.raises(UserError, match="reference kernels"):
        runtime.load(folder / "free.onnx", kernels=Kernels.REFERENCE)


def test_operators_in_order(folder):
    assert litert.operators((folder / "float.tflite").read_bytes()) == ("FULLY_CONNECTED",)
    with pytest.raises(UserError, match="not a TFLite file"):
        litert.operators(b"nonsense")


def test_loading_prints_nothing_and_needs_no_jax(folder):
    code = f"""
import pathlib, sys
import numpy as np
from hsjax import runtime
for name in ("float.tflite", "free.onnx"):
    runtime.load(pathlib.Path({str(folder)!r}, name)).run(np.zeros((2, 6), np.float32))
heavy = {{"jax", "flax", "tensorflow", "onnx", "scipy"}} & set(sys.modules)
assert not heavy, heavy
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")
