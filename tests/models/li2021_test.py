import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from hsjax.models.li2021 import LiCNN
from hsjax.models.network import macs
from tests.models import family

MFCC = (1, 13, 101)
TINY = LiCNN(num_classes=3, layers=((4, 1, (2, 2)), (4, 3, (1, 1))))


def test_counts():
    """PAPER, Li et al. 2021: 4.29 K parameters for two classes, 8 values before the linear layer."""
    variables, outputs = family.abstract(LiCNN(2), MFCC)
    by_hand = (25 * 16 + 16) + (25 * 16 * 8 + 8) + (9 * 8 * 8 + 8) + 2 * (16 + 8 + 8) + (8 * 2 + 2)
    assert family.size(variables["params"]) == by_hand
    assert round(by_hand / 1000, 2) == 4.29
    assert outputs.embedding.shape == (1, 8)
    plain, _ = family.networks(LiCNN(2))
    expected = 7 * 51 * 25 * 16 + 4 * 26 * 25 * 16 * 8 + 4 * 26 * 9 * 8 * 8 + 8 * 2
    assert macs(plain, jax.ShapeDtypeStruct(MFCC, jnp.float32)) == expected


def test_any_size():
    _, outputs = family.abstract(LiCNN(2), (3, 1, 1))
    assert outputs.logits.shape == (3, 2)


def test_logits_are_linear_in_the_maximum_of_each_map():
    plain, _ = family.networks(TINY)
    shapes, _ = family.abstract(TINY, (2, 6, 7))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.uniform(0.5, 1, leaf.shape).astype(np.float32), shapes)
    outputs, _ = family.hurried(plain.apply, variables, rng.normal(size=(2, 6, 7)).astype(np.float32))
    last = variables["params"]["logits"]
    maxima = np.asarray(outputs.taps["conv2"]).max((1, 2))
    np.testing.assert_array_equal(outputs.embedding, maxima)
    np.testing.assert_allclose(outputs.logits, maxima @ last["kernel"] + last["bias"], rtol=1e-5)


def gradients(network, variables, inputs):
    return jax.grad(lambda params: family.loss(network, variables | {"params": params}, inputs)[0])(variables["params"])


def test_forms_are_equal_and_finite():
    """Compiled without optimisation, XLA computes some values twice, which a gradient of `jnp.max` does not survive."""
    family.check_forms_are_equal(TINY, (2, 5, 4))
    for network in family.networks(TINY):
        variables = family.draw(network, (2, 5, 4))
        inputs = jax.random.normal(jax.random.key(2), (2, 5, 4))
        chex.assert_tree_all_finite(family.hurried(functools.partial(gradients, network), variables, inputs))


def test_training():
    family.check_training(TINY, (3, 5, 4))


class ForwardBackwardTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_finite(self):
        network, _ = family.networks(TINY)
        variables = family.draw(network, (3, 5, 4))
        inputs = jax.random.normal(jax.random.key(2), (3, 5, 4))
        found = self.variant(functools.partial(gradients, network))(variables, inputs)
        chex.assert_tree_all_finite(found)
        assert np.any(found["logits"]["kernel"] != 0)
        assert np.any(found["conv1"]["conv"]["kernel"] != 0)
