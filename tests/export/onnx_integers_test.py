import hashlib
import os
import subprocess
import sys

import jax
import numpy as np
import onnx
import onnxruntime
import pytest

from hsjax.export import onnx as to_onnx
from hsjax.export import onnx_integers, tflite
from hsjax.export.gate import contents
from tests.export.onnx_files import KERNEL, MAPS, WEIGHTS, constants, run, signal_to_noise

RNG = np.random.default_rng(1)
DEPTHWISE = RNG.normal(size=(3, 3, 1, 5)).astype(np.float32)
BIAS = RNG.normal(size=5).astype(np.float32)
FORMS = {"dynamic": onnx_integers.int8_dynamic, "weights": onnx_integers.int8_weights}


def convolve(x, kernel, groups=1):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=groups
    )


def network(x, kernel=KERNEL, depthwise=DEPTHWISE, weights=WEIGHTS):
    y = convolve(x, kernel) + BIAS
    return convolve(jax.nn.relu(y), depthwise, 5)[:, 2, 3] @ weights


@pytest.fixture(scope="module")
def float32():
    return to_onnx.from_tflite(tflite.float32(network, (1, 6, 8, 2)))


def on_steps(values, axes):
    """On 255 steps around 0, by float64."""
    step = np.abs(values.astype(np.float64)).max(axis=axes, keepdims=True) / 127
    return np.rint(values / step) * step


def operators(model):
    return [node.op_type for node in onnx.load_from_string(model).graph.node]


def test_weights_alone_are_rounded_channel_by_channel(float32):
    content = onnx_integers.int8_weights(float32)
    want = network(MAPS, on_steps(KERNEL, (0, 1, 2)), on_steps(DEPTHWISE, (0, 1, 2)), on_steps(WEIGHTS, 0))
    np.testing.assert_allclose(run(content, MAPS), want, atol=2e-5 * np.abs(want).max())
    np.testing.assert_allclose(run(content, MAPS[:1]), run(content, MAPS)[:1], atol=1e-5 * np.abs(want).max())
    assert not [name for name, values in constants(content).items() if values.dtype == np.float32 and values.size > 9]


def test_convolutions_compute_with_integers(float32):
    """As many scales as channels, and an activation on the 256 steps of its range, which zero is one of."""
    content = onnx_integers.int8_dynamic(float32)
    assert operators(content).count("ConvInteger") == operators(content).count("Conv") == 1
    named = onnx.load_from_string(float32).graph.node
    name = next(node.output[0] for node in named if node.op_type == "Conv")
    model = onnx.load_from_string(content)
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    got = session.run([name], {"input": MAPS})[0]
    step = (MAPS.max().astype(np.float64) - MAPS.min()) / 255
    kernel, x = on_steps(KERNEL, (0, 1, 2)), np.rint(MAPS / step) * step
    want = np.asarray(convolve(x, kernel) + BIAS).transpose(0, 3, 1, 2)
    for channel in range(5):
        np.testing.assert_allclose(got[:, channel], want[:, channel], atol=3e-6 * np.abs(want[:, channel]).max())


def test_depthwise_convolutions_are_stored_in_integers_and_computed_in_float32(float32):
    content = onnx_integers.int8_dynamic(float32)
    (stored,) = (values for values in constants(content).values() if values.dtype == np.int8 and values.ndim == 4)
    np.testing.assert_array_equal(
        stored[:, 0], np.rint(DEPTHWISE / (np.abs(DEPTHWISE).max(axis=(0, 1, 2)) / 127))[:, :, 0].transpose(2, 0, 1)
    )


@pytest.mark.parametrize("form", FORMS)
def test_little_is_lost_and_any_batch_taken(float32, form):
    content = FORMS[form](float32)
    assert signal_to_noise(content, network) > 30
    assert run(content, MAPS[:7]).shape == (7, 3)


def test_a_channel_of_zeros_stays_one():
    integers, scale = onnx_integers.rounded(np.float32([[0, 0], [1, -2]]), 0)
    assert integers.tolist() == [[0, 0], [64, -127]]  # 63.5 to the even one
    np.testing.assert_allclose(scale, [1 / 127, 2 / 127])


@pytest.mark.parametrize("form", FORMS)
def test_the_gate_finds_one_scale_for_all_channels(float32, tmp_path, form):
    model = onnx.load_from_string(FORMS[form](float32))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert contents.scales(path).passed
    scales = [one for one in model.graph.initializer if one.name.endswith("_scale") and max(one.dims, default=0) == 5]
    scale = scales[0]
    one = onnx.numpy_helper.to_array(scale).max(keepdims=True)
    scale.CopyFrom(onnx.numpy_helper.from_array(one, scale.name))
    path.write_bytes(model.SerializeToString())
    check = contents.scales(path)
    assert not check.passed
    assert "has 1 for 5 channels" in check.detail


PROGRAM = """
import hashlib, pathlib, sys
from hsjax.export import onnx_integers
model = pathlib.Path(sys.argv[1]).read_bytes()
for content in (onnx_integers.int8_dynamic(model), onnx_integers.int8_weights(model)):
    print(hashlib.sha256(content).hexdigest())
"""


def test_the_same_model_gives_the_same_bytes_in_every_process(float32, tmp_path):
    """With another hash seed, so that the order of no set can tell; and quietly."""
    path = tmp_path / "model.onnx"
    path.write_bytes(float32)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    assert done.stderr == ""
    assert done.stdout.split() == [hashlib.sha256(make(float32)).hexdigest() for make in FORMS.values()]
