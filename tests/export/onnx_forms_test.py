import hashlib
import os
import subprocess
import sys

import jax
import numpy as np
import onnx
import pytest

from hsjax.export import onnx as to_onnx
from hsjax.export import onnx_forms, tflite
from tests.export.onnx_files import KERNEL, MAPS, WEIGHTS, constants, run, signal_to_noise


def network(x):
    y = jax.lax.conv_general_dilated(x, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(y)[:, 2, 3] @ WEIGHTS


@pytest.fixture(scope="module")
def float32():
    return to_onnx.from_tflite(tflite.float32(network, (1, 6, 8, 2)))


def test_half_precision_rounds_weights_and_nothing_else(float32):
    halves = constants(onnx_forms.float16(float32))
    for name, values in constants(float32).items():
        if values.dtype == np.float32:
            np.testing.assert_array_equal(halves[f"{name}_half"], values.astype(np.float16))
        else:
            np.testing.assert_array_equal(halves[name], values)
    assert signal_to_noise(onnx_forms.float16(float32), network) > 60  # ten bits


def test_what_half_precision_cannot_hold_stays_float32():
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["batch", 2]) for n in "xy"]
    weights = [onnx.numpy_helper.from_array(np.float32([[1e5, 1.0]]), "w")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Mul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    assert constants(onnx_forms.float16(model.SerializeToString()))["w"].tolist() == [[1e5, 1.0]]


def test_static_int8_has_a_scale_per_channel(float32):
    static = onnx_forms.int8_static(float32, MAPS)
    scales = [values for name, values in constants(static).items() if name.endswith("_scale") and values.shape == (5,)]
    np.testing.assert_allclose(scales[0], np.abs(KERNEL).max(axis=(0, 1, 2)) / 127, rtol=1e-5)
    assert signal_to_noise(static, network) > 30
    assert run(static, MAPS[:7]).shape == (7, 3)


def test_dynamic_int8_leaves_convolutions_alone(float32):
    dynamic = onnx_forms.int8_dynamic(float32)
    operators = [node.op_type for node in onnx.load_from_string(dynamic).graph.node]
    assert "Conv" in operators
    assert "MatMulInteger" in operators
    assert signal_to_noise(dynamic, network) > 30
    assert run(dynamic, MAPS[:7]).shape == (7, 3)


@pytest.mark.parametrize("calibration", [MAPS[:0], np.full_like(MAPS, np.nan)])
def test_calibration_without_meaning_is_refused(float32, calibration):
    with pytest.raises(ValueError, match="calibration"):
        onnx_forms.int8_static(float32, calibration)


PROGRAM = """
import hashlib, pathlib, sys
import numpy as np
from hsjax.export import onnx_forms
model = pathlib.Path(sys.argv[1]).read_bytes()
maps = np.random.default_rng(1).normal(size=(24, 6, 8, 2)).astype(np.float32)
for content in (onnx_forms.float16(model), onnx_forms.int8_static(model, maps), onnx_forms.int8_dynamic(model)):
    print(hashlib.sha256(content).hexdigest())
"""


def test_the_same_model_gives_the_same_bytes_in_every_process(float32, tmp_path):
    """With another hash seed, so that the order of no set can tell; and quietly."""
    path = tmp_path / "model.onnx"
    path.write_bytes(float32)
    maps = np.random.default_rng(1).normal(size=(24, 6, 8, 2)).astype(np.float32)
    here = (onnx_forms.float16(float32), onnx_forms.int8_static(float32, maps), onnx_forms.int8_dynamic(float32))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    assert done.stderr == ""
    assert done.stdout.split() == [hashlib.sha256(content).hexdigest() for content in here]
