import functools
import re

import chex
import pytest

from hsjax.models import efficientnet
from hsjax.models.efficientnet_v2 import EfficientNetV2, Stage, Variant
from hsjax.models.layers import Execution, Form, Padding
from hsjax.models.pretrained.names import efficientnet_v2 as names
from tests.models import image_network, keras_oracle

PLAIN = Execution(Form.PLAIN)
FULL = EfficientNetV2(5, execution=PLAIN)
TINY = functools.partial(
    EfficientNetV2, num_classes=3, width=0.25,
    stages=(
        Stage(True, efficientnet.Stage(2, 3, 32, 1, 1)),
        Stage(False, efficientnet.Stage(2, 3, 32, 1, 1)),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return keras_oracle.build("EfficientNetV2S", (64, 65), classes=5, include_preprocessing=False)


def test_counts_are_mahapatra_s_and_keras_s():
    # https://keras.io/api/applications: 21,612,360 with 1000 classes, moving statistics included.
    assert image_network.counts(FULL) == (20_183_893, 21_612_360 - 995 * 1281)


def test_maps_have_the_sizes_of_the_paper_s_table_4():
    assert image_network.shapes(FULL) == {
        "stem": (112, 112, 24),
        "stage1": (112, 112, 24),
        "stage2": (56, 56, 48),
        "stage3": (28, 28, 64),
        "stage4": (14, 14, 128),
        "stage5": (14, 14, 160),
        "stage6": (7, 7, 256),
        "head": (7, 7, 1280),
        "embedding": (1280,),
    }


def test_stochastic_depth_is_keras_s(model):
    drops = {re.fullmatch(r"block(\d)(\w)_drop", layer.name): layer for layer in model.layers}
    want = {
        f"stage{match[1]}_block{ord(match[2]) - ord('a') + 1}/residual/depth": layer.rate
        for match, layer in drops.items()
        if match
    }
    assert len(want) == 34
    got = dict(image_network.traced(FULL).drop_rates)
    assert got.pop("dropout") == 0.2
    assert got == pytest.approx(want)


def test_agrees_with_keras(model):
    module = EfficientNetV2(5, variant=Variant.KERAS, dropout=0.0, drop=0.0, execution=PLAIN)
    image_network.assert_agrees_with_keras(model, module, names.keras, FULL)


def test_torchvision_s_tensors():
    # Of torchvision 0.29.2's own state dict, counters left out.
    want = (672, "7178ae90c8ac3c8de73d15daffb28cf83bca27bda8e42993eaf14e8252cdf629")
    assert image_network.digest_of_torch_tensors(FULL, names.torchvision) == want


def test_torchvision_s_details():
    options = Variant.TORCHVISION.layer(PLAIN).keywords
    norm = options["norm"]
    # Its epsilon, and PyTorch's momentum of .1, which is what a step takes.
    assert (options["padding"], norm.momentum, norm.epsilon, norm.unbiased) == (Padding.SYMMETRIC, 0.9, 1e-3, True)


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
