import jax.numpy as jnp
import numpy as np
import onnx
import pytest

from hsjax import runtime
from hsjax.export import joined, tflite
from hsjax.export import onnx as to_onnx
from hsjax.runtime import litert

MATRIX = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)


def front_end(samples):
    return jnp.log(jnp.abs(samples @ MATRIX) + 0.1)


def network(features):
    return jnp.maximum(features @ WEIGHTS, 0) @ np.ones((3, 2), np.float32)


def in_turn(folder, first, second, samples):
    """What the two files give that are to be one."""
    suffix = ".tflite" if first[4:8] == b"TFL3" else ".onnx"
    sessions = []
    for name, content in (("first", first), ("second", second)):
        path = folder / f"{name}{suffix}"
        path.write_bytes(content)
        sessions.append(runtime.load(path))
    return sessions[1].run(sessions[0].run(samples))


@pytest.fixture
def samples(rng):
    return rng.normal(size=(20, 12)).astype(np.float32)


FORMS = {
    "float32": (np.float32, []),
    "float16": (np.float32, []),
    "int8": (np.int8, ["QUANTIZE", "DEQUANTIZE"]),
    "int16": (np.int16, ["QUANTIZE", "DEQUANTIZE"]),
}


@pytest.mark.parametrize("form", FORMS)
def test_one_tflite_file_gives_what_two_give(tmp_path, samples, form):
    traced = tflite.Traced(network, (1, 6))
    calibration = [np.asarray(front_end(samples))] if FORMS[form][0] != np.float32 else []
    first, second = tflite.float32(front_end, (1, 12)), getattr(traced, form)(*calibration)
    path = tmp_path / "joined.tflite"
    path.write_bytes(joined.tflite(first, second))
    session = runtime.load(path)
    assert (session.input_dtype, session.input_shape, session.output_shape) == (np.float32, (12,), (2,))
    np.testing.assert_array_equal(session.run(samples), in_turn(tmp_path, first, second, samples))
    expected = list(litert.operators(first)) + list(litert.operators(second))
    conversions = [name for name in litert.operators(path.read_bytes()) if name not in expected]
    assert [name for name in conversions if name != "DEQUANTIZE" or form != "float16"] == FORMS[form][1]


def test_one_onnx_file_gives_what_two_give(tmp_path, samples):
    first, second = (
        to_onnx.from_tflite(tflite.float32(function, shape))
        for function, shape in ((front_end, (1, 12)), (network, (1, 6)))
    )
    path = tmp_path / "joined.onnx"
    path.write_bytes(joined.onnx(first, second))
    session = runtime.load(path)
    assert (session.batch, session.input_shape, session.output_shape) == (None, (12,), (2,))
    for batch in (1, 7, 20):
        given = samples[:batch]
        np.testing.assert_allclose(session.run(given), in_turn(tmp_path, first, second, given), rtol=1e-6)
    graph = onnx.load(path).graph
    assert (graph.input[0].name, graph.output[0].name) == ("input", "output")


def test_a_front_end_that_puts_out_what_it_takes_in_is_joined_too(tmp_path, samples):
    first = tflite.float32(lambda samples: samples.reshape(1, 2, 6), (1, 12))
    second = tflite.float32(lambda features: features[:, 1] @ WEIGHTS, (1, 2, 6))
    path = tmp_path / "joined.tflite"
    path.write_bytes(joined.tflite(first, second))
    np.testing.assert_allclose(runtime.load(path).run(samples), samples[:, 6:] @ WEIGHTS, rtol=1e-5, atol=1e-5)
