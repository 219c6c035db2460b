import random

import numpy as np
import onnx
import onnxruntime
import pytest

from hsjax import runtime
from hsjax.export import onnx as to_onnx
from hsjax.export import tflite


def session(model):
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def from_samples(exported):
    return exported.paths["onnx-float32-samples.onnx"].read_bytes()


@pytest.mark.parametrize("batch", [1, 8, 16])
def test_any_batch_gives_what_jax_gives(exported, from_samples, batch):
    (logits,) = session(from_samples).run(None, {"input": exported.samples[:batch]})
    np.testing.assert_allclose(logits, exported.logits[:batch], atol=1e-4 * np.abs(exported.logits).max())


def test_the_file_is_valid_and_says_that_the_batch_is_free(from_samples):
    model = onnx.load_from_string(from_samples)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == to_onnx.OPSET
    for end in (model.graph.input[0], model.graph.output[0]):
        assert end.type.tensor_type.shape.dim[0].dim_param


def test_merged_and_cut_first_axes_follow_the_batch(rng):
    # Frames merged into the batch for a product, then taken apart again, then every other frame.
    def function(x):
        return ((x.reshape(-1, 4) @ np.ones((4, 3), np.float32)).reshape(-1, 6, 3) * 2)[:, ::2]

    x = rng.normal(size=(5, 24)).astype(np.float32)
    (output,) = session(to_onnx.from_tflite(tflite.float32(function, (1, 24)))).run(None, {"input": x})
    expected = 2 * np.repeat(x.reshape(5, 6, 4).sum(-1)[:, ::2, None], 3, axis=-1)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)


def test_names_depend_on_the_graph_alone(exported):
    content = exported.paths["onnx-float32-features.onnx"].read_bytes()
    model = onnx.load_from_string(content)
    constants = list(model.graph.initializer)
    random.Random(0).shuffle(constants)
    new_names = {constant.name: f"anything_{i}" for i, constant in enumerate(constants)}
    for node in model.graph.node:
        node.name = f"some {node.name}"
        node.input[:] = [new_names.get(name, name) for name in node.input]
    for constant in constants:
        constant.name = new_names[constant.name]
    unused = onnx.numpy_helper.from_array(np.zeros(3), "unused")
    del model.graph.initializer[:]
    model.graph.initializer.extend([unused, *constants])
    to_onnx.rename(model)
    assert model.SerializeToString() == content


def test_runtime_runs_it(exported, from_samples):
    loaded = runtime.load(exported.paths["onnx-float32-samples.onnx"])
    assert (loaded.batch, loaded.input_shape, loaded.output_shape) == (None, (5000,), (2,))
