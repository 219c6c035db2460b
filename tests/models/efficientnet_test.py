import functools
import re

import chex
import pytest

from hsjax.models.efficientnet import EfficientNet, Stage, Variant
from hsjax.models.layers import Execution, Form, Padding
from hsjax.models.pretrained.names import efficientnet as names
from tests.models import image_network, keras_oracle

PLAIN = Execution(Form.PLAIN)
FULL = EfficientNet(1000, execution=PLAIN)
TINY = functools.partial(EfficientNet, num_classes=3, width=0.25, stages=(Stage(2, 3, 32, 1, 1),))


@pytest.fixture(scope="module")
def model():
    return keras_oracle.build("EfficientNetB0", (64, 65), classes=1000)


def test_counts_are_keras_s():
    # https://keras.io/api/applications: 5,330,571 with seven scalars of its scaling of photographs.
    assert image_network.counts(FULL) == (5_288_548, 5_330_571 - 7)


def test_maps_have_the_sizes_of_the_paper_s_table_1():
    assert image_network.shapes(FULL) == {
        "stem": (112, 112, 32),
        "stage1": (112, 112, 16),
        "stage2": (56, 56, 24),
        "stage3": (28, 28, 40),
        "stage4": (14, 14, 80),
        "stage5": (14, 14, 112),
        "stage6": (7, 7, 192),
        "stage7": (7, 7, 320),
        "head": (7, 7, 1280),
        "embedding": (1280,),
    }


def test_b3_has_torchvision_s_count():
    # https://docs.pytorch.org/vision/stable/models.
    assert image_network.counts(EfficientNet(1000, width=1.2, depth=1.4, execution=PLAIN))[0] == 12_233_232


def test_stochastic_depth_is_keras_s(model):
    drops = {re.fullmatch(r"block(\d)(\w)_drop", layer.name): layer for layer in model.layers}
    want = {
        f"stage{match[1]}_block{ord(match[2]) - ord('a') + 1}/residual/depth": layer.rate
        for match, layer in drops.items()
        if match
    }
    assert len(want) == 9
    got = dict(image_network.traced(FULL).drop_rates)
    assert got.pop("dropout") == 0.2
    assert got == pytest.approx(want)


def test_agrees_with_keras(model):
    module = EfficientNet(1000, dropout=0.0, drop=0.0, execution=PLAIN)
    # Keras divides by 255 inside.
    image_network.assert_agrees_with_keras(model, module, names.keras, FULL, scale=255.0)


def test_torchvision_s_tensors():
    # Of torchvision 0.29.2's own state dict, counters left out.
    want = (311, "ec100273115467601cd0efe42692a0d523dde73bb50fd01adb7b37c3b6fa00fc")
    assert image_network.digest_of_torch_tensors(FULL, names.torchvision) == want


def test_torchvision_s_details():
    options = Variant.TORCHVISION.layer(PLAIN).keywords
    norm = options["norm"]
    # PyTorch's defaults; its momentum of .1 is what a step takes.
    assert (options["padding"], norm.momentum, norm.epsilon, norm.unbiased) == (Padding.SYMMETRIC, 0.9, 1e-5, True)


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
    image_network.assert_masked_examples_do_not_count(TINY(dropout=0.0, drop=0.0))
