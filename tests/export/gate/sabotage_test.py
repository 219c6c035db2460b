"""Files that are not what they should be, each of which the gate refuses by name."""

import jax
import numpy as np
import pytest

from hsjax import runtime
from hsjax.export import gate, joined, onnx_forms, tflite
from hsjax.export import onnx as to_onnx
from hsjax.export.gate import contents
from hsjax.runtime import Variant, micro_operators, quiet
from tests.export.conftest import front_end

SCALES = "convolutions without a scale per channel"
# Channels of a depthwise convolution a thousand times apart, as batch norm leaves them.
DEPTHWISE = (np.random.default_rng(0).normal(size=(3, 3, 1, 8)) * np.logspace(-2, 1, 8)).astype(np.float32)
MAPS = np.random.default_rng(1).normal(size=(32, 6, 7, 8)).astype(np.float32)


def failed(checks):
    return {check.check: check.detail for check in checks if not check.passed}


@pytest.mark.parametrize(
    ("form", "factor"),
    # A range a hundred times too wide is no harm to int16.
    [("int8", 100.0), ("int8", 1e-3), ("int8", 0.0), ("int16", 1e-3), ("int16", 0.0)],
)
def test_wrong_calibration_is_named_in_tflite(exported, tmp_path, form, factor):
    """Other units, a whisper, silence."""
    path = tmp_path / "wrong.tflite"
    traced = tflite.Traced(exported.network, exported.features[:1].shape)
    path.write_bytes(getattr(traced, form)(np.float32(factor) * exported.features))
    found = failed(gate.inspect(path, exported.features, exported.logits, variant=Variant(f"tflite-{form}")))
    assert list(found) == ["signal to noise of its input, dB"]
    extent = f"{exported.features.min():.3g} to {exported.features.max():.3g}"
    assert found["signal to noise of its input, dB"].endswith(f"by its calibration, test inputs lie within {extent}")
    content = path.read_bytes()
    path.write_bytes(joined.tflite(tflite.float32(front_end, exported.samples[:1].shape), content))
    found = failed(gate.inspect(path, exported.samples, exported.logits, variant=Variant(f"tflite-{form}")))
    assert list(found) == ["signal to noise of its input, dB"]


@pytest.mark.parametrize("scale", [100.0, 1e-3])
def test_wrong_calibration_is_named_in_onnx(exported, tmp_path, scale):
    path = tmp_path / "wrong.onnx"
    float32 = exported.paths["onnx-float32-features.onnx"]
    wrong = onnx_forms.int8_static(float32.read_bytes(), np.float32(scale) * exported.features)
    path.write_bytes(joined.onnx(to_onnx.from_tflite(tflite.float32(front_end, exported.samples[:1].shape)), wrong))
    found = failed(gate.inspect(path, exported.samples, exported.logits, variant=Variant.ONNX_INT8_STATIC))
    assert list(found) == ["signal to noise of its input, dB"]
    path.write_bytes(wrong)
    found = failed(gate.inspect(path, exported.features, exported.logits, variant=Variant.ONNX_INT8_STATIC))
    assert list(found) == ["signal to noise of its input, dB"]
    few = exported.features[::2]  # 16 of 32
    extent = f"{few.min():.3g} to {few.max():.3g}"
    assert found["signal to noise of its input, dB"].endswith(f"by its calibration, test inputs lie within {extent}")
    check = gate.locate(path, Variant.ONNX_INT8_STATIC, exported.features, float32, {})
    assert not check.passed
    assert "the range of its input does not fit, as after calibration with other data" in check.detail


def depthwise(x):
    return jax.lax.conv_general_dilated(
        x, DEPTHWISE, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=8
    )


def per_tensor(function, shape, calibration):
    """As `tflite.int8`, but with the converter's switch for a single scale."""

    def configure(tensorflow, converter):
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([example[None]] for example in calibration)
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tensorflow.int8
        converter._experimental_disable_per_channel = True

    return tflite.Traced(function, shape)._convert(configure)


