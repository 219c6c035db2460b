import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import bench, models
from hsjax.bench import macs
from hsjax.export import onnx, onnx_forms, onnx_integers, tflite
from hsjax.runtime.operations import Operation, operations
from hsjax.types import UserError
from tests.models import family


def counted(path):
    found = bench.count(path)
    assert not found.not_counted
    assert found.total == sum(layer.macs for layer in found.layers)
    return found


@pytest.fixture
def files(tmp_path):
    """Of a function, a float32 file for each runtime."""

    def write(function, shape):
        content = tflite.float32(function, shape)
        (tmp_path / "float32.tflite").write_bytes(content)
        (tmp_path / "float32.onnx").write_bytes(onnx.from_tflite(content))
        return [tmp_path / "float32.tflite", tmp_path / "float32.onnx"]

    return write


def logits(name, shape):
    network = models.build(name, num_classes=2, form=models.Form.PLAIN)
    variables = family.draw(network, shape)
    return network, lambda x: network.apply(variables, x)[0].logits


@pytest.mark.parametrize(("name", "shape"), [("dscnn", (1, 13, 101)), ("mobilenetv3-small", (1, 32, 32))])
def test_files_have_the_products_of_their_network(files, name, shape):
    """Which `models.macs` counts in JAX's trace."""
    network, function = logits(name, shape)
    expected = models.macs(network, jax.ShapeDtypeStruct(shape, jnp.float32))
    assert [counted(path).total for path in files(function, shape)] == [expected, expected]


def test_the_layers_of_songs_student_by_hand_in_every_form(tmp_path):
    shape = (1, 13, 101)
    traced = tflite.Traced(logits("song-student", shape)[1], shape)
    calibration = np.random.default_rng(0).standard_normal((4, *shape[1:]), np.float32)
    exported = onnx.from_tflite(traced.float32())
    contents = {
        "float32.tflite": traced.float32(),
        "int8.tflite": traced.int8(calibration),
        "dynamic.tflite": traced.dynamic(),
        "float32.onnx": exported,
        "static.onnx": onnx_forms.int8_static(exported, calibration),
        "dynamic.onnx": onnx_forms.int8_dynamic(exported),
        "dynamic-all.onnx": onnx_integers.int8_dynamic(exported),
        "weights.onnx": onnx_integers.int8_weights(exported),
    }
    # Maps of 13 x 101 and 6 x 50, kernels of 3 x 3, 1 to 16 to 32 channels; 3 x 25 x 32 to 16 to 2.
    expected = [13 * 101 * 9 * 1 * 16, 6 * 50 * 9 * 16 * 32, 2400 * 16, 16 * 2]
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert [layer.macs for layer in counted(tmp_path / name).layers] == expected, name
    layers = counted(tmp_path / "int8.tflite").layers
    assert [one.operator for one in layers] == ["DEPTHWISE_CONV_2D", "CONV_2D", "FULLY_CONNECTED", "FULLY_CONNECTED"]
    assert [one.shape for one in layers] == [(1, 13, 101, 16), (1, 6, 50, 32), (1, 16), (1, 2)]
    assert "conv2" in layers[1].name


KERNEL = np.random.default_rng(0).normal(size=(3, 5, 4, 6)).astype(np.float32)
GROUPED = np.random.default_rng(0).normal(size=(3, 3, 2, 8)).astype(np.float32)
NHWC = ("NHWC", "HWIO", "NHWC")


