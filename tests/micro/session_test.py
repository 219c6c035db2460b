"""TFLite Micro against LiteRT's reference kernels and integer arithmetic by hand; its arena against the smallest."""

import sys

import flatbuffers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from hsjax import runtime
from hsjax.export import tflite
from hsjax.micro import MicroSession
from hsjax.types import UserError


@pytest.fixture(scope="module")
def session(exported):
    return MicroSession(exported.model)


def int8_pair(path, function, shape, calibration):
    """An int8 file in TFLite Micro and in LiteRT's reference kernels, and what the latter says of its tensors."""
    path.write_bytes(tflite.int8(function, shape, calibration))
    reference = runtime.load(path, kernels=runtime.Kernels.REFERENCE)
    tensors = Interpreter(model_path=str(path)).get_tensor_details()
    return MicroSession(path), reference, tensors


def test_convolutions_equal_the_reference_kernels_bit_for_bit(tmp_path, rng):
    kernels = [rng.normal(size=size).astype(np.float32) for size in ((3, 3, 1, 8), (3, 3, 1, 8), (1, 1, 8, 4))]
    layout = ("NHWC", "HWIO", "NHWC")

    def network(x):
        x = jax.nn.relu(
            jax.lax.conv_general_dilated(x[..., None], kernels[0], (1, 1), "SAME", dimension_numbers=layout)
        )
        x = jax.lax.conv_general_dilated(x, kernels[1], (1, 1), "SAME", dimension_numbers=layout, feature_group_count=8)
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return jax.lax.conv_general_dilated(x, kernels[2], (1, 1), "SAME", dimension_numbers=layout).reshape(1, -1)

    calibration = rng.normal(size=(20, 12, 16)).astype(np.float32)
    session, reference, _ = int8_pair(tmp_path / "m.tflite", network, (1, 12, 16), calibration)
    inputs = np.concatenate([calibration, 2 * rng.normal(size=(200, 12, 16)).astype(np.float32)])
    outputs = session.run(inputs)
    assert len(np.unique(outputs)) > 200
    np.testing.assert_array_equal(outputs, reference.run(inputs))


def requantised(sums: np.ndarray, factors: np.ndarray, twice: bool) -> np.ndarray:
    """Sums times real factors below 1 as integers (Jacob et al. 2018, section 2.2), rounded once, or twice by gemmlowp.

    gemmlowp's fixedpoint.h: the upper half of a doubled product with 31 bits of the factor is rounded (halves upwards),
    and again (halves away from zero) as the exponent is taken off.
    """
    mantissa, exponent = np.frexp(factors)
    mantissa, right = np.round(mantissa * 2.0**31).astype(np.int64), -exponent
    products = sums.astype(np.int64) * mantissa
    if not twice:
        return (products + (np.int64(1) << (30 + right))) >> (31 + right)
    high = (products + np.where(products >= 0, 1 << 30, 1 - (1 << 30))) / 2.0**31
    high = np.trunc(high).astype(np.int64)
    return np.trunc(high / 2.0**right + np.copysign(0.5, high)).astype(np.int64)


def test_dense_layers_round_twice_in_tflite_micro_and_once_in_litert(tmp_path, rng):
    weights = rng.normal(size=(200, 16)).astype(np.float32)
    calibration = rng.normal(size=(50, 200)).astype(np.float32)
    session, reference, tensors = int8_pair(tmp_path / "m.tflite", lambda x: x @ weights, (1, 200), calibration)
    source, target = session.input_quantisation, session.output_quantisation
    (scales,) = (t["quantization_parameters"]["scales"] for t in tensors if tuple(t["shape"]) == (16, 200))
    inputs = source.quantise(rng.normal(size=(1000, 200)).astype(np.float32))
    kernel = np.round(weights / scales).astype(np.int64)
    sums = (inputs.astype(np.int64) - source.zero_point) @ kernel
    factors = source.scale * scales.astype(np.float64) / target.scale
    outputs = {twice: requantised(sums, factors, twice) + target.zero_point for twice in (False, True)}
    assert 0 < (outputs[False] != outputs[True]).mean() < 0.01
    for twice, runner in ((True, session), (False, reference)):
        expected = np.clip(outputs[twice], -128, 127).astype(np.int8)
        got = runner.run(source.dequantise(inputs))
        np.testing.assert_array_equal(target.quantise(got), expected, err_msg=f"rounded {1 + twice} times")


