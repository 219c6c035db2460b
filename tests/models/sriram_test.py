import dataclasses
import functools

import chex
import jax
import numpy as np
import pytest

from hsjax.models.network import Network
from hsjax.models.pretrained.carry import Library, carry
from hsjax.models.pretrained.names import resnet as names
from hsjax.models.sriram import DistillCNN, SriramTeacher
from hsjax.types import UserError
from tests.models import family
from tests.models.resnet_test import torchvision_resnet18

SPECTROGRAM = (1, 50, 2805)
TEACHER = SriramTeacher(num_classes=2, blocks=(1, 1), width=4, projection=5, channels=3)
STUDENT = DistillCNN(num_classes=2, widths=(4, 5, 6), hidden=(8, 7), channels=3)


def test_teacher_s_counts():
    variables, outputs = family.abstract(SriramTeacher(num_classes=2), SPECTROGRAM)
    params = variables["params"]
    heads = {name: family.size(params[name]) for name in ("projection1", "projection2", "evaluator", "logits")}
    # PAPER, by hand: 512 x 512 + 512, 512 x 256 + 256, 512 x 512 and a batch norm of 2 x 512, 512 + 1.
    assert heads == {"projection1": 262_656, "projection2": 131_328, "evaluator": 263_168, "logits": 513}
    assert family.size(params) == 11_827_905
    assert outputs.embedding.shape == (1, 512)
    assert outputs.taps["projection"].shape == (1, 256)


def test_student_s_counts():
    variables, outputs = family.abstract(DistillCNN(num_classes=2), SPECTROGRAM)
    assert family.size(variables) == 5_838_465
    shapes = {name: tap.shape[1:] for name, tap in outputs.taps.items()}
    # By hand: (50 + 2 - 9) // 2 + 1 = 22 and (2805 + 2 - 9) // 2 + 1 = 1400, halved, halved, halved.
    assert shapes == {"conv1": (11, 700, 64), "conv2": (5, 350, 128), "conv3": (2, 175, 128)}
    assert np.prod(shapes["conv3"]) == 44_800
    assert outputs.embedding.shape == (1, 64)


@pytest.mark.parametrize("module", [TEACHER, STUDENT], ids=["teacher", "student"])
def test_two_classes_are_one_unit(module):
    """Cross-entropy of [0, z] is binary cross-entropy of z."""
    network, _ = family.networks(module)
    inputs = jax.random.normal(jax.random.key(0), (2, 27, 30, 3))
    variables = family.draw(network, inputs.shape)
    assert variables["params"]["logits"]["bias"].shape == (1,)
    logits = family.hurried(network.apply, variables, inputs)[0].logits
    np.testing.assert_array_equal(logits[:, 0], 0)
    assert np.all(logits[:, 1] != 0)
    np.testing.assert_allclose(jax.nn.softmax(logits)[:, 1], 1 / (1 + np.exp(-np.float64(logits[:, 1]))), rtol=1e-5)


@pytest.mark.parametrize("classes", [1, 3])
def test_other_numbers_of_classes_have_as_many_units(classes):
    for module, base in (
        (DistillCNN(num_classes=classes), 5_838_465),
        (SriramTeacher(num_classes=classes), 11_827_905),
    ):
        variables, outputs = family.abstract(module, SPECTROGRAM)
        assert outputs.logits.shape == (1, classes)
        inputs = outputs.embedding.shape[1]
        assert family.size(variables["params"]) == base + (classes - 1) * (inputs + 1)


def test_evaluator_by_hand():
    """In float64, from the embedding on: linear without bias, batch norm, ReLU, linear."""
    network, _ = family.networks(TEACHER)
    inputs = jax.random.normal(jax.random.key(0), (5, 20, 30, 3))
    variables = family.draw(network, inputs.shape)
    outputs, _ = family.hurried(network.apply, variables, inputs)
    params, stats = (jax.tree.map(np.float64, variables[name]) for name in ("params", "batch_stats"))
    embedding = np.float64(outputs.embedding)
    norm, running = params["evaluator"]["norm"], stats["evaluator"]["norm"]
    x = embedding @ params["evaluator"]["conv"]["kernel"][0, 0]
    x = (x - running["mean"]) / np.sqrt(running["var"] + 1e-5) * norm["scale"] + norm["bias"]
    z = np.maximum(x, 0) @ params["logits"]["kernel"] + params["logits"]["bias"]
    np.testing.assert_allclose(outputs.logits[:, 1:], z, rtol=1e-4)
    hidden = np.maximum(embedding @ params["projection1"]["kernel"] + params["projection1"]["bias"], 0)
    projection = hidden @ params["projection2"]["kernel"] + params["projection2"]["bias"]
    np.testing.assert_allclose(outputs.taps["projection"], projection, rtol=1e-4)


