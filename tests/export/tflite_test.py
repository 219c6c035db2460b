import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.python.convert_phase import ConverterError

from hsjax import models
from hsjax.export import tflite
from hsjax.runtime import litert
from hsjax.runtime.graph import opened
from hsjax.types import UserError

KERNEL = np.random.default_rng(0).normal(size=(3, 3, 4, 6)).astype(np.float32)


def conv(x):
    return jax.lax.conv_general_dilated(x, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def run(model, x):
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_float32_computes_the_function(rng):
    weights = rng.normal(size=(5, 3))
    x = rng.normal(size=(1, 5)).astype(np.float32)
    model = tflite.float32(lambda x: jnp.tanh(x @ jnp.float32(weights)), (1, 5))
    np.testing.assert_allclose(run(model, x), np.tanh(x @ weights), atol=1e-6)


def test_int8_takes_and_gives_int8_and_scales_every_channel(rng):
    calibration = rng.uniform(-1, 1, (20, 5, 7, 4))
    model = tflite.int8(conv, (1, 5, 7, 4), calibration)
    interpreter = Interpreter(model_content=model)
    details = [interpreter.get_input_details()[0], interpreter.get_output_details()[0]]
    assert [detail["dtype"] for detail in details] == [np.int8, np.int8]
    # The calibration's range over 255 steps.
    assert details[0]["quantization"][0] == pytest.approx(np.ptp(calibration) / 255, rel=1e-3)
    weights = next(t for t in interpreter.get_tensor_details() if tuple(t["shape"]) == (6, 3, 3, 4))
    scales = weights["quantization_parameters"]["scales"]
    np.testing.assert_allclose(scales, np.abs(KERNEL).max(axis=(0, 1, 2)) / 127, rtol=1e-5)


@pytest.mark.parametrize(
    "calibration", [np.zeros((0, 4), np.float32), np.full((3, 4), np.nan, np.float32), np.zeros((3, 5), np.float32)]
)
def test_int8_refuses_calibration_without_meaning(calibration):
    with pytest.raises(ValueError, match="calibration"):
        tflite.int8(lambda x: x, (1, 4), calibration)


@pytest.fixture(scope="module")
def product():
    weights = np.random.default_rng(1).normal(size=(200, 100)).astype(np.float32)
    return weights, tflite.Traced(lambda x: x @ weights, (1, 200))


def test_float16_rounds_weights_to_half_precision_and_nothing_else(rng, product):
    weights, traced = product
    x = rng.normal(size=(1, 200)).astype(np.float32)
    model = traced.float16()
    assert 2 * weights.size < len(model) < 2 * weights.size + 3000
    np.testing.assert_allclose(run(model, x), x @ weights.astype(np.float16).astype(np.float32), atol=1e-4)


def test_dynamic_rounds_weights_to_a_byte_and_takes_and_gives_float32(rng, product):
    weights, traced = product
    x = rng.normal(size=(1, 200)).astype(np.float32)
    model, want = traced.dynamic(), x @ weights
    assert weights.size < len(model) < weights.size + 3000
    error = run(model, x) - want
    assert 30 < 10 * np.log10(np.square(want).sum() / np.square(error).sum()) < 50


def test_int16_activations_are_finer_than_int8_ones(rng):
    calibration = rng.uniform(-1, 1, (40, 5, 7, 4)).astype(np.float32)
    traced, want = tflite.Traced(conv, (1, 5, 7, 4)), np.asarray(conv(calibration))
    errors = {}
    for form, dtype in (("int8", np.int8), ("int16", np.int16)):
        interpreter = Interpreter(model_content=getattr(traced, form)(calibration))
        interpreter.allocate_tensors()
        source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        assert (source["dtype"], target["dtype"]) == (dtype, dtype)
        quantisation, scale = litert.Quantisation(*source["quantization"], dtype), target["quantization"]
        got = []
        for example in calibration:
            interpreter.set_tensor(source["index"], quantisation.quantise(example[None]))
            interpreter.invoke()
            got.append(scale[0] * (interpreter.get_tensor(target["index"]).astype(np.float64) - scale[1]))
        errors[form] = np.abs(np.concatenate(got) - want).max()
    assert errors["int16"] < 0.6 * errors["int8"]  # what is left is of the weights, int8 in both


def test_an_operator_without_int16_kernel_is_named():
    traced = tflite.Traced(jax.nn.hard_swish, (1, 8))
    with pytest.raises(UserError, match=r"16x8-bit .*'HARD_SWISH'.*Leave tflite-int16 out of the variants"):
        traced.int16(np.ones((4, 8), np.float32))


@pytest.mark.parametrize("form", ["float32", "int8"])
def test_names_are_those_of_layers_without_what_all_have_in_common(form):
    network = models.build("song-student", num_classes=2, form=models.Form.PLAIN)
    variables = network.init(jax.random.key(0), np.zeros((1, 8, 8), np.float32))
    traced = tflite.Traced(lambda x: network.apply(variables, x)[0].logits, (1, 8, 8))
    graph = opened(traced.float32() if form == "float32" else traced.int8(np.ones((2, 8, 8), np.float32)))
    names = [tensor.name for tensor in graph.subgraph.tensors]
    assert any(name.startswith(b"SongStudent/conv2/") for name in names)
    assert not any(b"jit(" in name for name in names)
    assert len(set(names)) == len(names)


def test_a_missing_tensorflow_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UserError, match=r'tensorflow-cpu is not installed: pip install "hsjax\[export\]"'):
        tflite.float32(lambda x: x, (1, 4))


def test_conversion_prints_nothing_and_importing_the_room_imports_no_tensorflow():
    code = """
import sys
import numpy as np
from hsjax import models
from hsjax.export import tflite
assert not {"tensorflow", "tf2onnx", "onnx"} & set(sys.modules)
tflite.int8(lambda x: x @ np.ones((4, 2), np.float32), (1, 4), np.eye(4, dtype=np.float32))
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")


def test_a_failed_conversion_shows_what_the_converter_printed(capfd):
    with pytest.raises(ConverterError, match="cholesky"):
        tflite.float32(jnp.linalg.cholesky, (4, 4))
    assert "error" in capfd.readouterr().err
