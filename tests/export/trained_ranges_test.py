"""Integer files hold the trained grids, and LiteRT's reference kernels compute what JAX emulates."""

import collections
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import models, runtime
from hsjax.export import trained_ranges
from hsjax.models import Form, Network, Variables, quantised
from hsjax.models.layers import fake_quant, hard_swish, relu
from hsjax.models.mobilenet_v3 import Block
from hsjax.runtime import Kernels, litert
from hsjax.runtime.graph import opened
from hsjax.types import UserError
from tests.models import family

SHAPE = (12, 16)
NETWORKS: dict[str, dict[str, Any]] = {
    "song-student": {},
    # Depthwise and pointwise convolutions, batch norm, squeeze-excite with its hard sigmoid, a sum, means.
    "dscnn": {"stem": 8, "widths": (8, 12), "depths": (1, 1), "strides": ((1, 1), (2, 2)), "squeeze_excite": 2},
    "mobilenetv3-small": {
        "blocks": (Block(3, 16, 16, True, relu, 1), Block(5, 24, 24, True, hard_swish, 2)), "hidden": 16
    },
}  # fmt: skip
# LiteRT's MEAN is up to half a level off what exact integers give, and two blocks of squeeze-excite multiply that.
_MEANS_WITHIN = ("mobilenetv3-small",)
OTHERS: dict[str, dict[str, Any]] = {"densenet201": {"blocks": (1, 1), "growth": 4}, "sarkhel-lstm": {"units": (4,)}}


@dataclasses.dataclass(frozen=True)
class Quantised:
    """A network with ranges, and its file.

    Attributes:
      name: of the network.
      network: in its plain form.
      variables: with ranges.
      inputs: that had no part in the ranges.
      emulated: logits that JAX makes of them.
      model: content of the file.
      path: of the file.
    """

    name: str
    network: Network
    variables: Variables
    inputs: np.ndarray
    emulated: np.ndarray
    model: bytes
    path: Any

    def logits(self, kernels: Kernels = Kernels.REFERENCE) -> np.ndarray:
        """That the file makes of the inputs."""
        return runtime.load(self.path, kernels=kernels).run(self.inputs)

    def steps(self, kernels: Kernels = Kernels.REFERENCE) -> np.ndarray:
        """By how many levels they differ from JAX's."""
        (output,) = grids_of(self.model)["outputs"]
        return np.round(np.abs(self.logits(kernels) - self.emulated) / output[0])


def grids_of(model: bytes) -> dict[str, list[tuple[float, int]]]:
    """Scales and zero points in a file: of its output, and of all activations."""
    graph = opened(model)
    tensors = graph.subgraph.tensors

    def grid(index: int) -> tuple[float, int]:
        quantisation = tensors[index].quantization
        return float(quantisation.scale[0]), int(quantisation.zeroPoint[0])

    every = [grid(index) for index, tensor in enumerate(tensors) if graph.model.buffers[tensor.buffer].data is None]
    return {"outputs": [grid(int(graph.subgraph.outputs[0]))], "all": every}


def quantise(name: str, folder: Any, seed: int = 0, **settings: Any) -> Quantised:
    options = {"num_classes": 2, **NETWORKS[name]}
    network = models.build(name, form=Form.PLAIN, quantiser=fake_quant(**settings), **options)
    rng = np.random.default_rng(seed)
    drawn = family.draw(models.build(name, **options), (1, *SHAPE))
    trained = jax.tree.map(lambda leaf: leaf * rng.uniform(0.9, 1.1, leaf.shape).astype(np.float32), drawn)
    variables = quantised.begin(network, trained, [rng.normal(size=(8, *SHAPE)).astype(np.float32) for _ in range(2)])
    inputs = rng.normal(size=(100, *SHAPE)).astype(np.float32)
    emulated = np.asarray(family.hurried(lambda v, x: network.apply(v, x)[0].logits, variables, inputs))
    model = trained_ranges.to_tflite(network, variables, (1, *SHAPE))
    path = folder / f"{len(list(folder.iterdir()))}.tflite"
    path.write_bytes(model)
    return Quantised(name, network, variables, inputs, emulated, model, path)


@pytest.fixture(scope="module", params=[(name, seed) for name in NETWORKS for seed in range(2)], ids=str)
def pair(request, tmp_path_factory) -> Quantised:
    name, seed = request.param
    return quantise(name, tmp_path_factory.mktemp("trained"), seed)


