import dataclasses

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.models import Form, Network, macs, parameter_count
from hsjax.models.layers import (
    EVALUATION,
    Activation,
    Conv,
    ConvNorm,
    Dense,
    Dropout,
    Execution,
    Padding,
    Phase,
    as_maps,
    relu,
)
from hsjax.types import Outputs, UserError
from tests.models.layers import quick

SHAPE = (4, 6, 10)


class Small(nn.Module):
    """A convolution with norm, a depthwise one, and two linear layers."""

    dropout: float = 0.0
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features, phase: Phase = EVALUATION):
        how = {"execution": self.execution}
        x = ConvNorm(4, (3, 5), (2, 1), function=relu, name="stem", **how)(as_maps(features), phase)
        x = ConvNorm(4, (3, 3), groups=0, name="depthwise", **how)(x, phase)
        x = Conv(6, (1, 1), groups=2, name="grouped", **how)(x)
        x = Activation(relu, name="act", **how)(x, phase)
        embedding = Dropout(self.dropout, name="dropout")(jnp.mean(x, (1, 2)), phase)
        return Outputs(Dense(2, name="logits", **how)(embedding), embedding, {"grouped": x})


@pytest.fixture(scope="module")
def variables():
    return Network(Small()).init(jax.random.key(0), jax.ShapeDtypeStruct(SHAPE, jnp.float32))


def features(seed: int = 0):
    return jnp.asarray(2 + np.random.default_rng(seed).normal(size=SHAPE), jnp.float32)


def test_parameters_and_macs_by_hand(variables):
    stem, depthwise = 3 * 5 * 4 + 2 * 4, 3 * 3 * 4 + 2 * 4
    grouped, logits = 2 * 6 + 6, 6 * 2 + 2
    assert parameter_count(variables) == stem + depthwise + grouped + logits
    positions = 3 * 10  # 6 rows halved
    one = positions * (15 * 4 + 9 * 4 + 2 * 6) + 6 * 2
    network = Network(Small(execution=Execution(Form.PLAIN)))
    for batch in (1, 3):
        assert macs(network, jax.ShapeDtypeStruct((batch, *SHAPE[1:]), jnp.float32)) == batch * one


def test_macs_of_products_of_matrices():
    class Attention(nn.Module):
        @nn.compact
        def __call__(self, x, phase: Phase = EVALUATION):
            logits = jax.jit(lambda a: jnp.einsum("bij,bkj->bik", a, a))(x)
            return Outputs(logits, logits, {})

    # Batched, and inside an inner jit: of 2, 5 x 5 products of 7 terms.
    assert macs(Network(Attention()), jax.ShapeDtypeStruct((2, 5, 7), jnp.float32)) == 2 * 5 * 5 * 7


def test_init_takes_a_shape_or_an_array_and_depends_on_the_key(variables):
    other = Network(Small()).init(jax.random.key(1), features())
    chex.assert_trees_all_equal_shapes_and_dtypes(other, variables)
    assert np.any(other["params"]["logits"]["kernel"] != variables["params"]["logits"]["kernel"])