def test_the_student_differs_from_the_reference_kernels_by_that_rounding_alone(exported, session, rng):
    reference = runtime.load(exported.model, kernels=runtime.Kernels.REFERENCE)
    scale = session.input_quantisation.scale
    noise = rng.integers(-128, 128, (400, *session.input_shape)) * scale  # every int8, whatever its zero point
    inputs = np.float32(np.concatenate([noise, 8 * noise[:20], exported.features]))
    outputs = session.run(inputs)
    assert len(np.unique(outputs)) > 20
    steps = np.abs(outputs - reference.run(inputs)) / session.output_quantisation.scale
    assert steps.max() < 1.5
    assert (steps > 0.5).any(axis=1).mean() < 0.03


def test_int8_in_and_out(session, rng):
    inputs = rng.integers(-128, 128, session.input_shape).astype(np.int8)
    outputs = session.run_quantised(inputs)
    assert outputs.dtype == np.int8
    real = session.run(session.input_quantisation.dequantise(inputs)[None])[0]
    np.testing.assert_array_equal(session.output_quantisation.dequantise(outputs), real)


def test_a_float_model(tmp_path, rng):
    weights = rng.normal(size=(6, 3)).astype(np.float32)
    path = tmp_path / "float.tflite"
    path.write_bytes(tflite.float32(lambda x: x @ weights, (1, 6)))
    inputs = rng.normal(size=(5, 6)).astype(np.float32)
    np.testing.assert_allclose(MicroSession(path).run(inputs), inputs @ weights, rtol=1e-5, atol=1e-6)


def test_the_arena_is_the_smallest_one(exported, session):
    arena = session.arena()
    assert arena.total == arena.activations + arena.persistent
    # The largest pair of neighbouring maps, and nothing twice: conv1's 13 x 101 x 16 and its pooled 6 x 50 x 16.
    assert arena.activations >= 13 * 101 * 16 + 6 * 50 * 16
    zeros = np.zeros((1, *session.input_shape), np.float32)
    np.testing.assert_array_equal(MicroSession(exported.model, arena.total).run(zeros), session.run(zeros))
    with pytest.raises(UserError, match=f"cannot be run by TFLite Micro in {arena.total - 16} bytes: .*[Ff]ailed"):
        MicroSession(exported.model, arena.total - 16)


def test_song_s_student_fits(exported, session):
    assert exported.model.stat().st_size <= 49_000
    assert session.arena().total <= 32 * 1024


def test_what_cannot_be_run(exported, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="there is no model"):
        MicroSession(tmp_path / "none.tflite")
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(exported.model.read_bytes()[:20_000])
    with pytest.raises(UserError, match=r"damaged.tflite cannot be run by LiteRT"):
        MicroSession(damaged)
    other = tmp_path / "other.onnx"
    other.write_bytes(exported.model.read_bytes())
    with pytest.raises(UserError, match=r"other.onnx: TFLite Micro runs .tflite files only"):
        MicroSession(other)
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    with pytest.raises(UserError, match=r'pip install "hsjax\[micro\]"'):
        MicroSession(exported.model)


def test_what_the_interpreter_refuses_while_it_runs(tmp_path):
    """The reciprocal root of a negative number, in integers: the file is sound, and of 0 and more it is computed."""
    path = tmp_path / "roots.tflite"
    steps = schema.QuantizationParametersT(scale=[0.5], zeroPoint=[0])
    tensors = [
        schema.TensorT(shape=[1, 4], type=schema.TensorType.INT8, buffer=0, name=name, quantization=steps, hasRank=True)
        for name in (b"in", b"out")
    ]
    subgraph = schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[1], operators=[schema.OperatorT(0, [0], [1])])
    code = schema.BuiltinOperator.RSQRT
    codes = [schema.OperatorCodeT(code, builtinCode=code, version=2)]
    model = schema.ModelT(version=3, operatorCodes=codes, subgraphs=[subgraph], buffers=[schema.BufferT()])
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    session = MicroSession(path)
    np.testing.assert_array_equal(session.run(np.full((1, 4), 4, np.float32)), np.full((1, 4), 0.5))
    with pytest.raises(UserError, match=r"roots.tflite cannot be run by TFLite Micro"):
        session.run(np.full((1, 4), -4, np.float32))
    with pytest.raises(UserError, match=r"roots.tflite cannot be run by TFLite Micro"):
        session.run_quantised(np.full((1, 4), -8, np.int8)[0])
