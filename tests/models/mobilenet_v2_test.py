import functools

import chex
import pytest

from hsjax.models.layers import Execution, Form, Padding
from hsjax.models.mobilenet_v2 import MobileNetV2, Stage, Variant, make_divisible
from hsjax.models.pretrained.names import mobilenet_v2 as names
from tests.models import image_network, keras_oracle

PLAIN = Execution(Form.PLAIN)
FULL = MobileNetV2(1000, execution=PLAIN)
TINY = functools.partial(MobileNetV2, num_classes=3, width=0.25, stages=(Stage(2, 32, 1, 1),), dropout=0.1)


def test_counts_are_keras_s():
    # https://keras.io/api/applications: 3,538,984, of which 34,112 are moving statistics.
    assert image_network.counts(FULL) == (3_504_872, 3_538_984)


def test_maps_have_the_sizes_of_the_paper_s_table_2():
    assert image_network.shapes(FULL) == {
        "stem": (112, 112, 32),
        "stage1": (112, 112, 16),
        "stage2": (56, 56, 24),
        "stage3": (28, 28, 32),
        "stage4": (14, 14, 64),
        "stage5": (14, 14, 96),
        "stage6": (7, 7, 160),
        "stage7": (7, 7, 320),
        "head": (7, 7, 1280),
        "embedding": (1280,),
    }


def test_agrees_with_keras():
    model = keras_oracle.build("MobileNetV2", (64, 65), classes=1000)
    image_network.assert_agrees_with_keras(model, FULL, names.keras)


@pytest.mark.parametrize(
    ("channels", "width", "want"), [(32, 0.35, 16), (16, 0.35, 8), (1280, 1.4, 1792), (24, 0.75, 24), (8, 0.1, 8)]
)
def test_make_divisible_by_hand(channels, width, want):
    # 11.2 to 8 would lose more than a tenth; so would 18 to 16.
    assert make_divisible(channels * width) == want


def test_torchvision_s_tensors():
    # Of torchvision 0.29.2's own state dict, counters left out.
    want = (262, "1f27e3d93ac9d0ffc61ab3e5b356f06d46d13af45ee9477b17ec86faa53c5379")
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
    image_network.assert_masked_examples_do_not_count(TINY(dropout=0.0))
