import dataclasses
import functools
import hashlib
import importlib
import re

import flax.traverse_util
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from hsjax.models import Network
from hsjax.models.densenet import DenseNet
from hsjax.models.densenet import Variant as DenseNetVariant
from hsjax.models.mobilenet_v2 import MobileNetV2
from hsjax.models.mobilenet_v2 import Variant as MobileNetVariant
from hsjax.models.mobilenet_v3 import SMALL, MobileNetV3
from hsjax.models.mobilenet_v3 import Variant as MobileNetV3Variant
from hsjax.models.pretrained import Library, load, register
from hsjax.models.pretrained.names import densenet, mobilenet_v2, mobilenet_v3, resnet
from hsjax.models.resnet import ResNet, Variant
from hsjax.types import UserError
from tests.models import keras_oracle

SIZE = (32, 40)
CLASSES = 7
load_unregistered = functools.partial(load, allow_unregistered=True)


def variables_of(network, channels=3):
    """Of the right shapes; all 1, because compiling an initialisation takes long."""
    inputs = jax.ShapeDtypeStruct((1, *SIZE, channels), jnp.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), inputs)
    return jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), shapes)


def flat(variables):
    return {"/".join(path): np.asarray(leaf) for path, leaf in flax.traverse_util.flatten_dict(variables).items()}


def jitted(network):
    """Outputs of variables and inputs; compiled as a whole, which is faster than operation by operation."""
    return jax.jit(lambda variables, inputs: network.apply(variables, inputs)[0])


@pytest.fixture(scope="module")
def keras_mobilenet(tmp_path_factory):
    """keras.applications' MobileNetV2, narrow, and its files: Keras 3's, legacy with and without head."""
    model = keras_oracle.build("MobileNetV2", SIZE, CLASSES, alpha=0.35)
    folder = tmp_path_factory.mktemp("keras")
    model.save_weights(folder / "v2.weights.h5")
    model.save(folder / "v2.h5")
    with h5py.File(folder / "v2.h5") as whole, h5py.File(folder / "v2_no_top.h5", "w") as file:
        weights = whole["model_weights"]
        layers = [name for name in weights.attrs["layer_names"] if name != "predictions"]
        file.attrs["layer_names"] = layers
        for layer in layers:
            weights.copy(layer, file)
    np.savez(folder / "v2.npz", **keras_oracle.tensors(model))
    return model, folder


@pytest.fixture(scope="module")
def keras_network():
    network = Network(MobileNetV2(num_classes=CLASSES, width=0.35))
    return network, variables_of(network), jitted(network)


@pytest.mark.parametrize("name", ["v2.weights.h5", "v2.h5", "v2.npz"])
def test_keras_files_of_all_layouts_give_keras_s_logits(keras_mobilenet, keras_network, rng, name):
    (model, folder), (network, variables, apply) = keras_mobilenet, keras_network
    loaded = load_unregistered("mobilenetv2", network, variables, folder / name, keep_head=True)
    assert loaded.library is Library.KERAS
    assert (loaded.kept, loaded.unused) == ((), ())
    assert len(loaded.leaves) == len(model.weights)
    assert loaded.origin == register.Origin(name, hashlib.sha256((folder / name).read_bytes()).hexdigest(), None)
    inputs = rng.normal(size=(2, *SIZE, 3)).astype(np.float32)
    logits = apply(loaded.variables, inputs).logits
    np.testing.assert_allclose(logits, keras_oracle.evaluate(model, inputs), atol=1e-4)


@pytest.mark.parametrize("name", ["v2.weights.h5", "v2_no_top.h5"])
def test_the_head_is_replaced(keras_mobilenet, keras_network, rng, name):
    (model, folder), (network, variables, apply) = keras_mobilenet, keras_network
    loaded = load_unregistered("mobilenetv2", network, variables, folder / name)
    assert loaded.kept == ("logits/bias", "logits/kernel")
    assert set(loaded.unused) == ({"predictions/kernel", "predictions/bias"} if "weights" in name else set())
    for leaf in loaded.variables["params"]["logits"].values():
        assert np.all(leaf == 1)
    inputs = rng.normal(size=(2, *SIZE, 3)).astype(np.float32)
    head = model.get_layer("predictions")
    logits = np.asarray(apply(loaded.variables, inputs).embedding) @ np.asarray(head.kernel) + np.asarray(head.bias)
    np.testing.assert_allclose(logits, keras_oracle.evaluate(model, inputs), atol=1e-4)


