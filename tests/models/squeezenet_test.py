import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.network import macs
from hsjax.models.pretrained.carry import Library, carry
from hsjax.models.pretrained.names import squeezenet as names
from hsjax.models.squeezenet import SqueezeNet
from hsjax.types import UserError
from tests.models import family

PIXELS = (1, 224, 224, 3)
SMALL = SqueezeNet(num_classes=50, channels=2, stem=16, stages=(((16, 32),),))

# torchvision's squeezenet1_1: place in `features`, channels in, squeezed, each expansion.
FIRES = (
    (3, 64, 16, 64), (4, 128, 16, 64), (6, 128, 32, 128), (7, 256, 32, 128),
    (9, 256, 48, 192), (10, 384, 48, 192), (11, 384, 64, 256), (12, 512, 64, 256),
)  # fmt: skip


@pytest.mark.parametrize(("classes", "count"), [(5, 725_061), (1000, 1_235_496)])  # PAPER, Mahapatra; torchvision
def test_counts(classes, count):
    variables, _ = family.abstract(SqueezeNet(classes), PIXELS)
    assert family.size(variables["params"]) == count


# Rows by hand: (224 - 3) // 2 + 1, and a pool of 3 with stride 2 leaves ceil((n - 3) / 2) + 1.
@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ((224, 224), ((111, 111), (55, 55), (27, 27), (13, 13))),
        ((128, 63), ((63, 31), (31, 15), (15, 7), (7, 3))),
        ((50, 80), ((24, 39), (12, 19), (6, 9), (3, 4))),
    ],
)
def test_maps(shape, rows):
    _, outputs = family.abstract(SqueezeNet(5), (2, *shape, 3))
    widths = (64, 128, 256, 512)
    expected = {
        name: (2, *r, w) for name, r, w in zip(("stem", "stage1", "stage2", "stage3"), rows, widths, strict=True)
    }
    assert {name: tap.shape for name, tap in outputs.taps.items()} == expected
    assert (outputs.logits.shape, outputs.embedding.shape) == ((2, 5), (2, 512))


def test_macs():
    by_hand = 111 * 111 * 27 * 64 + 13 * 13 * 512 * 1000
    for place, came, squeezed, expanded in FIRES:
        side = 55 if place < 5 else 27 if place < 8 else 13
        by_hand += side * side * (came * squeezed + squeezed * expanded * (1 + 9))
    plain, _ = family.networks(SqueezeNet(1000))
    assert macs(plain, jax.ShapeDtypeStruct(PIXELS, jnp.float32)) == by_hand
    assert by_hand / 1e9 == pytest.approx(0.35, abs=5e-3)  # torchvision's table


def test_torchvision_s_tensors_go_where_they_belong(rng):
    shapes = {"features.0": (64, 3, 3, 3), "classifier.1": (1000, 512, 1, 1)}
    for place, came, squeezed, expanded in FIRES:
        shapes[f"features.{place}.squeeze"] = (squeezed, came, 1, 1)
        shapes[f"features.{place}.expand1x1"] = (expanded, squeezed, 1, 1)
        shapes[f"features.{place}.expand3x3"] = (expanded, squeezed, 3, 3)
    tensors = {f"{name}.weight": rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    tensors |= {f"{name}.bias": rng.normal(size=shape[:1]).astype(np.float32) for name, shape in shapes.items()}
    variables, _ = family.abstract(SqueezeNet(1000), PIXELS)
    assert set(family.names(variables, names.torchvision)) == set(tensors)
    params = carry(variables, tensors, names.torchvision, Library.TORCHVISION)["params"]
    kernel = params["stage3_fire2"]["expand3x3"]["kernel"]
    np.testing.assert_array_equal(kernel, tensors["features.10.expand3x3.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(params["stage2_fire1"]["squeeze"]["bias"], tensors["features.6.squeeze.bias"])


@pytest.fixture(scope="module")
def small():
    """A network of one fire module, its variables, and its outputs for some inputs."""
    _, network = family.networks(SMALL)
    inputs = jax.random.normal(jax.random.key(0), (2, 9, 8, 2))
    variables = family.hurried(network.module.init, family.KEY, inputs)
    return variables, family.hurried(network.apply, variables, inputs)[0]


def test_initial_values_are_torchvision_s(small):
    """Kaiming's uniform over the inputs, a normal of .01 before the classes, biases 0."""
    params = small[0]["params"]
    bound = np.sqrt(6 / 9 / 16)
    kernel = np.abs(params["stage1_fire1"]["expand3x3"]["kernel"])
    assert 0.99 * bound < kernel.max() <= bound
    assert kernel.mean() == pytest.approx(bound / 2, rel=0.03)
    assert float(jnp.std(params["logits"]["kernel"])) == pytest.approx(0.01, rel=0.05)
    assert not any(np.any(layer) for path, layer in jax.tree.leaves_with_path(params) if path[-1].key == "bias")


def test_logits_are_the_mean_over_positions_of_the_rectified_classifier(small):
    variables, outputs = small
    classifier = jax.tree.map(np.float64, variables["params"]["logits"])
    maps = np.float64(outputs.taps["stage1"])
    each = np.maximum(maps @ classifier["kernel"][0, 0] + classifier["bias"], 0)
    np.testing.assert_allclose(outputs.logits, each.mean((1, 2)), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(outputs.embedding, maps.mean((1, 2)), rtol=1e-5, atol=1e-7)


def test_one_channel_stands_for_three():
    plain, _ = family.networks(SqueezeNet(3, stem=4, stages=()))
    one = jax.random.normal(jax.random.key(0), (2, 9, 8))
    three = jnp.repeat(one[..., None], 3, -1)
    variables = family.draw(plain, three.shape)
    got, want = (family.hurried(plain.apply, variables, x)[0] for x in (one, three))
    chex.assert_trees_all_close(got, want, atol=1e-5)


def test_the_smallest_input():
    family.abstract(SqueezeNet(5), (1, 25, 25))
    with pytest.raises(UserError, match="pool 3"):
        family.abstract(SqueezeNet(5), (1, 24, 25))


def test_forms_are_equal():
    family.check_forms_are_equal(SMALL, (2, 9, 8, 2))


class ForwardBackwardTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_finite(self):
        family.check_forward_and_backward(self.variant, SMALL, (3, 9, 8, 2))