def test_masked_examples_might_as_well_not_be_there(variables):
    network = Network(Small())
    mask = jnp.array([1.0, 0.0, 1.0, 1.0])
    shown = np.asarray(mask) > 0
    train = quick.jit(lambda v, x, m: network.apply(v, x, train=True, mask=m))
    got, moved = train(variables, features().at[1].set(1e3), mask)
    want, wanted = train(variables, features()[shown], None)
    np.testing.assert_allclose(got.logits[shown], want.logits, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(moved, wanted, rtol=1e-4, atol=1e-5)


def test_only_training_moves_statistics(variables):
    network = Network(Small())
    before = jax.tree.map(np.array, variables)
    assert variables.keys() == {"params", "batch_stats"}
    _, same = quick.jit(network.apply)(variables, features())
    chex.assert_trees_all_equal(same, {"batch_stats": variables["batch_stats"]})
    _, moved = quick.jit(lambda v, x: network.apply(v, x, train=True))(variables, features())
    assert moved.keys() == {"batch_stats"}
    assert all(map(np.any, jax.tree.leaves(jax.tree.map(lambda a, b: a != b, moved["batch_stats"],
                                                        variables["batch_stats"]))))  # fmt: skip
    chex.assert_trees_all_equal(variables, before)


def test_dropout_needs_its_key_and_follows_it(variables):
    network = Network(Small(dropout=0.5))
    train = quick.jit(lambda key: network.apply(variables, features(), train=True, rngs={"dropout": key})[0].logits)
    one, same, other = train(jax.random.key(0)), train(jax.random.key(0)), train(jax.random.key(1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_trainable_leaves_out_what_is_frozen_and_merge_puts_it_back(variables):
    params = variables["params"]
    network = Network(Small(), frozen=("stem", "*/norm", "logits/bias"))
    left = network.trainable(params)
    assert left.keys() == {"depthwise", "grouped", "logits"}
    assert left["depthwise"].keys() == {"conv"}
    assert left["logits"].keys() == {"kernel"}
    merged = network.merge(params, jax.tree.map(lambda leaf: leaf + 1, left))
    chex.assert_trees_all_equal_shapes(merged, params)
    chex.assert_trees_all_equal(merged["stem"], params["stem"])
    chex.assert_trees_all_equal(merged["depthwise"]["norm"], params["depthwise"]["norm"])
    np.testing.assert_array_equal(merged["logits"]["kernel"], params["logits"]["kernel"] + 1)
    np.testing.assert_array_equal(merged["logits"]["bias"], params["logits"]["bias"])


def test_without_patterns_everything_is_trainable(variables):
    network, params = Network(Small()), variables["params"]
    assert network.trainable(params) is params
    changed = jax.tree.map(lambda leaf: leaf + 1, params)
    assert network.merge(params, changed) is changed


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        (("stem", "steem"), "nothing to freeze is called 'steem'; this network has depthwise, grouped, logits, stem"),
        (("conv",), "nothing to freeze is called 'conv'; this network has depthwise, grouped, logits, stem"),
        (("",), "nothing to freeze is called ''; this network has depthwise, grouped, logits, stem"),
        (("[dgls]*",), r"freezing \[dgls\]\* leaves nothing to train"),
        (("stem", "depthwise", "*ed", "logits"), r"freezing stem, depthwise, \*ed, logits leaves nothing to train"),
    ],
)
def test_patterns_that_cannot_be_meant(variables, frozen, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        Network(Small(), frozen).trainable(variables["params"])


def test_a_network_of_frozen_layers_trains_on_as_it_evaluates(variables):
    """Of all but the head: its batch norm and dropout are those of evaluation."""
    network = Network(Small(dropout=0.9), frozen=("stem", "depthwise/*", "grouped", "dropout"))
    got, moved = quick.jit(lambda v, x: network.apply(v, x, train=True))(variables, features())
    want, _ = quick.jit(network.apply)(variables, features())
    np.testing.assert_allclose(got.logits, want.logits, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal(moved["batch_stats"], variables["batch_stats"])


def test_it_is_hashable_by_what_it_computes():
    one, same = Network(Small(), ("stem",)), Network(Small(), ("stem",))
    assert (hash(one), one) == (hash(same), same)
    others = [Network(Small()), Network(Small(dropout=0.1), ("stem",)), Network(Small(execution=Execution(Form.PLAIN)))]
    assert one not in others
    assert dataclasses.replace(one, frozen=()) == others[0]


def test_too_small_an_input_is_an_error():
    class Valid(nn.Module):
        @nn.compact
        def __call__(self, x, phase: Phase = EVALUATION):
            x = Conv(1, (9, 1), padding=Padding.VALID, name="stem")(as_maps(x))
            return Outputs(x, x, {})

    with pytest.raises(UserError, match="at stem it has shrunk to 6 x 10"):
        Network(Valid()).init(jax.random.key(0), jax.ShapeDtypeStruct(SHAPE, jnp.float32))
