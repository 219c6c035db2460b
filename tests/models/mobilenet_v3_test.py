import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.layers import Execution, Form, Padding, Phase, hard_swish
from hsjax.models.mobilenet_v3 import Block, MobileNetV3, Variant, mobilenet_v3_large, mobilenet_v3_small
from hsjax.models.pretrained.names import mobilenet_v3 as names
from tests.models import image_network, keras_oracle

PLAIN = Execution(Form.PLAIN)
TINY = functools.partial(
    MobileNetV3, num_classes=3, width=0.5, hidden=16,
    blocks=(Block(3, 32, 16, True, hard_swish, 1),),
)  # fmt: skip
MAKE = {"small": mobilenet_v3_small, "large": mobilenet_v3_large}
CLASSES = {"small": 5, "large": 1000}
FULL = {size: make(CLASSES[size], execution=PLAIN) for size, make in MAKE.items()}


@pytest.mark.parametrize(
    ("size", "want"),
    [
        # Mahapatra's.
        ("small", (1_522_981, 1_535_093)),
        # https://docs.pytorch.org/vision/stable/models has 5,483,032; keras.applications has as many.
        ("large", (5_483_032, 5_507_432)),
    ],
)
def test_counts(size, want):
    assert image_network.counts(FULL[size]) == want


def test_maps_have_the_sizes_of_the_paper_s_table_1():
    assert image_network.shapes(FULL["large"]) == {
        "stem": (112, 112, 16),
        "block1": (112, 112, 16),
        "block2": (56, 56, 24),
        "block3": (56, 56, 24),
        "block4": (28, 28, 40),
        "block5": (28, 28, 40),
        "block6": (28, 28, 40),
        "block7": (14, 14, 80),
        "block8": (14, 14, 80),
        "block9": (14, 14, 80),
        "block10": (14, 14, 80),
        "block11": (14, 14, 112),
        "block12": (14, 14, 112),
        "block13": (7, 7, 160),
        "block14": (7, 7, 160),
        "block15": (7, 7, 160),
        "head": (7, 7, 960),
        "embedding": (1280,),
    }


def test_maps_have_the_sizes_of_the_paper_s_table_2():
    assert image_network.shapes(FULL["small"]) == {
        "stem": (112, 112, 16),
        "block1": (56, 56, 16),
        "block2": (28, 28, 24),
        "block3": (28, 28, 24),
        "block4": (14, 14, 40),
        "block5": (14, 14, 40),
        "block6": (14, 14, 40),
        "block7": (14, 14, 48),
        "block8": (14, 14, 48),
        "block9": (7, 7, 96),
        "block10": (7, 7, 96),
        "block11": (7, 7, 96),
        "head": (7, 7, 576),
        "embedding": (1024,),
    }


@pytest.mark.parametrize("size", MAKE)
def test_agrees_with_keras(size):
    model = keras_oracle.build(f"MobileNetV3{size.title()}", (64, 65), CLASSES[size], include_preprocessing=False)
    module = MAKE[size](CLASSES[size], variant=Variant.KERAS, dropout=0.0, execution=PLAIN)
    image_network.assert_agrees_with_keras(model, module, names.keras, FULL[size])


@pytest.mark.parametrize(
    ("size", "want"),
    [
        ("small", (210, "195791d02a6ab28f9508c3dd276abfb11f2acc16b0d67d5ab26231cb3d2e52ea")),
        ("large", (266, "3abde803707966e4926ecf17ab35060528f76363e2f430f21fbae7e3ead435a2")),
    ],
)
def test_torchvision_s_tensors(size, want):
    # Of torchvision 0.29.2's own state dict, counters left out.
    name = getattr(names, f"torchvision_{size}")
    assert image_network.digest_of_torch_tensors(FULL[size], name) == want


def test_torchvision_s_details():
    options = Variant.TORCHVISION.layer(PLAIN).keywords
    norm = options["norm"]
    # As it sets them; its momentum of .01 is what a step takes.
    assert (options["padding"], norm.momentum, norm.epsilon, norm.unbiased) == (Padding.SYMMETRIC, 0.99, 1e-3, True)


def test_running_statistics_keep_what_is_asked_for():
    """A first step takes a half of the batch's mean instead of the variant's hundredth."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 32, 32)).astype(np.float32))
    variables = TINY().init(jax.random.key(0), x)

    def mean(module):
        how = {"mutable": ["batch_stats"], "rngs": {"dropout": jax.random.key(1)}}
        _, changed = module.apply(variables, x, Phase(train=True), **how)
        return changed["batch_stats"]["stem"]["norm"]["mean"]

    np.testing.assert_allclose(mean(TINY(momentum=0.5)), 50 * mean(TINY()), rtol=1e-4)


class TinyTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_forward_and_backward_are_finite(self):
        image_network.assert_finite_forward_and_backward(TINY, self.variant)


def test_forms_agree():
    image_network.assert_forms_agree(TINY)


def test_one_channel_stands_for_three():
    image_network.assert_one_channel_stands_for_three(TINY())


def test_small_inputs_are_finite_or_refused():
    image_network.assert_small_inputs_are_finite_or_refused(TINY())


def test_masked_examples_do_not_count():
    image_network.assert_masked_examples_do_not_count(TINY(dropout=0.0))