def test_keras_s_own_scaling_of_photographs_is_left_out(keras_mobilenet, keras_network, tmp_path):
    (model, _), (network, variables, _) = keras_mobilenet, keras_network
    path = tmp_path / "a.npz"
    extra = {"normalization/mean": np.ones(3), "normalization_1/count": np.int64(0)}
    np.savez(path, **keras_oracle.tensors(model), **extra)
    assert set(load_unregistered("mobilenetv2", network, variables, path).unused) >= set(extra)


# Files as torchvision writes them: its names, in its layouts.

TORCH_LAYOUT = {2: (1, 0), 4: (3, 2, 0, 1)}


def torch_state(variables, names, rng):
    """A state dict as torchvision would have it, of random numbers."""
    state = {}
    for (_, *path), leaf in flax.traverse_util.flatten_dict(variables).items():
        shape = tuple(leaf.shape[axis] for axis in TORCH_LAYOUT.get(leaf.ndim, range(leaf.ndim)))
        state[names(tuple(path))] = rng.uniform(0.1, 1, shape).astype(np.float32)
        if path[-1] == "var":
            counter = names(tuple(path)).replace("running_var", "num_batches_tracked")
            state[counter] = np.array(5, np.int64)
    return state


@pytest.fixture(scope="module")
def small():
    """A ResNet small enough to write out, whose tensors have ResNet-18's names."""
    network = Network(ResNet(CLASSES, blocks=(1, 1), bottleneck=False, width=4, variant=Variant.TORCHVISION))
    variables = variables_of(network)
    return network, variables, torch_state(variables, resnet.torchvision, np.random.default_rng(1))


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_torchvision_tensors_mean_what_they_mean_in_torch(small, tmp_path, rng, suffix):
    network, variables, state = small
    path = tmp_path / f"a.{suffix}"
    safetensors.numpy.save_file(state, path) if suffix == "safetensors" else np.savez(path, **state)
    loaded = load_unregistered("resnet18", network, variables, path, keep_head=True)
    assert loaded.library is Library.TORCHVISION
    assert set(loaded.unused) == {name for name in state if name.endswith("num_batches_tracked")}
    # torch.nn.Conv2d(3, 4, 7, stride=2, padding=3):
    # out[o, i, j] = sum over c, u, v of w[o, c, u, v] x[c, 2i+u-3, 2j+v-3]
    image = rng.normal(size=(3, 12, 15))
    padded = np.pad(image, ((0, 0), (3, 3), (3, 3)))
    want = np.empty((4, 6, 8))
    for o, i, j in np.ndindex(want.shape):
        want[o, i, j] = np.sum(state["conv1.weight"][o] * padded[:, 2 * i : 2 * i + 7, 2 * j : 2 * j + 7])
    # eval-mode torch.nn.BatchNorm2d, epsilon 1e-5
    norm = {kind: state[f"bn1.{kind}"][:, None, None] for kind in ("weight", "bias", "running_mean", "running_var")}
    want = (want - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5) * norm["weight"] + norm["bias"]
    want = np.pad(np.maximum(want, 0), ((0, 0), (1, 1), (1, 1)))
    pooled = np.empty((4, 3, 4))
    for o, i, j in np.ndindex(pooled.shape):
        pooled[o, i, j] = want[o, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max()
    outputs = jitted(network)(loaded.variables, image.transpose(1, 2, 0)[None].astype(np.float32))
    np.testing.assert_allclose(outputs.taps["stem"][0], pooled.transpose(1, 2, 0), rtol=1e-4)
    # torch.nn.Linear: x @ w.T + b
    logits = np.asarray(outputs.embedding) @ state["fc.weight"].T + state["fc.bias"]
    np.testing.assert_allclose(outputs.logits, logits, rtol=1e-4)


def test_a_stem_for_one_channel_equals_three_on_the_spectrogram_shown_thrice(small, tmp_path, rng):
    network, variables, state = small
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file(state, path)
    single = dataclasses.replace(network, module=network.module.clone(channels=1))
    loaded = load_unregistered("resnet18", single, variables_of(single, 1), path, keep_head=True)
    kernel = loaded.variables["params"]["stem"]["conv"]["kernel"]
    np.testing.assert_allclose(kernel[2, 5, 0], state["conv1.weight"][:, :, 2, 5].sum(1), rtol=1e-6)
    spectrogram = rng.normal(size=(2, *SIZE)).astype(np.float32)
    got = jitted(single)(loaded.variables, spectrogram)
    three = load_unregistered("resnet18", network, variables, path, keep_head=True).variables
    want = jitted(network)(three, np.repeat(spectrogram[..., None], 3, -1))
    np.testing.assert_allclose(got.logits, want.logits, rtol=1e-4)


def test_depthwise_kernels_of_torchvision(tmp_path, rng):
    network = Network(MobileNetV2(num_classes=2, width=0.35, variant=MobileNetVariant.TORCHVISION))
    variables = variables_of(network)
    state = torch_state(variables, mobilenet_v2.torchvision, rng)
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file(state, path)
    loaded = load_unregistered("mobilenetv2", network, variables, path)
    kernel = np.asarray(loaded.variables["params"]["block1"]["depthwise"]["conv"]["kernel"])
    weight = state["features.1.conv.0.0.weight"]
    assert weight.shape[1:] == (1, 3, 3)
    for channel, row, column in ((0, 0, 2), (3, 2, 1), (len(weight) - 1, 1, 1)):
        assert kernel[row, column, 0, channel] == weight[channel, 0, row, column]


def test_names_of_torchvision_s_densenet_of_2017(tmp_path, rng):
    network = Network(DenseNet(num_classes=2, blocks=(2, 2), growth=4, variant=DenseNetVariant.TORCHVISION))
    variables = variables_of(network)
    state = torch_state(variables, densenet.torchvision, rng)
    dotted = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])")
    old = {dotted.sub(r"\1.\2", name): tensor for name, tensor in state.items() if "num_batches" not in name}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert not set(old) & {name for name in state if "denselayer" in name}
    paths = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
    for path, tensors in zip(paths, (old, state), strict=True):
        safetensors.numpy.save_file(tensors, path)
    first, second = (flat(load_unregistered("densenet201", network, variables, path).variables) for path in paths)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_names_of_keras_2(tmp_path, rng):
    """`Conv/BatchNorm` and `expanded_conv_1/squeeze_excite/Conv_1` are now `conv_bn` and so on."""
    network = Network(MobileNetV3(num_classes=CLASSES, width=0.25, blocks=SMALL[:4], variant=MobileNetV3Variant.KERAS))
    variables = variables_of(network)
    state, old = {}, {}
    for (_, *path), leaf in flax.traverse_util.flatten_dict(variables).items():
        name = mobilenet_v3.keras(tuple(path))
        state[name] = rng.normal(size=leaf.shape).astype(np.float32)
        if leaf.ndim == 4 and "depthwise" in path:
            state[name] = state[name].transpose(0, 1, 3, 2)
        layer, variable = name.split("/")
        layer = re.sub(r"_bn$", "/BatchNorm", layer)
        layer = re.sub(r"^(expanded_conv(?:_\d+)?)_(?=expand|depthwise|project|squeeze)", r"\1/", layer)
        layer = layer.replace("squeeze_excite_conv", "squeeze_excite/Conv")
        layer = re.sub(r"^conv", "Conv", layer).replace("logits", "Logits")
        old[f"{layer}/{variable}"] = state[name]
    assert {
        "Conv/BatchNorm/gamma",
        "expanded_conv/depthwise/kernel",
        "expanded_conv_3/squeeze_excite/Conv_1/bias",
    } <= set(old)
    np.savez(tmp_path / "old.npz", **old)
    np.savez(tmp_path / "new.npz", **state)
    first, second = (
        flat(load_unregistered("mobilenetv3-small", network, variables, tmp_path / name, keep_head=True).variables)
        for name in ("old.npz", "new.npz")
    )
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("head", ["probs", "fc1000", "logits"])
def test_earlier_names_of_keras_s_heads(keras_mobilenet, keras_network, tmp_path, head):
    (model, _), (network, variables, _) = keras_mobilenet, keras_network
    tensors = {name.replace("predictions", head): tensor for name, tensor in keras_oracle.tensors(model).items()}
    np.savez(tmp_path / "a.npz", **tensors)
    assert len(load_unregistered("mobilenetv2", network, variables, tmp_path / "a.npz").unused) == 2
    loaded = load_unregistered("mobilenetv2", network, variables, tmp_path / "a.npz", keep_head=True)
    np.testing.assert_array_equal(loaded.variables["params"]["logits"]["kernel"], tensors[f"{head}/kernel"])


