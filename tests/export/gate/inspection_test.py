import numpy as np
import onnx
import pytest

from hsjax.export import gate
from hsjax.runtime import Input, Variant, sidecar

BUILTIN, SCALES = "operators that are not builtin", "convolutions without a scale per channel"
TAKEN_IN = "signal to noise of its input, dB"
BATCHES = "deviation between batches of 1, 8, 16"
EXPECTED = {
    Variant.TFLITE_FLOAT32: [BUILTIN, "deviation"],
    Variant.TFLITE_FLOAT16: [BUILTIN, "deviation"],
    Variant.TFLITE_DYNAMIC: [BUILTIN, SCALES],
    Variant.TFLITE_INT8: [BUILTIN, SCALES, TAKEN_IN],
    Variant.TFLITE_INT16: [BUILTIN, SCALES, TAKEN_IN],
    Variant.ONNX_FLOAT32: [BUILTIN, "onnx.checker problems", BATCHES, "deviation"],
    Variant.ONNX_FLOAT16: [BUILTIN, "onnx.checker problems", BATCHES, "deviation"],
    Variant.ONNX_INT8_STATIC: [BUILTIN, "onnx.checker problems", SCALES, TAKEN_IN, BATCHES],
    Variant.ONNX_INT8_DYNAMIC: [BUILTIN, "onnx.checker problems", SCALES, BATCHES],
    Variant.ONNX_INT8_DYNAMIC_ALL: [BUILTIN, "onnx.checker problems", SCALES, BATCHES],
    Variant.ONNX_INT8_WEIGHTS: [BUILTIN, "onnx.checker problems", SCALES, BATCHES],
}


def passes(checks):
    return [check.passed for check in checks]


def test_good_files_pass_every_check(exported):
    checks = []
    for path in exported.paths.values():
        described = sidecar.read(path)
        inputs = exported.samples if described.input is Input.SAMPLES else exported.features
        found = gate.inspect(path, inputs, exported.logits, variant=described.variant)
        expected = list(EXPECTED[described.variant])
        assert [check.check for check in found] == expected
        checks += found
    assert len(checks) > 50
    gate.enforce(checks)


@pytest.mark.parametrize("name", ["tflite-float32-features.tflite", "onnx-float32-features.onnx"])
def test_a_file_of_another_network_fails(exported, name):
    other = exported.logits + np.float32(2e-4 * np.abs(exported.logits).max())
    checks = gate.inspect(exported.paths[name], exported.features, other)
    assert not checks[-1].passed
    assert checks[-1].value == pytest.approx(2e-4, rel=0.1)


def test_damaged_files_fail_a_check_instead_of_stopping_the_rest(exported, tmp_path):
    for path in exported.paths.values():
        damaged = tmp_path / path.name
        damaged.write_bytes(path.read_bytes()[:-100])
        inputs = exported.samples if "samples" in path.name else exported.features
        assert not all(passes(gate.inspect(damaged, inputs, exported.logits, variant=sidecar.read(path).variant))), (
            path.name
        )


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
    assert passes(gate.inspect(path, x, x - x.mean(axis=0))) == [True, True, False, True]


def test_no_number_at_all_in_one_batch_fails(tmp_path, rng):
    """x + 0 log(15.5 - n) of batches of n: x of 1 and 8, and no number of 16."""
    x = rng.normal(size=(16, 4)).astype(np.float32)
    path = tmp_path / "sixteen.onnx"
    nodes = [
        onnx.helper.make_node("Shape", ["x"], ["n"], start=0, end=1),
        onnx.helper.make_node("Cast", ["n"], ["real"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Constant", [], ["most"], value_floats=[15.5]),
        onnx.helper.make_node("Sub", ["most", "real"], ["left"]),
        onnx.helper.make_node("Log", ["left"], ["log"]),
        onnx.helper.make_node("Constant", [], ["nothing"], value_floats=[0.0]),
        onnx.helper.make_node("Mul", ["log", "nothing"], ["zero"]),
        onnx.helper.make_node("Add", ["x", "zero"], ["y"]),
    ]
    write_onnx(path, "batch", *nodes)
    _, _, batches, _ = gate.inspect(path, x, x)
    assert not batches.passed
    assert np.isnan(batches.value)


def test_a_fixed_batch_fails(tmp_path, rng):
    x = rng.normal(size=(16, 4)).astype(np.float32)
    path = tmp_path / "fixed.onnx"
    write_onnx(path, 1, onnx.helper.make_node("Abs", ["x"], ["y"]))
    assert passes(gate.inspect(path, x, np.abs(x))) == [True, True, False, True]


@pytest.mark.parametrize(("count", "passed"), [(3, True), (0, False)])
def test_of_few_examples_batches_are_made_all_the_same_and_of_none_they_fail(exported, count, passed):
    path = exported.paths["onnx-float32-features.onnx"]
    found = gate.inspect(path, exported.features[:count], exported.logits[:count])
    assert passes(found) == [True, True, passed, passed]


def test_a_file_that_the_checker_refuses_fails(tmp_path, rng):
    x = rng.normal(size=(16, 4)).astype(np.float32)
    path = tmp_path / "nameless.onnx"
    # ONNX Runtime runs a graph without a name, the checker wants one.
    write_onnx(path, "batch", onnx.helper.make_node("Abs", ["x"], ["y"]))
    model = onnx.load(path)
    model.graph.name = ""
    path.write_bytes(model.SerializeToString())
    assert passes(gate.inspect(path, x, np.abs(x))) == [True, False, True, True]


@pytest.mark.parametrize(("different", "limit", "passed"), [(1, 0.995, False), (0, 0.995, True), (1, 0.95, True)])
def test_of_the_windows_of_an_emulation_none_is_let_off(tmp_path, different, limit, passed):
    """19 of 20 are less than 99.5 %."""
    logits = np.tile(np.array([[2.0, 1.0, 0.0, 0.0]], np.float32), (20, 1))
    path = tmp_path / "abs.onnx"
    write_onnx(path, "batch", onnx.helper.make_node("Abs", ["x"], ["y"]))
    emulated = logits.copy()
    emulated[:different] = emulated[:different, ::-1]
    check = gate.emulation(path, logits, emulated, limit, tuple("abcd"))
    assert (check.passed, check.value) == (passed, 1 - different / 20)
