import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models.dscnn import DSCNN, SeparableBlock
from hsjax.models.layers import Execution, Form
from hsjax.models.network import macs
from tests.models import family

MFCC, LOG_MEL = (1, 13, 101), (1, 64, 100)
TINY = DSCNN(
    num_classes=3, stem=4, stem_kernel=(1, 1), widths=(4, 6), depths=(1, 1), strides=((1, 1), (2, 2)), kernel=(1, 3),
    squeeze_excite=2,
)  # fmt: skip
SEPARABLE = DSCNN(
    num_classes=2, stem=24, stem_kernel=(5, 5), stem_strides=(2, 2), widths=(32, 64, 96), depths=(2, 2, 2),
    strides=((1, 1), (2, 2), (2, 2)), kernel=(3, 3), squeeze_excite=0,
)  # fmt: skip
# Channels in and out of each block, and the positions that its depthwise convolution leaves of 13 x 101.
BLOCKS = (
    (24, 32, 7 * 51), (32, 32, 7 * 51), (32, 64, 4 * 26), (64, 64, 4 * 26), (64, 96, 2 * 13), (96, 96, 2 * 13)
)  # fmt: skip


def test_counts_by_hand():
    parameters = 25 * 24 + 2 * 24 + 96 * 2 + 2
    multiplications = 7 * 51 * 25 * 24 + 96 * 2
    for came, width, positions in BLOCKS:
        parameters += 9 * came + 2 * came + came * width + 2 * width
        multiplications += positions * (9 * came + came * width)
    variables, _ = family.abstract(SEPARABLE, MFCC)
    assert family.size(variables["params"]) == parameters
    plain, _ = family.networks(SEPARABLE)
    assert macs(plain, jax.ShapeDtypeStruct(MFCC, jnp.float32)) == multiplications


@pytest.mark.parametrize("shape", [MFCC, LOG_MEL])
def test_defaults_fit_a_microcontroller(shape):
    """At most 50,000 parameters, and what any block reads and writes is below half of 256 KiB as int8."""
    variables, outputs = family.abstract(DSCNN(num_classes=5), shape)
    assert family.size(variables["params"]) <= 50_000
    assert max(tap.size for tap in outputs.taps.values()) < 64 * 1024


def test_squeeze_excite_adds_two_convolutions_a_block():
    def size(module):
        return family.size(family.abstract(module, MFCC)[0]["params"])

    added = sum(came * 2 * (came // 4) + came // 4 + came for came, _, _ in BLOCKS)
    assert size(SEPARABLE.clone(squeeze_excite=4)) == size(SEPARABLE) + added


def test_any_size():
    _, outputs = family.abstract(DSCNN(num_classes=5), (2, 1, 1))
    assert outputs.logits.shape == (2, 5)


def test_blocks_that_keep_the_size_add_their_input():
    """With all weights 0, the block is what it adds."""
    block = SeparableBlock(4, execution=Execution(Form.PLAIN))
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 4))
    variables = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(block.init, family.KEY, x))
    np.testing.assert_array_equal(block.apply(variables, x), x)
    narrower = jax.eval_shape(block.clone(strides=(2, 1)).init_with_output, family.KEY, x)[0]
    assert narrower.shape == (2, 2, 5, 4)


def test_forms_are_equal():
    family.check_forms_are_equal(TINY, (2, 4, 6))


def test_training():
    family.check_training(TINY, (3, 4, 6))


class ForwardBackwardTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_finite(self):
        family.check_forward_and_backward(self.variant, TINY, (3, 4, 6))