# What is refused.


@pytest.fixture
def written(small, tmp_path):
    """Writes the small network's state dict, changed, and tries to load it."""
    network, variables, state = small

    def attempt(change, metadata=None, **options):
        tensors = dict(state)
        change(tensors)
        safetensors.numpy.save_file(tensors, tmp_path / "a.safetensors", metadata)
        options = {"allow_unregistered": True} | options
        return load("resnet18", network, variables, tmp_path / "a.safetensors", **options)

    return attempt


def nothing(tensors):
    del tensors


def test_unregistered_weights_are_taken_only_when_allowed(written):
    assert written(nothing).origin.registered is None
    with pytest.raises(UserError, match=r"has no checksum for .* \(SHA-256 [0-9a-f]{64}\)"):
        written(nothing, allow_unregistered=False)


def test_a_registered_origin_is_taken_and_a_forged_one_refused(written):
    about = {"origin": "resnet18-f37072fd.pth", "origin_sha256": "f37072fd" + 56 * "0"}
    origin = written(nothing, about, allow_unregistered=False).origin
    assert origin.name == "resnet18-f37072fd.pth"
    assert origin.registered.network == "resnet18"
    with pytest.raises(UserError, match=r"not the resnet18-f37072fd\.pth that is registered"):
        written(nothing, about | {"origin_sha256": 64 * "0"})
    with pytest.raises(UserError, match="holds weights of resnet50, not of resnet18"):
        written(nothing, {"origin": "resnet50-0676ba61.pth", "origin_sha256": "0676ba61" + 56 * "0"})