def test_an_imagenet_resnet18_fits_the_teacher_s_encoder(rng):
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in torchvision_resnet18().items()}
    network, _ = family.networks(SriramTeacher(num_classes=2, channels=3))
    variables = family.draw(network, (1, 8, 8))
    heads = ("projection?", "evaluator", "logits")
    carried = carry(variables, tensors, names.torchvision, Library.TORCHVISION, keep=heads)
    np.testing.assert_array_equal(
        carried["params"]["stage4"]["block2"]["conv2"]["conv"]["kernel"],
        tensors["layer4.1.conv2.weight"].transpose(2, 3, 1, 0),
    )
    with pytest.raises(UserError, match="evaluator"):
        carry(variables, tensors, names.torchvision, Library.TORCHVISION, keep=("projection?", "logits"))


class ForwardBackwardTest(chex.TestCase):
    @chex.variants(with_jit=True)  # without: the encoder's test, in `resnet_test`
    def test_teacher(self):
        family.check_forward_and_backward(self.variant, dataclasses.replace(TEACHER, blocks=(1,)), (3, 9, 9, 3))

    @chex.variants(with_jit=True, without_jit=True)
    def test_student(self):
        family.check_forward_and_backward(self.variant, STUDENT, (2, 27, 30, 3))


def test_forms_are_equal():
    family.check_forms_are_equal(dataclasses.replace(TEACHER, blocks=(1,)), (3, 9, 9, 3))
    family.check_forms_are_equal(STUDENT, (2, 27, 30, 3))


def test_training():
    family.check_training(TEACHER, (4, 17, 22, 3))


@pytest.mark.parametrize(
    "module", [STUDENT, dataclasses.replace(TEACHER, blocks=(1,), dropout=0.5)], ids=["student", "teacher"]
)
def test_dropout_only_while_training(module):
    network, _ = family.networks(module)
    inputs = jax.random.normal(jax.random.key(0), (4, 27, 30, 3))
    variables = family.draw(network, inputs.shape)

    @functools.partial(jax.jit, static_argnums=1, compiler_options=family.HURRY)
    def logits(key, train):
        return network.apply(variables, inputs, train=train, rngs={"dropout": key})[0].logits

    one, other = jax.random.key(0), jax.random.key(1)
    assert np.any(logits(one, True) != logits(other, True))
    np.testing.assert_array_equal(logits(one, False), logits(other, False))


def test_frozen_encoder_trains_as_in_evaluation():
    plain, _ = family.networks(TEACHER)
    network = Network(plain.module, frozen=("stem", "stage*"))
    inputs = jax.random.normal(jax.random.key(0), (4, 17, 22, 3))
    variables = family.draw(network, inputs.shape)
    _, updates = family.hurried(lambda v, x: network.apply(v, x, train=True), variables, inputs)
    for name in ("stem", "stage1", "stage2"):
        chex.assert_trees_all_equal(updates["batch_stats"][name], variables["batch_stats"][name])
    moved = updates["batch_stats"]["evaluator"]["norm"]["mean"] != variables["batch_stats"]["evaluator"]["norm"]["mean"]
    assert np.all(moved)


@pytest.mark.parametrize(("shape", "where"), [((1, 6, 60), "conv1"), ((1, 7, 60), "pool 1"), ((1, 12, 60), "pool 2")])
def test_too_small_an_input_is_refused(shape, where):
    with pytest.raises(UserError, match=f"too small: at {where} "):
        family.abstract(DistillCNN(num_classes=2), shape)
