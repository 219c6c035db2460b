import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.network import macs
from hsjax.models.sarkhel import SarkhelConv1D, SarkhelConv2D, SarkhelLSTM, SarkhelRNN
from tests.models import family

MFCC = (1, 13, 101)
TEACHERS = {"conv2d": SarkhelConv2D, "conv1d": SarkhelConv1D, "lstm": SarkhelLSTM, "rnn": SarkhelRNN}
TINY = {
    "conv2d": SarkhelConv2D(num_classes=3, widths=(4,)),
    "conv1d": SarkhelConv1D(num_classes=3, widths=(4,), kernel=5),
    "lstm": SarkhelLSTM(num_classes=3, units=(3,)),
    "rnn": SarkhelRNN(num_classes=3, units=(3,)),
}
SHAPE = (3, 5, 4, 2)


def convolutions(positions, area, dims, widths):
    """By hand: parameters and multiply-accumulates of convolutions, each with bias-free kernel and batch norm."""
    pairs = list(zip((dims, *widths), widths, strict=False))
    parameters = sum(area * came * width + 2 * width for came, width in pairs)
    return parameters, sum(n * area * came * width for n, (came, width) in zip(positions, pairs, strict=True))


# Halves of 13 x 101, rounded up.
MAPS = (13 * 101, 7 * 51, 4 * 26, 2 * 13)
BY_HAND = {
    "conv2d": convolutions(MAPS, 9, 1, (32, 64, 128, 128)),
    "conv1d": convolutions((101, 51, 26, 13), 5, 13, (64, 128, 128, 256)),
    "lstm": (4 * 128 * (13 + 128 + 1) + 4 * 128 * (128 + 128 + 1), 101 * 4 * 128 * (13 + 128 + 128 + 128)),
    "rnn": (160 * (13 + 160 + 1) + 160 * (160 + 160 + 1), 101 * 160 * (13 + 160 + 160 + 160)),
}
EMBEDDING = {"conv2d": 128, "conv1d": 256, "lstm": 128, "rnn": 160}


@pytest.mark.parametrize("name", TEACHERS)
def test_counts(name):
    module = TEACHERS[name](num_classes=4)
    variables, outputs = family.abstract(module, MFCC)
    parameters, multiplications = BY_HAND[name]
    head = EMBEDDING[name] * 4
    assert family.size(variables["params"]) == parameters + head + 4
    assert 50_000 <= parameters <= 500_000
    assert outputs.embedding.shape == (1, EMBEDDING[name])
    plain, _ = family.networks(module)
    assert macs(plain, jax.ShapeDtypeStruct(MFCC, jnp.float32)) == multiplications + head


def test_student_s_count():
    variables, _ = family.abstract(SarkhelConv2D(4, widths=(8, 16, 32)), MFCC)
    parameters, _ = convolutions(MAPS[:3], 9, 1, (8, 16, 32))
    assert family.size(variables["params"]) == parameters + 33 * 4


@pytest.mark.parametrize("name", TEACHERS)
def test_any_size(name):
    _, outputs = family.abstract(TEACHERS[name](num_classes=4), (2, 1, 1))
    assert outputs.logits.shape == (2, 4)


@pytest.mark.parametrize(("name", "tap", "same"), [("conv1d", "conv1", 9), ("lstm", "lstm1", 20), ("rnn", "rnn1", 20)])
def test_frames_are_time_and_coefficients_channels(name, tap, same):
    """What a coefficient does at frame 20 moves no earlier step: convolutions see two frames ahead, a pool halves."""
    network, _ = family.networks(TINY[name]) if name == "conv1d" else reversed(family.networks(TINY[name]))
    inputs = jax.random.normal(jax.random.key(0), (2, 5, 24)).at[1].set(0)
    inputs = inputs.at[1].set(inputs[0].at[2, 20:].add(1))
    shapes = jax.eval_shape(network.init, family.KEY, inputs)
    variables = jax.tree.map(lambda leaf: np.cos(np.arange(leaf.size)).reshape(leaf.shape) ** 2 / 4, shapes)
    outputs, _ = family.hurried(network.apply, jax.tree.map(np.float32, variables), inputs)
    before, after = np.asarray(outputs.taps[tap]).reshape(2, -1, outputs.taps[tap].shape[-1])
    np.testing.assert_allclose(before[:same], after[:same], atol=1e-6)
    assert np.abs(before[same] - after[same]).max() > 1e-3


@pytest.mark.parametrize("name", ["conv2d", "lstm"])  # the others differ in nothing that has two forms
def test_forms_are_equal(name):
    family.check_forms_are_equal(TINY[name], SHAPE)


def test_training():
    family.check_training(TINY["conv2d"], SHAPE)


@pytest.mark.parametrize("name", ["conv1d", "lstm"])
def test_finite(name):
    family.check_forward_and_backward(lambda function: functools.partial(family.hurried, function), TINY[name], SHAPE)


class ForwardBackwardTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_conv2d(self):
        family.check_forward_and_backward(self.variant, TINY["conv2d"], SHAPE)

    @chex.variants(with_jit=True, without_jit=True)
    def test_rnn(self):
        family.check_forward_and_backward(self.variant, TINY["rnn"], SHAPE)