def test_damage_after_conversion(written):
    with pytest.raises(UserError, match="damaged since it was converted"):
        written(nothing, {"tensors_sha256": 64 * "0"})


def test_tensors_without_a_place(written):
    with pytest.raises(UserError, match="has 1 tensors that this network has no place for, such as 'layer9"):
        written(lambda tensors: tensors.update({"layer9.weight": np.ones(3, np.float32)}))


def test_a_missing_tensor(written):
    with pytest.raises(UserError, match=r"'layer2\.0\.downsample\.0\.weight'"):
        written(lambda tensors: tensors.pop("layer2.0.downsample.0.weight"))


def test_another_shape(written):
    with pytest.raises(UserError, match=r"'conv1\.weight' has shape \(4, 3, 5, 5\)"):
        written(lambda tensors: tensors.update({"conv1.weight": np.ones((4, 3, 5, 5), np.float32)}))


def test_values_that_are_not_finite(written):
    with pytest.raises(UserError, match="not finite"):
        written(lambda tensors: tensors.update({"bn1.bias": np.full(4, np.nan, np.float32)}))


def test_a_head_for_other_classes_is_not_kept(written):
    with pytest.raises(UserError, match=r"'fc\.weight' has shape \(9, 8\)"):
        written(lambda tensors: tensors.update({"fc.weight": np.ones((9, 8), np.float32)}), keep_head=True)


def test_weights_of_one_library_in_the_other_s_variant(small, tmp_path):
    network, variables, state = small
    safetensors.numpy.save_file(state, tmp_path / "a.safetensors")
    other = dataclasses.replace(network, module=network.module.clone(variant=Variant.KERAS))
    with pytest.raises(UserError, match="build it with variant torchvision"):
        load_unregistered("resnet18", other, variables, tmp_path / "a.safetensors")


def test_names_of_neither_library(small, tmp_path):
    network, variables, _ = small
    np.savez(tmp_path / "a.npz", a=np.ones(3))
    with pytest.raises(UserError, match="no tensors with names of torchvision's or Keras's"):
        load_unregistered("resnet18", network, variables, tmp_path / "a.npz")


def test_a_missing_file_says_what_to_fetch_and_how_to_convert(small, tmp_path):
    network, variables, _ = small
    with pytest.raises(UserError, match=r"resnet18-f37072fd\.pth, and convert a \.pth by `python -m hsjax\.models"):
        load("resnet18", network, variables, tmp_path / "resnet18.safetensors")


def test_networks_that_nobody_has_weights_for(small, tmp_path):
    network, variables, _ = small
    with pytest.raises(UserError, match="no ImageNet weights for 'song-student'"):
        load("song-student", network, variables, tmp_path / "a.safetensors")


def test_every_family_s_names_are_there():
    module = importlib.import_module("hsjax.models.pretrained.load")
    for entry in register.read():
        names = module._names(module._FAMILIES[entry.network], entry.library)
        assert isinstance(names(("logits", "kernel")), str)
