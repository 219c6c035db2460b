import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import Padding
from hsjax.models.network import macs
from hsjax.models.pretrained.carry import Library, carry
from hsjax.models.pretrained.names import resnet as names
from hsjax.models.resnet import ResNet, Variant, resnet18, resnet50, resnet101
from hsjax.types import UserError
from tests.models import family, keras_oracle

PIXELS = (1, 224, 224, 3)
KERAS, TORCHVISION = Variant.KERAS, Variant.TORCHVISION

TINY = {
    "basic": ResNet(num_classes=3, blocks=(1, 1), bottleneck=False, width=4, variant=TORCHVISION),
    "bottleneck": ResNet(num_classes=3, blocks=(1, 1), width=4, variant=KERAS),
}


# torchvision's table of pretrained weights: parameters, and multiply-accumulates at 224 x 224 in units of 1e9.
@pytest.mark.parametrize(
    ("make", "parameters", "giga_macs"),
    [(resnet18, 11_689_512, 1.814), (resnet50, 25_557_032, 4.089), (resnet101, 44_549_160, 7.801)],
)
def test_torchvision_s_counts(make, parameters, giga_macs):
    module = make(num_classes=1000, variant=TORCHVISION)
    variables, _ = family.abstract(module, PIXELS)
    assert family.size(variables["params"]) == parameters
    plain, _ = family.networks(module)
    assert macs(plain, jax.ShapeDtypeStruct(PIXELS, jnp.float32)) / 1e9 == pytest.approx(giga_macs, abs=6e-4)


# keras.applications' `count_params`, which includes the moving statistics.
@pytest.mark.parametrize(("make", "count"), [(resnet50, 25_636_712), (resnet101, 44_707_176)])
def test_keras_s_counts(make, count):
    assert family.size(family.abstract(make(num_classes=1000), PIXELS)[0]) == count


def test_one_channel_stem():
    variables, _ = family.abstract(resnet18(num_classes=1, channels=1), (1, 50, 2805))
    assert family.size(variables["params"]) - (512 + 1) == 11_170_240  # PAPER, Sriram et al.: the encoder alone


@pytest.mark.parametrize(("make", "factor"), [(resnet18, 1), (resnet50, 4), (resnet101, 4)])
def test_maps_are_those_of_the_publication_s_table_1(make, factor):
    _, outputs = family.abstract(make(num_classes=1000), PIXELS)
    shapes = {name: tap.shape[1:] for name, tap in outputs.taps.items()}
    stages = {f"stage{s}": (448 >> (s + 2), 448 >> (s + 2), (32 << s) * factor) for s in (1, 2, 3, 4)}
    assert shapes == {"stem": (56, 56, 64), **stages}
    assert outputs.embedding.shape == (1, 512 * factor)


def torchvision_resnet18() -> dict[str, tuple[int, ...]]:
    """Names and shapes in torchvision's state dict, without `num_batches_tracked`."""
    found = {"conv1.weight": (64, 3, 7, 7), "fc.weight": (1000, 512), "fc.bias": (1000,)}
    norms = {"bn1": 64}
    for layer, width in enumerate((64, 128, 256, 512), 1):
        for block in (0, 1):
            came = width if block or layer == 1 else width // 2
            found[f"layer{layer}.{block}.conv1.weight"] = (width, came, 3, 3)
            found[f"layer{layer}.{block}.conv2.weight"] = (width, width, 3, 3)
            norms |= {f"layer{layer}.{block}.bn1": width, f"layer{layer}.{block}.bn2": width}
        if layer > 1:
            found[f"layer{layer}.0.downsample.0.weight"] = (width, width // 2, 1, 1)
            norms[f"layer{layer}.0.downsample.1"] = width
    parts = ("weight", "bias", "running_mean", "running_var")
    return found | {f"{norm}.{part}": (width,) for norm, width in norms.items() for part in parts}


def test_torchvision_s_tensors_go_where_they_belong(rng):
    expected = torchvision_resnet18()
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in expected.items()}
    variables, _ = family.abstract(resnet18(num_classes=1000), PIXELS)
    assert set(family.names(variables, names.torchvision)) == set(expected)
    carried = carry(variables, tensors, names.torchvision, Library.TORCHVISION)
    kernel = carried["params"]["stage2"]["block1"]["shortcut"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel[0, 0], tensors["layer2.0.downsample.0.weight"][:, :, 0, 0].T)
    moved = carried["batch_stats"]["stage4"]["block2"]["conv1"]["norm"]["var"]
    np.testing.assert_array_equal(moved, tensors["layer4.1.bn1.running_var"])


