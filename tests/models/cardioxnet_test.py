import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.cardioxnet import CardioXNet
from hsjax.models.network import macs
from hsjax.types import UserError
from tests.models import family

SAMPLES = (1, 1, 5000)  # 2.5 s at 2 kHz
TINY = CardioXNet(num_classes=3, step=160, fine=(3,), coarse=(4,), maps=(3, 3, 4, 4), units=2, hidden=9)


def convolutions(kernels, widths):
    """Parameters, with biases."""
    return sum(kernel * came * width + width for kernel, (came, width) in zip(kernels, widths, strict=True))


def lstm(dims, units):
    return 2 * 4 * units * (dims + units + 1)


def test_counts():
    """The authors' kernels and widths; 0.7 M is PAPER, Song's Table III."""
    fine = convolutions((1000, 8, 8, 8), ((1, 32), (32, 32), (32, 64), (64, 64)))
    coarse = convolutions((8000, 6, 6, 6), ((1, 16), (16, 16), (16, 32), (32, 32)))
    rows = 9 * (1 * 32 + 32 * 32 + 32 * 16 + 16 * 16) + 16 * 4 + 4 * 8 + 9 * 4 * 8
    norms = 2 * (32 + 32 + 16 + 16 + 4 + 8 + 8)
    sequence = lstm(64 + 32 + 10 * 6 * 16, 45) + lstm(90, 45)
    by_hand = fine + coarse + rows + norms + sequence + 91 * 64 + 65 * 2
    variables, _ = family.abstract(CardioXNet(2), SAMPLES)
    assert family.size(variables["params"]) == by_hand
    assert round(by_hand / 1e6, 2) == 0.70


def test_a_step_per_half_second():
    variables, outputs = family.abstract(CardioXNet(5), (2, 1, 4001))
    assert {name: tap.shape for name, tap in outputs.taps.items()} == {
        "fine": (2, 5, 64), "coarse": (2, 5, 32), "squeezed": (2, 5, 960), "lstm": (2, 5, 90)
    }  # fmt: skip
    assert (outputs.logits.shape, outputs.embedding.shape) == ((2, 5), (2, 64))
    assert family.size(variables) == family.size(family.abstract(CardioXNet(5), (2, 1, 1000))[0])


def test_macs():
    along = 40 * 1000 * 32 + 5 * 8 * (32 * 32 + 32 * 64 + 64 * 64)
    along += 20 * 8000 * 16 + 10 * 6 * (16 * 16 + 16 * 32 + 32 * 32)
    rows = 200 * 25 * 9 * (32 + 32 * 32 + 32 * 16) + 100 * 12 * 9 * 16 * 16 + 50 * 6 * (16 * 4 + 4 * 8 + 9 * 4 * 8)
    sequence = 5 * 2 * 4 * 45 * (1056 + 45 + 90 + 45)
    plain, _ = family.networks(CardioXNet(2))
    expected = along + rows + sequence + 90 * 64 + 64 * 2
    assert macs(plain, jax.ShapeDtypeStruct(SAMPLES, jnp.float32)) == expected


def test_blocks_as_channels_are_a_convolution_with_strides():
    """The first layer of the fine path against a strided correlation in float64."""
    two = TINY.clone(fine=(3, 3))
    plain, _ = family.networks(two)
    shapes, _ = family.abstract(two, (1, 1, 640))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32) ** 2 / 9, shapes)
    samples = rng.normal(size=(1, 1, 640)).astype(np.float32)
    layer = jax.tree.map(np.float64, variables["params"]["fine_conv1"])
    block, blocks = 160 // 8, 8
    padded = np.pad(np.float64(samples[0, 0]), (3 * block, 4 * block))
    kernel = layer["kernel"].reshape(blocks * block, 3)
    strided = [padded[start : start + blocks * block] @ kernel for start in range(0, 640, block)]
    first = np.maximum(np.array(strided) + layer["bias"], 0).reshape(4, 8, 3).max(1)
    second = jax.tree.map(np.float64, variables["params"]["fine_conv2"])
    seen = np.pad(first, ((3, 4), (0, 0)))
    expected = [np.einsum("kc,kcf->f", seen[i : i + 8], second["kernel"][0]) + second["bias"] for i in range(4)]
    outputs, _ = family.hurried(plain.apply, variables, samples)
    np.testing.assert_allclose(outputs.taps["fine"][0], np.maximum(expected, 0), rtol=1e-4, atol=1e-4)


def test_what_does_not_fit():
    with pytest.raises(UserError, match="needs 1000 of them, got 101"):
        family.abstract(CardioXNet(2), (1, 13, 101))
    for step in (120, 990):
        with pytest.raises(UserError, match="multiple of 40 samples and at least 160"):
            family.abstract(CardioXNet(2, step=step), SAMPLES)


def test_forms_are_equal():
    family.check_forms_are_equal(TINY, (2, 2, 160))


def test_finite():
    """Under jit alone: one operation at a time, a network of three paths and four LSTMs takes as long as all others."""
    family.check_forward_and_backward(lambda function: functools.partial(family.hurried, function), TINY, (4, 2, 200))