def test_one_scale_for_all_channels_is_named_in_tflite(tmp_path):
    path = tmp_path / "depthwise.tflite"
    path.write_bytes(per_tensor(depthwise, (1, 6, 7, 8), MAPS))
    found = failed(gate.inspect(path, MAPS, np.asarray(depthwise(MAPS)), variant=Variant.TFLITE_INT8))
    assert found == {SCALES: "DEPTHWISE_CONV_2D Identity has 1 for 8 channels"}
    path.write_bytes(tflite.int8(depthwise, (1, 6, 7, 8), MAPS))
    assert contents.scales(path).passed


def test_one_scale_for_all_channels_is_named_in_onnx(tmp_path):
    from onnxruntime import quantization

    float32 = to_onnx.from_tflite(tflite.float32(depthwise, (1, 6, 7, 8)))
    (tmp_path / "float32.onnx").write_bytes(float32)
    path = tmp_path / "dynamic.onnx"
    quantization.quantize_dynamic(tmp_path / "float32.onnx", path, per_channel=True)
    assert failed([contents.scales(path)])[SCALES].endswith("has 1 for 8 channels")
    path.write_bytes(onnx_forms.int8_static(float32, MAPS))
    assert contents.scales(path).passed


def test_operators_of_tensorflow_are_named(tmp_path):
    import warnings

    import tensorflow as tf

    function = tf.function(
        lambda x: tf.raw_ops.Cholesky(input=x), input_signature=[tf.TensorSpec((1, 4, 4), tf.float32)]
    )
    with quiet.native_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], function)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        path = tmp_path / "flex.tflite"
        path.write_bytes(converter.convert())
    x = np.eye(4, dtype=np.float32)[None]
    operators, runs = gate.inspect(path, x, x)
    assert (operators.passed, operators.value, operators.detail) == (False, 1, "CUSTOM:FlexCholesky")
    assert not runs.passed


def test_operators_of_another_domain_are_named(tmp_path):
    import onnx

    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 4]) for name in "xy"]
    node = onnx.helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:])
    sets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "foreign.onnx"
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=sets, ir_version=8).SerializeToString())
    assert contents.builtin(path) == gate.Check(
        path.name, "operators that are not builtin", 1.0, 0.0, False, "com.microsoft:Gelu"
    )


@pytest.mark.parametrize("place", ["branch", "function"])
def test_operators_of_another_domain_are_named_wherever_they_hide(tmp_path, place):
    """In a branch of an If, in a branch of that; in a function of the file's own, which is no foreign operator."""
    import onnx

    make, real = onnx.helper, onnx.TensorProto.FLOAT
    ends = [make.make_tensor_value_info(name, real, ["batch", 4]) for name in "xy"]
    foreign = make.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    sets = [make.make_opsetid("", 17), make.make_opsetid("com.microsoft", 1), make.make_opsetid("own", 1)]
    functions = []
    if place == "branch":
        always = make.make_node("Constant", [], ["always"], value=make.make_tensor("t", onnx.TensorProto.BOOL, [], [1]))
        node = foreign
        for _ in range(2):
            other = make.make_graph([make.make_node("Abs", ["x"], ["y"])], "other", [], ends[1:])
            branch = make.make_graph([node], "branch", [], ends[1:])
            node = make.make_node("If", ["always"], ["y"], then_branch=branch, else_branch=other)
        nodes = [always, node]
    else:
        nodes = [make.make_node("named", ["x"], ["y"], domain="own")]
        functions = [make.make_function("own", "named", ["x"], ["y"], [foreign], sets)]
    model = make.make_model(
        make.make_graph(nodes, "g", ends[:1], ends[1:]), opset_imports=sets, ir_version=8, functions=functions
    )
    path = tmp_path / "hidden.onnx"
    path.write_bytes(model.SerializeToString())
    assert runtime.load(path).run(np.ones((1, 4), np.float32)) == pytest.approx(0.8413447)  # of the normal distribution
    check = contents.builtin(path)
    assert (check.passed, check.detail) == (False, "com.microsoft:Gelu")


def test_operators_that_a_microcontroller_lacks_are_named(exported, tmp_path):
    path = tmp_path / "micro.tflite"
    path.write_bytes(tflite.float32(lambda x: jax.numpy.fft.rfft(x).real, (1, 64)))
    assert "RFFT2D" in micro_operators.lacking(path.read_bytes())
    assert micro_operators.lacking(exported.paths["tflite-int8-features.tflite"].read_bytes()) == ()
    assert runtime.load(path) is not None  # LiteRT has it