def test_the_file_computes_what_jax_emulates(pair):
    """Nearly all that sets the file apart from the float network is in the emulation."""
    scale, _ = grids_of(pair.model)["outputs"][0]
    assert np.std(pair.emulated) > 50 * scale  # or all of this says little
    logits, steps = pair.logits(), pair.steps()
    without = models.build(pair.name, num_classes=2, **NETWORKS[pair.name])
    real = family.hurried(lambda v, x: without.apply(v, x)[0].logits, pair.variables, pair.inputs)
    noise = np.sqrt(np.mean(np.square(logits - real)))
    assert np.sqrt(np.mean(np.square(logits - pair.emulated))) < 0.25 * noise
    assert steps.max() * scale < noise
    assert (logits.argmax(1) == pair.emulated.argmax(1)).mean() >= 0.95
    if pair.name not in _MEANS_WITHIN:
        assert np.mean(steps <= 1) > 0.9
        assert steps.max() <= 4


def test_scales_are_the_trained_ones(pair):
    """By the arithmetic of TFLite's specification, in float64; besides there are only those that follow from them."""
    ends = _flat(pair.variables["ranges"])
    trained = []
    for path, low in ends.items():
        if path.endswith("_low"):
            scale = (float(ends[path.removesuffix("low") + "high"]) - float(low)) / 255
            trained.append((scale, round(-128 - float(low) / scale)))
    of_functions = [(1 / 255, -128), (6 / 255, -128)]  # a hard sigmoid, and ReLU6 before it is divided by 6
    found = grids_of(pair.model)["all"]
    for grid in found:
        assert close(grid, trained + of_functions), grid
    for grid in trained:
        assert close(grid, found), grid


def close(grid: tuple[float, int], others: list[tuple[float, int]]) -> bool:
    return any(abs(grid[0] / scale - 1) < 1e-6 and grid[1] == zero for scale, zero in others)


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {path: leaf for key, inner in tree.items() for path, leaf in _flat(inner, f"{prefix}/{key}").items()}


def test_operators_are_few_and_builtin(pair):
    counted = collections.Counter(litert.operators(pair.model))
    assert not {"SUM", "QUANTIZE", "DEQUANTIZE"} & counted.keys()
    assert not any(name.startswith(litert.CUSTOM) for name in counted)


def test_weights_are_those_folded_to_the_nearest_level(tmp_path):
    pair = quantise("dscnn", tmp_path)
    params, statistics = pair.variables["params"]["stem"], pair.variables["batch_stats"]["stem"]["norm"]
    gain = np.float64(params["norm"]["scale"]) / np.sqrt(np.float64(statistics["var"]) + 1e-5)
    folded = np.float64(params["conv"]["kernel"])[:, :, 0] * gain
    graph = opened(pair.model)
    first = next(one for one in graph.subgraph.operators if graph.name(one) == "DEPTHWISE_CONV_2D")
    tensor = graph.subgraph.tensors[int(first.inputs[1])]
    scale = np.abs(folded).max((0, 1)) / 127
    np.testing.assert_allclose(tensor.quantization.scale, scale, rtol=1e-5)
    levels = graph.constant(int(first.inputs[1]))
    assert np.abs(levels[0] - folded / scale).max() <= 0.5 + 1e-3


def test_ranges_that_were_learnt_reach_the_file(tmp_path):
    pair = quantise("song-student", tmp_path, ranges="learned")
    params = pair.variables["params"]
    params["hidden"]["kernel_step"] = params["hidden"]["kernel_step"] * 0.5
    params["act3"]["after_high"] = jnp.float32(2.55)
    model = trained_ranges.to_tflite(pair.network, pair.variables, (1, *SHAPE))
    graph = opened(model)
    dense = next(one for one in graph.subgraph.operators if graph.name(one) == "FULLY_CONNECTED")
    weights, output = (graph.subgraph.tensors[int(index)].quantization for index in (dense.inputs[1], dense.outputs[0]))
    np.testing.assert_allclose(weights.scale, np.abs(params["hidden"]["kernel"]).max(0) / 127 / 2, rtol=1e-6)
    np.testing.assert_allclose(output.scale, 0.01, rtol=1e-6)
    assert np.mean(np.abs(graph.constant(int(dense.inputs[1]))) == 127) > 0.01  # what saturates


@pytest.mark.parametrize("kernels", Kernels)
def test_four_bits_take_half_the_bytes(tmp_path, kernels):
    whole = quantise("song-student", tmp_path)
    half = quantise("song-student", tmp_path, weights=4, overrides={"logits": {"weights": 8}})
    kernels_of = [leaf.size for path, leaf in _flat(half.variables["params"]).items() if path.endswith("kernel")]
    saved = (sum(kernels_of) - 32) / 2  # all but the 16 x 2 of the last layer
    assert abs(len(whole.model) - len(half.model) - saved) < 64
    steps = half.steps(kernels)
    assert np.mean(steps <= 1) > 0.9
    assert steps.max() <= 4


