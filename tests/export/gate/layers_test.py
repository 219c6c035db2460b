import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from hsjax.export import gate, models
from hsjax.export.gate import layers
from hsjax.export.gate.layers import Expected, Layer
from hsjax.runtime import Input, Variant, sidecar
from hsjax.runtime.inside import Value


def value(name, real, operator="ADD"):
    return Value(name, operator, np.asarray(real, np.float64))


def test_decibels_by_hand():
    reference = [
        [value("a", [[3.0, 4.0]]), value("b", [[1.0, 0.0]])],
        [value("a", [[0.0, 5.0]]), value("b", [[0.0, 1.0]])],
    ]
    measured = [
        [value("a", [[3.0, 4.5]]), value("b", [[1.0, 0.0]])],
        [value("a", [[0.0, 5.0]]), value("b", [[0.0, 1.0]])],
    ]
    # Squares of 50 against one of a quarter: 200; no difference at all: the most.
    assert layers.compare(reference, measured) == [
        Layer("a", "ADD", pytest.approx(10 * np.log10(200))),
        Layer("b", "ADD", 999.0),
    ]
    assert layers.ratio(0.0, 1.0) == -999
    assert layers.ratio(0.0, 0.0) == 999
    assert layers.ratio(1.0, np.inf) == layers.ratio(np.inf, np.nan) == layers.ratio(np.nan, 1.0) == -999


def test_the_layer_that_loses_most_against_what_came_before():
    found = [Layer("a", "", 40.0), Layer("b", "", 35.0), Layer("c", "", 5.0), Layer("d", "", 4.0)]
    assert layers.culprit(found, Expected.INTEGERS) == (found[2], 35.0)
    # Where the sum of two branches has less noise than one of them, that is no gain.
    found = [Layer("a", "", 40.0), Layer("b", "", 20.0), Layer("c", "", 30.0), Layer("d", "", 12.0)]
    assert layers.culprit(found, Expected.INTEGERS) == (found[1], 40.0)
    check = layers.verdict("m", [Layer("in", "", 3.0)], Expected.INTEGERS)
    assert not check.passed
    assert "the range of its input does not fit" in check.detail
    assert not layers.verdict("m", [], Expected.INTEGERS).passed


def test_layers_of_other_names_are_found_by_their_values(rng):
    maps, weights = rng.normal(size=(1, 4, 5, 3)), rng.normal(size=(1, 6))
    reference = [[value("x", maps), value("y", 2 * maps), value("z", weights), value("logits", weights + 1)]]
    # Another layout, another name, a detour, and a last layer that is wrong.
    measured = [[value("1", maps.transpose(0, 3, 1, 2)), value("2", -maps.transpose(0, 3, 1, 2)),
                 value("3", 2 * maps.transpose(0, 3, 1, 2)), value("4", weights), value("5", -weights)]]  # fmt: skip
    found = layers.compare(reference, measured)
    assert [layer.name for layer in found[:3]] == ["1", "3", "4"]
    assert all(layer.decibels == 999 for layer in found[:3])
    assert found[3].decibels < 10
    assert layers.culprit(found, Expected.FLOATS)[0] is found[3]


def test_names_for_people():
    name = "max;DSCNN/stem/norm/add;DSCNN/stem/conv/conv_general_dilated"
    assert layers.short(name) == "DSCNN/stem/conv/conv_general_dilated"
    assert layers.short("network/Identity") == "network/output"


def located(exported, path, variant, input, taps=None):
    inputs = exported.samples if input is Input.SAMPLES else exported.features
    beside = models.reference(exported.folder, variant, input)
    return gate.locate(path, variant, inputs, beside, taps or {})


def test_nothing_is_found_in_good_files(exported):
    for path in exported.paths.values():
        described = sidecar.read(path)
        taps = {"logits": exported.logits}
        check = located(exported, path, described.variant, described.input, taps)
        assert check.passed, check


