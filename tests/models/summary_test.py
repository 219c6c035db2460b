import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from hsjax import models
from hsjax.models import Form, Network
from hsjax.models.layers import EVALUATION, BatchNorm, Conv, Dense, Execution
from hsjax.models.summary import LayerRow, peak_activations, summary
from hsjax.types import Outputs, UserError

MFCC = jax.ShapeDtypeStruct((1, 13, 101), jnp.float32)

# By hand: 3x3 kernels and biases; output positions x 9 x channels in x channels out.
# The pool comes before its ReLU, which gives the same.
SONG_STUDENT = [
    LayerRow("conv1", "ConvReluMaxPool", (6, 50, 16), 9 * 16 + 16, 0, 13 * 101 * 9 * 16),
    LayerRow("conv1/relu", "relu", (6, 50, 16), 0, 0, 0),
    LayerRow("conv2", "ConvReluMaxPool", (3, 25, 32), 9 * 16 * 32 + 32, 0, 6 * 50 * 9 * 16 * 32),
    LayerRow("conv2/relu", "relu", (3, 25, 32), 0, 0, 0),
    LayerRow("hidden", "Dense", (16,), 2400 * 16 + 16, 0, 2400 * 16),
    LayerRow("act3", "relu", (16,), 0, 0, 0),
    LayerRow("logits", "Dense", (2,), 16 * 2 + 2, 0, 16 * 2),
]


@pytest.mark.parametrize("form", list(Form))
def test_song_student_by_hand(form):
    assert summary(models.build("song-student", num_classes=2, form=form), MFCC) == SONG_STUDENT


# Fewer blocks of a kind than published, to save time.
SHALLOW = {
    "densenet201": {"blocks": (1, 1, 1, 1)},
    "resnet50": {"blocks": (1, 1, 1, 1)},
    "resnet101": {"blocks": (1, 1, 1, 1)},
    "efficientnetb0": {"depth": 0.3},
    "efficientnetv2-s": {"depth": 0.2},
}


@pytest.mark.parametrize("name", sorted(models.MODELS))
def test_rows_add_up_to_the_whole(name):
    network = models.build(name, num_classes=3, form=Form.PLAIN, **SHALLOW.get(name, {}))
    try:
        inputs = jax.ShapeDtypeStruct((1, 64, 128), jnp.float32)
        rows = summary(network, inputs)
    except UserError:  # it reads raw samples
        inputs = jax.ShapeDtypeStruct((1, 1, 2500), jnp.float32)
        rows = summary(network, inputs)
    variables = jax.eval_shape(network.init, jax.random.key(0), inputs)
    assert sum(row.macs for row in rows) == models.macs(network, inputs)
    assert sum(row.parameters for row in rows) == models.parameter_count(variables)
    others = sum(leaf.size for leaf in jax.tree.leaves({k: v for k, v in variables.items() if k != "params"}))
    assert sum(row.statistics for row in rows) == others
    assert len({row.path for row in rows}) == len(rows)


class Block(nn.Module):
    """A convolution, a batch norm, and a product that belongs to no layer of its own."""

    execution: Execution

    @nn.compact
    def __call__(self, x):
        x = BatchNorm(name="norm")(Conv(4, name="conv", execution=self.execution)(x))
        return x @ jnp.ones((4, 5))


class Small(nn.Module):
    """A block that is called twice, a jitted product between, and a linear layer."""

    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features, phase=EVALUATION):
        del phase
        twice = Block(self.execution, name="block")
        x = twice(features[..., None])
        x = twice(jnp.mean(x, 3, keepdims=True))
        x = jax.jit(jnp.matmul)(x.reshape(1, -1), jnp.ones((6 * 7 * 5, 8)))
        return Outputs(Dense(2, name="logits", execution=self.execution)(x), x, {})


# Modules of other packages than hsjax are parts of the layers that call them, and these two are not in it.
Block.__module__ = Small.__module__ = "hsjax.models.small"
SMALL = jax.ShapeDtypeStruct((1, 6, 7), jnp.float32)


def test_shared_layers_and_what_lies_between_layers():
    assert summary(Network(Small()), SMALL) == [
        LayerRow("", "Small", (2,), 0, 0, 6 * 7 * 5 * 8),
        LayerRow("block", "Block", (6, 7, 5), 0, 0, 2 * 6 * 7 * 4 * 5),
        LayerRow("block/conv", "Conv", (6, 7, 4), 9 * 4 + 4, 0, 2 * 6 * 7 * 9 * 4),
        LayerRow("block/norm", "BatchNorm", (6, 7, 4), 8, 8, 0),
        LayerRow("logits", "Dense", (2,), 8 * 2 + 2, 0, 8 * 2),
    ]


def test_depth_sums_up_what_lies_deeper():
    assert summary(Network(Small()), SMALL, depth=1)[1] == LayerRow(
        "block", "Block", (6, 7, 5), 9 * 4 + 4 + 8, 8, 2 * 6 * 7 * (9 * 4 + 4 * 5)
    )


def test_peak_of_activations_by_hand():
    # In song-student most is needed by the first pool: what it reads, and what it makes.
    assert peak_activations(models.build("song-student", num_classes=2), MFCC) == 13 * 101 * 16 + 6 * 50 * 16


@pytest.mark.parametrize(
    ("function", "size"),
    [
        (lambda x: jnp.sin(x) + 1, 6),  # over its input
        (lambda x: jnp.sin(x) * x, 12),  # x is still needed
        (lambda x: jnp.broadcast_to(x[:, None, :], (1, 4, 6)), 6 + 24),
        (lambda x: x @ jnp.ones((6, 6)), 6 + 6),  # a product does not overwrite; weights do not count
        (lambda x: jnp.concatenate([x, x], 1).sum(), 6 + 12),
        (lambda x: jax.nn.relu(x) * jnp.exp(jnp.ones((1, 6))), 6),  # seen through the call
    ],
)
def test_peak_of_single_operations(function, size):
    class Single(nn.Module):
        execution: Execution = Execution()

        def __call__(self, features, phase=EVALUATION):
            del phase
            return Outputs(function(features), features, {})

    assert peak_activations(Network(Single()), jax.ShapeDtypeStruct((1, 6), jnp.float32)) == size


def test_too_small_an_input():
    with pytest.raises(UserError, match="the input is too small"):
        summary(models.build("song-student", num_classes=2), jax.ShapeDtypeStruct((1, 2, 3), jnp.float32))