@pytest.mark.parametrize("kernels", [Kernels.REFERENCE, Kernels.VECTOR])
def test_depthwise_kernels_of_four_bits(tmp_path, kernels):
    pair = quantise("dscnn", tmp_path, weights=4)
    graph = opened(pair.model)
    depthwise = [one for one in graph.subgraph.operators if graph.name(one) == "DEPTHWISE_CONV_2D"]
    kinds = {graph.subgraph.tensors[int(one.inputs[1])].type for one in depthwise}
    assert kinds == {graph.schema.TensorType.INT4}
    steps = pair.steps(kernels)
    assert np.mean(steps <= 1) > 0.9
    assert steps.max() <= 4


def test_depthwise_kernels_of_one_weight_a_channel_keep_their_own_bits(tmp_path, monkeypatch):
    blocks = (Block(1, 16, 16, True, relu, 1), Block(1, 16, 16, True, relu, 1))
    monkeypatch.setitem(NETWORKS, "mobilenetv3-small", {"blocks": blocks, "hidden": 16})
    pair = quantise("mobilenetv3-small", tmp_path, overrides={"block2/depthwise": {"weights": 4}})
    graph = opened(pair.model)
    depthwise = [one for one in graph.subgraph.operators if graph.name(one) == "DEPTHWISE_CONV_2D"]
    kinds = [graph.subgraph.tensors[int(one.inputs[1])].type for one in depthwise]
    integers = graph.schema.TensorType
    assert kinds == [integers.INT8, integers.INT8, integers.INT4]  # a stem of one channel is depthwise too


def test_sixteen_bits_are_finer(tmp_path):
    pair = quantise("dscnn", tmp_path, activations=16)
    _, zero = grids_of(pair.model)["outputs"][0]
    assert zero == 0
    assert pair.steps().max() <= 16  # of 65534
    plain = models.build("dscnn", num_classes=2, **NETWORKS["dscnn"])
    exact = np.asarray(plain.apply(pair.variables, jnp.asarray(pair.inputs))[0].logits)
    coarse = quantise("dscnn", tmp_path)
    error = [np.std(one.logits() - exact) for one in (pair, coarse)]
    assert error[0] < error[1]


def test_layers_of_other_bits_are_joined(tmp_path):
    pair = quantise("song-student", tmp_path, overrides={"conv2": {"activations": 16}, "hidden": {"weights": 4}})
    counted = collections.Counter(litert.operators(pair.model))
    assert counted["QUANTIZE"] == 2  # into the second convolution, and before the linear layer, whose outputs have 8
    steps = pair.steps()
    assert np.mean(steps <= 1) > 0.9
    assert steps.max() <= 4


def test_float_ends(tmp_path):
    pair = quantise("song-student", tmp_path)
    path = tmp_path / "float.tflite"
    path.write_bytes(trained_ranges.to_tflite(pair.network, pair.variables, (1, *SHAPE), float_ends=True))
    session = runtime.load(path, kernels=Kernels.REFERENCE)
    assert session.input_dtype == np.float32
    np.testing.assert_allclose(session.run(pair.inputs), pair.logits(), atol=1e-6)


def test_onnx_holds_the_same(tmp_path):
    pair = quantise("dscnn", tmp_path)
    path = tmp_path / "static.onnx"
    path.write_bytes(trained_ranges.to_onnx(pair.network, pair.variables, (1, *SHAPE)))
    (scale, _) = grids_of(pair.model)["outputs"][0]
    steps = np.abs(runtime.load(path).run(pair.inputs) - pair.emulated) / scale
    assert np.mean(steps < 1.5) > 0.9
    assert steps.max() < 4.5


def test_what_cannot_be_written(tmp_path):
    def written(
        name: str, shape: tuple[int, ...] = SHAPE, form: Form = Form.PLAIN, onnx: bool = False, **settings: Any
    ):
        options = {"num_classes": 2, **(NETWORKS | OTHERS)[name]}
        network = models.build(name, form=form, quantiser=fake_quant(**settings), **options)
        drawn = family.draw(models.build(name, **options), (1, *shape))
        variables = quantised.begin(network, drawn, [np.ones((2, *shape), np.float32)])
        write = trained_ranges.to_onnx if onnx else trained_ranges.to_tflite
        write(network, variables, (1, *shape))

    with pytest.raises(UserError, match=r"saw no range for what .*FULLY_CONNECTED.* compute: export .* calibration"):
        written("sarkhel-lstm", (4, 3))
    with pytest.raises(UserError, match="saw no range for what MUL compute"):  # norms without a convolution before
        written("densenet201")
    with pytest.raises(UserError, match="HARD_SWISH cannot have activations of 16 bits"):
        written("mobilenetv3-small", activations=16)
    with pytest.raises(UserError, match="holds 8 bits"):
        written("song-student", onnx=True, weights=4)
    with pytest.raises(ValueError, match="plain form"):
        written("song-student", form=Form.FAST)
