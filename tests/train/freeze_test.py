"""What is frozen stays bit for bit, whatever the optimiser does; what is not moves as if nothing else were there."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hsjax import train
from hsjax.models import Network
from hsjax.models.layers import EVALUATION, ConvNorm, Dense, Dropout, Phase, as_maps, is_frozen
from hsjax.train.step import step
from hsjax.types import Batch, Outputs, UserError

SHAPE = (8, 12)
HPARAMS = train.hparams(learning_rate=0.05, weight_decay=0.1)
FROZEN = ("stem/*", "middle/conv")
STEPS = 3

# What runs a few times only is compiled in a hurry.
hurried = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
)


class Small(nn.Module):
    """Twice convolution and norm, dropout, a linear layer."""

    @nn.compact
    def __call__(self, features, phase: Phase = EVALUATION):
        x = ConvNorm(3, (1, 3), name="stem")(as_maps(features), phase)
        x = ConvNorm(4, (1, 1), name="middle")(x, phase)
        embedding = Dropout(0.3, name="dropout")(jnp.mean(x, (1, 2)), phase)
        return Outputs(Dense(2, name="logits")(embedding), embedding, {})


def make_learner(frozen: tuple[str, ...] = (), rule=train.Rule.SGD, **optimizer) -> train.Learner:
    network = Network(Small(), frozen)
    settings = {"schedule": train.Schedule.CONSTANT, "total_steps": STEPS} | optimizer
    return train.Learner(network, train.Supervised(), train.Optimizer(rule, **settings))


def make_batch(number: int) -> Batch:
    rng = np.random.default_rng(number)
    inputs = (1 + rng.standard_normal((6, *SHAPE))).astype(np.float32)
    label = rng.integers(0, 2, 6).astype(np.int32)
    return Batch(jnp.asarray(inputs), jnp.asarray(label), jnp.ones(6).at[-1].set(0), jnp.ones(6), None)


@functools.cache
def drawn():
    """The weights that every learner here begins with."""
    return jax.tree.map(np.asarray, make_learner().network.init(jax.random.key(0), jnp.zeros((1, *SHAPE))))


def begin(learner: train.Learner) -> train.TrainState:
    """As `Learner.init`, from the same weights, without compiling their distribution again and again."""
    variables = drawn()
    first = jnp.zeros((), jnp.int32)
    trained = learner.network.trainable(variables["params"])
    opt_state = learner.optimizer.transformation(HPARAMS, first).init((trained, {}))
    return train.TrainState(first, jax.tree.map(jnp.asarray, variables), opt_state)


def steps(learner: train.Learner, state: train.TrainState) -> train.TrainState:
    take = hurried(step, static_argnums=0)
    for number in range(STEPS):
        state, metrics = take(learner, state, make_batch(number), HPARAMS, jax.random.key(1))
        assert np.isfinite(metrics["loss"])
    return state


def leaves(tree):
    """By path, without the collection."""
    return {
        tuple(key.key for key in path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


@pytest.mark.parametrize("rule", list(train.Rule))
def test_frozen_parts_stay_bit_for_bit_and_the_rest_moves(rule):
    """With momentum and weight decay, which move a parameter without a gradient."""
    learner = make_learner(FROZEN, rule, clip_norm=1.0)
    after = steps(learner, begin(learner))
    for collection in ("params", "batch_stats"):
        found = {True: 0, False: 0}
        for path, leaf in leaves(after.variables[collection]).items():
            before = leaves(drawn()[collection])[path]
            frozen = is_frozen(path, FROZEN)
            found[frozen] += 1
            if frozen:
                np.testing.assert_array_equal(leaf, before, err_msg="/".join(path))
            else:
                assert np.any(leaf != before), path
        assert found == ({True: 4, False: 4} if collection == "params" else {True: 2, False: 2})


@pytest.mark.parametrize(("rule", "moments"), [(train.Rule.SGD, 1), (train.Rule.ADAM, 2), (train.Rule.LION, 1)])
def test_the_optimiser_remembers_nothing_of_what_is_frozen(rule, moments):
    learner = make_learner(FROZEN, rule)
    trained = [path for path in leaves(drawn()["params"]) if not is_frozen(path, FROZEN)]
    state = jax.eval_shape(
        lambda: learner.init(jax.random.key(0), jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32), HPARAMS)
    )
    arrays = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim]
    assert len(arrays) == moments * len(trained)
    sizes = sum(leaf.size for leaf in arrays)
    assert sizes == moments * sum(leaves(drawn()["params"])[path].size for path in trained)
    chex.assert_trees_all_equal_shapes(state.variables, drawn())


def reference(learner: train.Learner, frozen: tuple[str, ...]):
    """The parameters after the steps by optax alone: SGD with momentum, decayed weights; frozen ones with zero updates.

    Batch norm and dropout are the network's own, which tests/models has.
    """
    network = learner.network
    rule = optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.05, 0.9))
    params, rest = drawn()["params"], {"batch_stats": drawn()["batch_stats"]}
    labels = jax.tree_util.tree_map_with_path(
        lambda path, _: "frozen" if is_frozen(tuple(key.key for key in path), frozen) else "trained", params
    )
    transformation = optax.multi_transform({"frozen": optax.set_to_zero(), "trained": rule}, labels)
    state = transformation.init(params)

    @hurried
    def gradient(params, rest, batch, key):
        def loss(p):
            outputs, moved = network.apply({"params": p, **rest}, batch.inputs, True, {"dropout": key}, batch.mask)
            values = optax.softmax_cross_entropy_with_integer_labels(outputs.logits, batch.label)
            return jnp.sum(values * batch.mask) / jnp.sum(batch.mask), moved

        return jax.grad(loss, has_aux=True)(params)

    for number in range(STEPS):
        key = jax.random.fold_in(jax.random.key(1), number)
        by_params, rest = gradient(params, rest, make_batch(number), key)
        updates, state = transformation.update(by_params, state, params)
        params = optax.apply_updates(params, updates)
    return {"params": params, **rest}


@pytest.mark.parametrize("frozen", [(), FROZEN])
def test_what_is_trained_moves_as_optax_moves_it(frozen):
    learner = make_learner(frozen)
    after = steps(learner, begin(learner))
    assert int(after.step) == STEPS
    chex.assert_trees_all_close(after.variables, reference(learner, frozen), rtol=2e-4, atol=2e-5)


def test_a_pattern_without_a_match_stops_before_the_first_step():
    with pytest.raises(UserError, match="nothing to freeze is called 'stemm'"):
        make_learner(("stemm",)).init(jax.random.key(0), jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32), HPARAMS)


def test_training_begins_where_it_is_told_to():
    learner = make_learner()
    state = jax.jit(lambda: learner.init(
        jax.random.key(5), jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32), HPARAMS,
        lambda variables: jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.5), variables),
    ))()  # fmt: skip
    assert all(np.all(leaf == 0.5) for leaf in jax.tree.leaves(state.variables))


def test_fit_keeps_what_is_frozen_and_goes_on_from_its_checkpoint(tmp_path):
    """Through epochs, the best of which is kept, and through an interruption."""
    learner = make_learner(FROZEN, train.Rule.ADAM)
    batch = make_batch(0)

    def fit(epochs: int):
        return train.fit(
            learner, batch, batch.inputs, lambda logits: {"accuracy": -float(np.square(logits).mean())},
            hparams=HPARAMS, key=jax.random.key(0), epochs=epochs, batch_size=4, patience=0, select="accuracy",
            directory=tmp_path, start=lambda variables: jax.tree.map(jnp.asarray, drawn()),
        )  # fmt: skip

    for epochs in (1, 2):
        fitted = fit(epochs)
        assert fitted.epochs == epochs
        for path, leaf in leaves(fitted.variables["params"]).items():
            same = np.array_equal(leaf, leaves(drawn()["params"])[path])
            assert same == is_frozen(path, FROZEN), path