def test_torchvision_s_names_of_a_bottleneck():
    assert names.torchvision(("stage3", "block6", "conv3", "norm", "scale")) == "layer3.5.bn3.weight"
    assert names.torchvision(("stage1", "block1", "shortcut", "norm", "bias")) == "layer1.0.downsample.1.bias"


@pytest.fixture(scope="module")
def oracle():
    return keras_oracle.build("ResNet50", (45, 71))


@pytest.fixture(scope="module")
def carried(oracle):
    """ResNet-50 with Keras's values, and images whose sizes are odd at every stage."""
    plain, _ = family.networks(resnet50(num_classes=7))
    images = np.random.default_rng(1).normal(size=(3, 45, 71, 3)).astype(np.float32)
    variables = jax.eval_shape(plain.init, family.KEY, jax.ShapeDtypeStruct(images.shape, jnp.float32))
    tensors = keras_oracle.tensors(oracle)
    assert set(family.names(variables, names.keras)) == set(tensors)
    return plain, carry(variables, tensors, names.keras, Library.KERAS), images


def test_logits_are_keras_s(oracle, carried):
    network, variables, images = carried
    logits = family.hurried(lambda v, x: network.apply(v, x)[0].logits, variables, images)
    keras_oracle.assert_close(logits, keras_oracle.evaluate(oracle, images))


def test_training_mode_is_keras_s(oracle, carried):
    network, variables, images = carried
    logits, moved = keras_oracle.train(oracle, images)

    def train(v, x):
        outputs, updates = network.apply(v, x, train=True)
        return outputs.logits, updates

    got, updates = family.hurried(train, variables, images)
    keras_oracle.assert_close(got, logits)
    want = carry(variables, moved, names.keras, Library.KERAS)["batch_stats"]
    chex.assert_trees_all_equal_structs(updates["batch_stats"], want)
    jax.tree.map(keras_oracle.assert_close, updates["batch_stats"], want)


class ForwardBackwardTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_it(self):
        family.check_forward_and_backward(self.variant, TINY["basic"], (3, 17, 22, 3))


@pytest.mark.parametrize("name", TINY)
def test_forms_are_equal(name):
    family.check_forms_are_equal(TINY[name], (3, 17, 22, 3))


@pytest.mark.parametrize("name", TINY)
def test_training(name):
    family.check_training(TINY[name], (4, 17, 22, 3))


def test_initial_kernels_are_he_s_over_what_goes_out():
    module = ResNet(num_classes=3, blocks=(1,), bottleneck=False, width=16)
    family.check_initial(module, (1, 8, 8, 3), lambda shape: (2 / (shape[0] * shape[1] * shape[3])) ** 0.5)


def test_any_size_will_do():
    plain, _ = family.networks(TINY["basic"])
    variables = family.draw(plain, (1, 1, 1))
    outputs, _ = family.hurried(plain.apply, variables, jnp.ones((1, 1, 1)))
    assert np.isfinite(outputs.logits).all()


def test_padding_that_shrinks_maps_is_refused():
    with pytest.raises(UserError, match="symmetric or same, not valid"):
        family.abstract(ResNet(num_classes=2, padding=Padding.VALID), PIXELS)


def test_one_channel_stands_for_three():
    plain, _ = family.networks(TINY["bottleneck"])
    one = jax.random.normal(jax.random.key(3), (2, 17, 22))
    three = jnp.repeat(one[..., None], 3, -1)
    variables = family.draw(plain, one.shape)
    got, want = (family.hurried(plain.apply, variables, features)[0].logits for features in (one, three))
    np.testing.assert_allclose(got, want, atol=1e-5)