def broken_tflite(content, position):
    """A file of which one operator's weights count for four times as much."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (subgraph,) = model.subgraphs
    weighted = [one for one in subgraph.operators if len(one.inputs) == 3]
    quantisation = subgraph.tensors[weighted[position].inputs[1]].quantization
    quantisation.scale = quantisation.scale * 4
    bias = weighted[position].inputs[2]
    if bias >= 0:
        subgraph.tensors[bias].quantization.scale = subgraph.tensors[bias].quantization.scale * 4
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("input", list(Input))
@pytest.mark.parametrize(("position", "operator"), [(0, "DEPTHWISE_CONV_2D"), (1, "CONV_2D"), (2, "FULLY_CONNECTED")])
def test_the_broken_layer_of_an_int8_file_is_found(exported, tmp_path, input, position, operator):
    name = models.file_name(Variant.TFLITE_INT8, input)
    content = exported.paths[name].read_bytes()
    if input is Input.SAMPLES:  # the network's are the last four
        position += sum(len(one.inputs) == 3 for one in operators(content)) - 4
    path = tmp_path / name
    path.write_bytes(broken_tflite(content, position))
    check = located(exported, path, Variant.TFLITE_INT8, input)
    assert not check.passed
    assert check.detail.startswith(operator), check.detail


def operators(content):
    return schema.ModelT.InitFromPackedBuf(content, 0).subgraphs[0].operators


@pytest.mark.parametrize(
    "variant",
    [Variant.ONNX_INT8_STATIC, Variant.ONNX_FLOAT16, Variant.ONNX_INT8_DYNAMIC, Variant.ONNX_INT8_WEIGHTS],
)
def test_the_broken_layer_of_an_onnx_file_is_found(exported, tmp_path, variant):
    name = models.file_name(variant, Input.FEATURES)
    model = onnx.load(exported.paths[name])
    # The second convolution's bias, or its weights where it has none of its own.
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][1]
    bias = next(
        constant for constant in model.graph.initializer
        if constant.name.startswith(convolution.input[2]) and len(constant.dims) == 1 and "scale" not in constant.name
        and "zero" not in constant.name
    )  # fmt: skip
    values = onnx.numpy_helper.to_array(bias)
    wrong = (values + (30_000 if values.dtype == np.int32 else 20)).astype(values.dtype)
    bias.CopyFrom(onnx.numpy_helper.from_array(wrong, bias.name))
    path = tmp_path / name
    path.write_bytes(model.SerializeToString())
    check = located(exported, path, variant, Input.FEATURES)
    assert not check.passed
    kind = "Conv Relu_5" if variant is Variant.ONNX_INT8_STATIC else "Conv Conv_4"
    assert check.detail.startswith(kind), check.detail


def test_the_broken_layer_of_convolutions_in_integers_is_found(exported, tmp_path):
    name = models.file_name(Variant.ONNX_INT8_DYNAMIC_ALL, Input.FEATURES)
    model = onnx.load(exported.paths[name])
    (scale,) = (constant for constant in model.graph.initializer if constant.name == "Conv_4_scale")
    scale.CopyFrom(onnx.numpy_helper.from_array(4 * onnx.numpy_helper.to_array(scale), scale.name))
    path = tmp_path / name
    path.write_bytes(model.SerializeToString())
    check = located(exported, path, Variant.ONNX_INT8_DYNAMIC_ALL, Input.FEATURES)
    assert not check.passed
    assert check.detail.startswith("Add Conv_4"), check.detail


@pytest.mark.parametrize("wrong", ["conv1", "conv2", "hidden", "logits"])
def test_a_float_file_is_held_against_jax(exported, wrong):
    """Of a network that differs from a layer on: everything before it is found, and that it ends there."""
    path = exported.paths[models.file_name(Variant.TFLITE_FLOAT32, Input.FEATURES)]
    taps = {name: np.asarray(values) for name, values in exported.taps.items()}
    good = gate.locate(path, Variant.TFLITE_FLOAT32, exported.features, None, taps)
    assert good.passed, good
    names = list(taps)
    for name in names[names.index(wrong) :]:
        taps[name] = taps[name] * np.random.default_rng(0).normal(size=taps[name].shape).astype(np.float32)
    check = gate.locate(path, Variant.TFLITE_FLOAT32, exported.features, None, taps)
    assert not check.passed
    before = {"conv1": "nothing", "conv2": "MAX_POOL_2D", "hidden": "MAX_POOL_2D", "logits": "FULLY_CONNECTED"}
    found = layers.compare(layers.of_taps(taps, 16), layers.values(path, exported.features[:16]))
    sound = [layer.operator for layer in found if layer.decibels > 60]
    assert (sound or ["nothing"])[-1] == before[wrong]
    assert len(found) == len(sound) + 1


def test_a_file_that_cannot_be_run_has_no_layers(exported, tmp_path):
    path = tmp_path / "cut.tflite"
    path.write_bytes(exported.paths["tflite-int8-features.tflite"].read_bytes()[:5000])
    check = located(exported, path, Variant.TFLITE_INT8, Input.FEATURES)
    assert (check.check, check.passed) == ("values of its layers", False)