@pytest.mark.parametrize(
    ("function", "shape", "expected"),
    [
        # Strides 2: maps of 4 x 5, every value 3 x 5 x 4 products.
        (
            lambda x: jax.lax.conv_general_dilated(x, KERNEL, (2, 2), "SAME", dimension_numbers=NHWC),
            (1, 8, 10, 4),
            4 * 5 * 6 * 3 * 5 * 4,
        ),
        # Two groups of two channels in, four out each.
        (
            lambda x: jax.lax.conv_general_dilated(
                x, GROUPED, (1, 1), "VALID", dimension_numbers=NHWC, feature_group_count=2
            ),
            (1, 6, 7, 4),
            4 * 5 * 8 * 9 * 2,
        ),
        # The transposed one multiplies each of 8 x 10 x 6 values with a kernel of 3 x 5 x 4.
        (
            lambda x: jax.lax.conv_transpose(x, KERNEL.swapaxes(2, 3), (2, 2), "SAME", dimension_numbers=NHWC),
            (1, 8, 10, 6),
            8 * 10 * 6 * 3 * 5 * 4,
        ),
        # Matrices of the input itself: 7 of 5 x 3 by 3 x 5.
        (lambda x: jnp.einsum("bhij,bhkj->bhik", x, x), (1, 7, 5, 3), 7 * 5 * 5 * 3),
        (lambda x: jnp.einsum("bhji,bhjk->bhik", x, x), (1, 7, 5, 3), 7 * 3 * 3 * 5),
    ],
    ids=["convolution", "groups", "transposed", "batched", "batched, transposed"],
)
def test_products_by_hand(files, function, shape, expected):
    for path in files(function, shape):
        assert counted(path).total == expected, operations(path)


def test_fourier_transforms_by_hand(tmp_path):
    path = tmp_path / "fourier.tflite"
    path.write_bytes(tflite.float32(lambda x: jnp.abs(jnp.fft.rfft(x)), (1, 5, 64)))
    # Five rows of 64 points: 64 * log2(64) each.
    assert [(layer.operator, layer.macs) for layer in counted(path).layers] == [("RFFT2D", 5 * 64 * 6)]
    # And along 4 rows of 64 points, 33 columns of 4 complex points: 2 * 4 * log2(4) each.
    both = Operation("", "RFFT2D", ((3, 4, 64), (2,)), ((3, 4, 33),))
    assert macs._RULES["RFFT2D"](both) == 3 * (4 * 64 * 6 + 33 * 2 * 4 * 2)


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "expected"),
    [
        ("QLinearConv", ((1, 4, 8, 8), (), (), (6, 2, 3, 3)), (1, 6, 8, 8), 6 * 64 * 2 * 9),
        ("ConvTranspose", ((1, 4, 8, 8), (4, 3, 2, 2)), (1, 6, 16, 16), 4 * 64 * 3 * 4),
        ("Gemm", ((5, 7), (7, 3)), (5, 3), 5 * 7 * 3),
        ("Gemm", ((7, 5), (3, 7)), (5, 3), 5 * 7 * 3),  # both transposed
        ("QLinearMatMul", ((2, 5, 7), (), (), (7, 3)), (2, 5, 3), 2 * 5 * 7 * 3),
        ("MatMul", ((5, 7), (7,)), (5,), 5 * 7),
        ("MatMul", ((7,), (7, 3)), (3,), 7 * 3),
        # Four gates of 6 units from 3 inputs and 6 units, 10 steps, 2 examples.
        ("LSTM", ((10, 2, 3), (1, 24, 3), (1, 24, 6)), (10, 1, 2, 6), 10 * 2 * 24 * (3 + 6)),
        ("CONV_3D", ((1, 4, 4, 4, 2), (3, 3, 3, 2, 5)), (1, 4, 4, 4, 5), 64 * 5 * 27 * 2),
    ],
)
def test_other_operators_by_hand(kind, inputs, output, expected):
    assert macs._RULES[kind](Operation("", kind, inputs, (output,))) == expected


def test_what_cannot_be_counted_is_named(tmp_path, monkeypatch):
    path = tmp_path / "loop.tflite"
    path.write_bytes(tflite.float32(lambda x: jax.lax.fori_loop(0, 3, lambda _, y: y @ jnp.eye(4) + x, x), (1, 4)))
    found = bench.count(path)
    assert found.not_counted == ("WHILE",)
    nonsense = Operation("", "CONV_2D", ((1, 2), ()), ((1, 2),))
    monkeypatch.setattr(macs, "operations", lambda path: [nonsense])
    with pytest.raises(UserError, match="CONV_2D has shapes that make no sense"):
        bench.count(path)


def test_damaged_files_are_refused(tmp_path):
    for name in ("broken.tflite", "broken.onnx"):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(UserError, match="cannot be run"):
            bench.count(tmp_path / name)
