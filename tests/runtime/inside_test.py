import pathlib

import jax.numpy as jnp
import numpy as np
import onnx
import pytest

from hsjax.export import tflite
from hsjax.runtime import inside
from hsjax.types import UserError

FIRST = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
SECOND = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
INPUTS = np.random.default_rng(2).normal(size=(7, 6)).astype(np.float32)


def network(x):
    return jnp.tanh(x @ FIRST) @ SECOND


def by_numpy(x):
    """What it has inside, layer by layer."""
    x = x.astype(np.float64)
    return [x, x @ FIRST, np.tanh(x @ FIRST), np.tanh(x @ FIRST) @ SECOND]


@pytest.mark.parametrize(("form", "tolerance"), [("float32", 1e-5), ("int8", 0.05), ("int16", 0.02)])
def test_values_of_every_layer_of_a_tflite_file(tmp_path, form, tolerance):
    traced = tflite.Traced(network, (1, 6))
    path = tmp_path / "model.tflite"
    path.write_bytes(traced.float32() if form == "float32" else getattr(traced, form)(INPUTS))
    found = list(inside.tflite(path, INPUTS))
    assert len(found) == len(INPUTS)
    for values, example in zip(found, INPUTS, strict=True):
        assert [value.operator for value in values] == ["", "FULLY_CONNECTED", "TANH", "FULLY_CONNECTED"]
        assert values[0].name == "input"
        for value, want in zip(values, by_numpy(example[None]), strict=True):
            assert value.real.dtype == np.float64
            np.testing.assert_allclose(value.real, want, atol=tolerance * np.abs(want).max())


def test_values_of_chosen_layers_of_an_onnx_file():
    weights = [onnx.numpy_helper.from_array(values, name) for values, name in ((FIRST, "a"), (SECOND, "b"))]
    kinds = (("MatMul", ["x", "a"], "p"), ("Tanh", ["p"], "t"), ("MatMul", ["t", "b"], "y"))
    nodes = [onnx.helper.make_node(kind, given, [made]) for kind, given, made in kinds]
    source = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 6])
    targets = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "pty"]
    graph = onnx.helper.make_graph(nodes, "g", [source], targets, weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    names = {"p": "MatMul", "t": "Tanh", "y": "MatMul"}
    for values, example in zip(inside.onnx(model.SerializeToString(), names, INPUTS), INPUTS, strict=True):
        assert [(value.name, value.operator) for value in values] == [("input", ""), *names.items()]
        for value, want in zip(values, by_numpy(example[None]), strict=True):
            np.testing.assert_allclose(value.real, want, atol=1e-5)


def test_files_that_cannot_be_run_are_refused(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="cannot be run by LiteRT"):
        next(inside.tflite(path, INPUTS))
    with pytest.raises(UserError, match="cannot run the model"):
        next(inside.onnx(b"nothing of the kind", {}, INPUTS))
    with pytest.raises(UserError, match=r"neither a \.tflite nor"):
        next(inside.tflite(pathlib.Path("model.h5"), INPUTS))
