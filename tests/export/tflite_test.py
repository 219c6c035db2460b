import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.python.convert_phase import ConverterError

from hsjax.export import tflite
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


def test_a_missing_tensorflow_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UserError, match=r'tensorflow-cpu is not installed: pip install "hsjax\[export\]"'):
        tflite.float32(lambda x: x, (1, 4))


def test_conversion_prints_nothing_and_importing_the_room_imports_no_tensorflow():
    code = """
import sys
import numpy as np
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
