import warnings

import numpy as np
import onnx
import pytest
import tensorflow as tf

from hsjax.export import gate
from hsjax.runtime import quiet


def passes(checks):
    return [check.passed for check in checks]


def test_good_files_pass_every_check(exported):
    expected = {
        "tflite-float32-features.tflite": ["operators that are not builtin", "deviation"],
        "tflite-int8-features.tflite": ["operators that are not builtin"],
        "tflite-float32-samples.tflite": ["operators that are not builtin", "deviation"],
        "onnx-float32-features.onnx": ["onnx.checker problems", "deviation between batches of 1, 8, 16", "deviation"],
        "onnx-float32-samples.onnx": ["onnx.checker problems", "deviation between batches of 1, 8, 16", "deviation"],
    }
    checks = []
    for name, names in expected.items():
        inputs = exported.samples if "samples" in name else exported.features
        found = gate.inspect(exported.paths[name], inputs, exported.logits)
        assert [check.check for check in found] == names
        checks += found
    gate.enforce(checks)


@pytest.mark.parametrize("name", ["tflite-float32-features.tflite", "onnx-float32-features.onnx"])
def test_a_file_of_another_network_fails(exported, name):
    other = exported.logits + np.float32(2e-4 * np.abs(exported.logits).max())
    checks = gate.inspect(exported.paths[name], exported.features, other)
    assert not checks[-1].passed
    assert checks[-1].value == pytest.approx(2e-4, rel=0.1)


def test_operators_of_tensorflow_fail(tmp_path):
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
    assert (operators.passed, operators.value, operators.detail) == (False, 1, "not builtin: CUSTOM:FlexCholesky")
    assert not runs.passed


def test_damaged_files_fail_a_check_instead_of_stopping_the_rest(exported, tmp_path):
    for path in exported.paths.values():
        damaged = tmp_path / path.name
        damaged.write_bytes(path.read_bytes()[:-100])
        inputs = exported.samples if "samples" in path.name else exported.features
        assert not all(passes(gate.inspect(damaged, inputs, exported.logits))), path.name


def write_onnx(path, batch, *nodes):
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [batch, 4]) for name in "xy"]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def test_results_that_depend_on_the_batch_fail(tmp_path, rng):
    x = rng.normal(size=(16, 4)).astype(np.float32)
    path = tmp_path / "mean.onnx"
    mean = onnx.helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1)
    write_onnx(path, "batch", mean, onnx.helper.make_node("Sub", ["x", "m"], ["y"]))
    assert passes(gate.inspect(path, x, x - x.mean(axis=0))) == [True, False, True]


def test_a_fixed_batch_fails(tmp_path, rng):
    x = rng.normal(size=(16, 4)).astype(np.float32)
    path = tmp_path / "fixed.onnx"
    write_onnx(path, 1, onnx.helper.make_node("Abs", ["x"], ["y"]))
    assert passes(gate.inspect(path, x, np.abs(x))) == [True, False, True]


def test_too_few_examples_to_compare_batches_fail(exported):
    path = exported.paths["onnx-float32-features.onnx"]
    assert passes(gate.inspect(path, exported.features[:15], exported.logits[:15])) == [True, False, True]


def test_a_file_that_the_checker_refuses_fails(tmp_path, rng):
    x = rng.normal(size=(16, 4)).astype(np.float32)
    path = tmp_path / "nameless.onnx"
    # ONNX Runtime runs a graph without a name, the checker wants one.
    write_onnx(path, "batch", onnx.helper.make_node("Abs", ["x"], ["y"]))
    model = onnx.load(path)
    model.graph.name = ""
    path.write_bytes(model.SerializeToString())
    assert passes(gate.inspect(path, x, np.abs(x))) == [False, True, True]


def test_agreement_is_a_part_of_the_units():
    reference = np.zeros(200, np.int64)
    measured = reference.copy()
    measured[:2] = 1
    assert gate.agreement("m", reference, measured) == gate.Check(
        "m", "class agreement", 0.99, 0.99, True, "198 of 200"
    )
    measured[2] = 1
    assert not gate.agreement("m", reference, measured).passed
    assert not gate.agreement("m", reference[:0], measured[:0]).passed


@pytest.mark.parametrize(("measured", "passed"), [(0.91, True), (0.895, True), (0.88, False), (np.nan, False)])
def test_a_metric_may_drop_a_little_and_rise_at_will(measured, passed):
    assert gate.metric_drop("m", "auroc", 0.9, measured).passed is passed


def test_deviation_is_relative_to_the_largest_output():
    reference = np.array([[10.0, 0.0], [-20.0, 5.0]], np.float32)
    measured = reference + np.array([[0, 0.001], [0, 0]], np.float32)
    check = gate.deviation("m", reference, measured)
    assert (check.passed, check.value) == (True, pytest.approx(0.001 / 20, rel=1e-4))
    assert not gate.deviation("m", reference, measured + 0.002).passed
    assert not gate.deviation("m", reference, np.full_like(reference, np.nan)).passed
    assert not gate.deviation("m", reference, reference[:, :1]).passed
    assert not gate.deviation("m", np.zeros_like(reference), np.zeros_like(reference)).passed


def test_enforce_names_all_that_failed_and_only_that():
    checks = [
        gate.metric_drop("a.tflite", "auroc", 0.9, 0.7),
        gate.metric_drop("b.tflite", "auroc", 0.9, 0.9),
        gate.agreement("c.tflite", np.arange(4), np.zeros(4, int)),
    ]
    with pytest.raises(
        gate.GateFailed, match=r"a\.tflite: auroc drop is 0\.2, .*c\.tflite: class agreement is 0\.25, "
    ) as error:
        gate.enforce(checks)
    assert error.value.checks == (checks[0], checks[2])
    assert "b.tflite" not in str(error.value)
    gate.enforce(checks[1:2])
