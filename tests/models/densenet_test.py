import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.densenet import DenseNet
from hsjax.models.layers import Padding
from hsjax.models.network import macs
from hsjax.models.pretrained.carry import Library, carry
from hsjax.models.pretrained.names import densenet as names
from hsjax.types import UserError
from tests.models import family, keras_oracle

PIXELS = (1, 224, 224, 3)
SHALLOW = (2, 1, 3, 2)
TINY = DenseNet(num_classes=3, blocks=(1, 1), growth=2)


def test_counts():
    variables, _ = family.abstract(DenseNet(num_classes=1000), PIXELS)
    assert family.size(variables) == 20_242_984  # keras.applications' count_params, with the moving statistics
    assert family.size(variables["params"]) == 20_013_928  # torchvision's table
    plain, _ = family.networks(DenseNet(num_classes=1000))
    # torchvision's table: 4.291e9 at 224 x 224.
    assert macs(plain, jax.ShapeDtypeStruct(PIXELS, jnp.float32)) / 1e9 == pytest.approx(4.291, abs=6e-4)


def test_maps_are_those_of_the_publication_s_table_1():
    _, outputs = family.abstract(DenseNet(num_classes=1000), PIXELS)
    shapes = {name: tap.shape[1:] for name, tap in outputs.taps.items()}
    # Each stage adds 32 channels per layer, each transition halves them.
    assert shapes == {
        "stem": (56, 56, 64),
        "stage1": (56, 56, 64 + 6 * 32),
        "stage2": (28, 28, 128 + 12 * 32),
        "stage3": (14, 14, 256 + 48 * 32),
        "stage4": (7, 7, 896 + 32 * 32),
    }
    assert outputs.embedding.shape == (1, 1920)


def torchvision_densenet201() -> dict[str, tuple[int, ...]]:
    """Names and shapes in torchvision's state dict, without `num_batches_tracked`."""
    found = {"features.conv0.weight": (64, 3, 7, 7), "classifier.weight": (1000, 1920), "classifier.bias": (1000,)}
    norms, width = {"features.norm0": 64}, 64
    for block, layers in enumerate((6, 12, 48, 32), 1):
        for layer in range(1, layers + 1):
            prefix = f"features.denseblock{block}.denselayer{layer}"
            found |= {f"{prefix}.conv1.weight": (128, width, 1, 1), f"{prefix}.conv2.weight": (32, 128, 3, 3)}
            norms |= {f"{prefix}.norm1": width, f"{prefix}.norm2": 128}
            width += 32
        if block < 4:
            found[f"features.transition{block}.conv.weight"] = (width // 2, width, 1, 1)
            norms[f"features.transition{block}.norm"] = width
            width //= 2
    norms["features.norm5"] = width
    parts = ("weight", "bias", "running_mean", "running_var")
    return found | {f"{norm}.{part}": (size,) for norm, size in norms.items() for part in parts}


def test_torchvision_s_tensors_have_a_place():
    expected = torchvision_densenet201()
    variables, _ = family.abstract(DenseNet(num_classes=1000), PIXELS)
    assert set(family.names(variables, names.torchvision)) == set(expected)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in expected.items()}
    carry(variables, tensors, names.torchvision, Library.TORCHVISION)  # compares the shapes


def images() -> np.ndarray:
    """Their sizes are odd before two of the transitions."""
    return np.random.default_rng(1).normal(size=(3, 45, 71, 3)).astype(np.float32)


def carried(module, oracle):
    plain, _ = family.networks(module)
    variables = jax.eval_shape(plain.init, family.KEY, jax.ShapeDtypeStruct(images().shape, jnp.float32))
    tensors = keras_oracle.tensors(oracle)
    assert set(family.names(variables, names.keras)) == set(tensors)
    return plain, carry(variables, tensors, names.keras, Library.KERAS)


def test_logits_are_keras_s():
    oracle = keras_oracle.build("DenseNet201", (45, 71))
    network, variables = carried(DenseNet(num_classes=7), oracle)
    logits = family.hurried(lambda v, x: network.apply(v, x)[0].logits, variables, images())
    keras_oracle.assert_close(logits, keras_oracle.evaluate(oracle, images()))


def test_training_mode_is_keras_s():
    """On few layers: those of DenseNet-201 are the same, and take half a minute to compile."""
    oracle = keras_oracle.build("densenet.DenseNet", (45, 71), blocks=SHALLOW)
    network, variables = carried(DenseNet(num_classes=7, blocks=SHALLOW), oracle)

    def train(v, x):
        outputs, updates = network.apply(v, x, train=True)
        return outputs.logits, updates

    got, updates = family.hurried(train, variables, images())
    logits, moved = keras_oracle.train(oracle, images())
    keras_oracle.assert_close(got, logits)
    want = carry(variables, moved, names.keras, Library.KERAS)["batch_stats"]
    chex.assert_trees_all_equal_structs(updates["batch_stats"], want)
    jax.tree.map(keras_oracle.assert_close, updates["batch_stats"], want)


class ForwardBackwardTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_it(self):
        family.check_forward_and_backward(self.variant, TINY, (3, 17, 22, 3))


def test_forms_are_equal():
    family.check_forms_are_equal(TINY, (3, 17, 22, 3))


def test_training():
    family.check_training(TINY, (4, 17, 22, 3))


def test_dropout_drops_what_a_layer_adds():
    network, _ = family.networks(DenseNet(num_classes=3, blocks=(1,), growth=8, dropout=0.5))
    inputs = jnp.ones((1, 16, 16, 3))
    variables = family.draw(network, inputs.shape)

    @functools.partial(jax.jit, static_argnums=1, compiler_options=family.HURRY)
    def added(key, train):
        outputs, _ = network.apply(variables, inputs, train=train, rngs={"dropout": jax.random.key(key)})
        return outputs.taps["stage1"][..., 16:]

    assert all(0.3 < jnp.mean(added(key, True) == 0) < 0.7 for key in (0, 1))
    assert jnp.any(added(0, True) != added(1, True))
    assert jnp.all(added(0, False) == added(1, False))


def test_initial_kernels_are_he_s_over_what_comes_in():
    module = DenseNet(num_classes=3, blocks=(1,), growth=8)
    family.check_initial(module, (1, 8, 8, 3), lambda shape: (2 / (shape[0] * shape[1] * shape[2])) ** 0.5)


def test_too_small_an_input_is_refused():
    with pytest.raises(UserError, match=r"too small: at transition2 it has shrunk to 1 x 2"):
        family.abstract(DenseNet(num_classes=2), (1, 9, 17))


def test_padding_that_shrinks_maps_is_refused():
    with pytest.raises(UserError, match="symmetric or same, not ceil"):
        family.abstract(DenseNet(num_classes=2, padding=Padding.CEIL), PIXELS)
