"""The step around any objective: averages, clipping, freezing, precision, randomness, resuming."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import models, train
from hsjax.train.step import gradients
from tests.train.objectives import toys
from tests.train.objectives.toys import HPARAMS, PLAIN, STUDENT, TEACHERS, WIDE

KEY = jax.random.key(1)
RATE = HPARAMS | {"learning_rate": jnp.float32(0.5)}
FITNET = train.Distil(hints=(train.Hint(train.HintLoss.FITNET),), teachers=(WIDE,))
step = toys.hurried(train.step, static_argnums=0)


def moved(before, after):
    return jax.tree.map(lambda old, new: np.asarray(old, np.float64) - np.asarray(new, np.float64), before, after)


def trained(state):
    return state.variables["params"], state.heads


def norm(tree):
    return np.sqrt(sum(np.square(leaf).sum() for leaf in jax.tree.leaves(tree)))


def test_the_average_follows_and_is_what_is_kept():
    learner, state = toys.start(train.Supervised(), averages=True)
    average = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), state.variables)
    for number, decay in enumerate((1 / 2, 2 / 3, 3 / 4)):
        state, _ = step(learner, state, toys.make_batch(number), RATE, KEY)
        average = jax.tree.map(
            lambda held, new, by=decay: by * held + (1 - by) * np.asarray(new), average, state.variables
        )
        chex.assert_trees_all_close(state.average, average, atol=1e-6)
    chex.assert_trees_all_equal(learner.result(state), state.average)
    state, _ = step(learner, state._replace(step=jnp.int32(50)), toys.make_batch(3), RATE, KEY)
    average = jax.tree.map(lambda held, new: 0.9 * held + 0.1 * np.asarray(new), average, state.variables)
    chex.assert_trees_all_close(state.average, average, atol=1e-6)


def test_keeping_an_average_changes_no_weight():
    states = []
    for averages in (False, True):
        learner, state = toys.start(train.Supervised(), averages=averages, momentum=0.9)
        for number in range(3):
            state, _ = step(learner, state, toys.make_batch(number), RATE, KEY)
        states.append(state)
    chex.assert_trees_all_close(states[0].variables, states[1].variables, atol=1e-7)
    chex.assert_trees_all_equal(toys.start(train.Supervised())[0].result(states[0]), states[0].variables)


def test_clipping_counts_the_heads_in():
    """To a norm below that of the parameters alone, and to one above that of all."""
    batch = toys.make_batch(0)
    learner, state = toys.start(FITNET, PLAIN)
    gradient, *_ = toys.hurried(gradients, static_argnums=0)(learner, state, batch, RATE, KEY)
    gradient = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), gradient)
    whole = norm(gradient)
    assert norm(gradient[1]) > 0.05 * whole
    for bound in (0.1 * whole, 2 * whole):
        clipped, begun = toys.start(FITNET, PLAIN, clip_norm=float(bound))
        after, _ = step(clipped, begun, batch, RATE, KEY)
        want = jax.tree.map(lambda leaf, by=bound: 0.5 * leaf * min(1.0, by / whole), gradient)
        chex.assert_trees_all_close(moved(trained(begun), trained(after)), want, atol=1e-6)
    clipped, begun = toys.start(FITNET, PLAIN, clip_value=0.05)
    after, _ = step(clipped, begun, batch, RATE, KEY)
    want = jax.tree.map(lambda leaf: 0.5 * np.clip(leaf, -0.05, 0.05), gradient)
    chex.assert_trees_all_close(moved(trained(begun), trained(after)), want, atol=1e-6)
    assert any((np.abs(leaf) > 0.05).any() for leaf in jax.tree.leaves(gradient))


def test_what_is_frozen_stays_while_heads_learn():
    network = dataclasses.replace(STUDENT, frozen=("stem",))
    objective = train.Distil(hints=(train.Hint(train.HintLoss.FITNET),), teachers=TEACHERS[:1])
    learner, state = toys.start(objective, network, rule=train.Rule.ADAMW)
    after, _ = step(learner, state, toys.make_batch(0), RATE | {"weight_decay": jnp.float32(0.1)}, KEY)
    for collection in ("params", "batch_stats"):
        chex.assert_trees_all_equal(after.variables[collection]["stem"], toys.drawn(STUDENT)[collection]["stem"])
    change = moved(trained(state), trained(after))
    for leaf in jax.tree.leaves((change[0]["hidden"], change[0]["logits"], change[1])):
        assert np.abs(leaf).max() > 0


def test_a_linear_probe_moves_the_logits_alone():
    network = dataclasses.replace(STUDENT, frozen=("*", "!logits"))
    learner, state = toys.start(train.Supervised(), network, averages=True)
    for number in range(2):
        state, _ = step(learner, state, toys.make_batch(number), RATE, KEY)
    begun = toys.drawn(STUDENT)
    for name in ("stem", "hidden"):
        chex.assert_trees_all_equal(state.variables["params"][name], begun["params"][name])
    for held in (state.variables, state.average):
        chex.assert_trees_all_close(held["batch_stats"], begun["batch_stats"], rtol=1e-6, atol=0)
        for name in ("stem", "hidden"):
            chex.assert_trees_all_close(held["params"][name], begun["params"][name], rtol=1e-6, atol=0)
        for leaf, old in zip(*map(jax.tree.leaves, (held["params"]["logits"], begun["params"]["logits"])), strict=True):
            assert np.abs(leaf - old).max() > 0


def test_half_precision_is_of_activations_alone():
    network = dataclasses.replace(STUDENT, precision=models.Precision.BFLOAT16)
    batch, objective = toys.make_batch(0), train.Mutual(peer=network)
    found = []
    for one in (STUDENT, network):
        learner, state = toys.start(train.Mutual(peer=one), one)
        after, metrics = step(learner, state, batch, RATE, KEY)
        assert {leaf.dtype for leaf in jax.tree.leaves(after) if leaf.dtype != jnp.int32} == {jnp.dtype("float32")}
        found.append((moved(trained(state), trained(after)), float(metrics["loss"])))
    (exact, loss), (rounded, its_loss) = found
    assert 0 < abs(its_loss - loss) < 0.02 * loss
    a, b = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (exact, rounded))
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.99
    assert objective == learner.objective


def test_every_step_sees_other_views_and_the_same_step_the_same():
    """At a learning rate of 0, so that nothing but the views can change the loss."""
    still = HPARAMS | {"learning_rate": jnp.float32(0.0)}
    learner, state = toys.start(train.Supervised(views=toys.NOISY), PLAIN)
    losses, batch, begun = [], toys.make_batch(0), state
    for _ in range(3):
        state, metrics = step(learner, state, batch, still, KEY)
        losses.append(float(metrics["loss"]))
    assert len(set(losses)) == 3
    again = step(learner, begun._replace(step=jnp.int32(2)), batch, still, KEY)[1]
    assert float(again["loss"]) == losses[2]
    assert float(step(learner, begun, batch, still, jax.random.key(2))[1]["loss"]) != losses[0]
    chex.assert_trees_all_equal(state.variables, begun.variables)


@pytest.mark.parametrize(
    "objective",
    [
        train.Distil(mix=True, hints=(train.Hint(train.HintLoss.CRD),), teachers=TEACHERS[:1], views=toys.NOISY),
        train.Contrast(train.Contrastive.MOCO, (7, 6), 5, 20, views=toys.NOISY),
        train.Mutual(peer=TEACHERS[0], mix=True),
    ],
    ids=["distil", "moco", "mutual"],
)
def test_memories_heads_and_randomness_go_on_where_they_were(objective, tmp_path, monkeypatch):
    """Epoch by epoch, each from its checkpoint, as in one go, bit for bit."""
    monkeypatch.setattr(train.Threads, "options", property(lambda self: toys.HURRY))
    train.dispatch.compiled.cache_clear()
    learner, state = toys.start(objective, averages=True, rule=train.Rule.ADAM)
    data, hparams = toys.make_batch(1, 19)._replace(index=None), HPARAMS | {"mixup": jnp.float32(0.4)}

    def fit(directory, epochs):
        return train.fit(
            learner, data, data.inputs, None, hparams=hparams, key=KEY, epochs=epochs, batch_size=toys.SIZE,
            patience=0, select=train.LAST, directory=directory, start=lambda _: toys.variables(STUDENT),
            fixed=state.fixed,
        )  # fmt: skip

    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = fit(tmp_path / "whole", 3)
    for epochs in (1, 2, 3):
        resumed = fit(tmp_path / "parts", epochs)
    train.dispatch.compiled.cache_clear()
    chex.assert_trees_all_equal(resumed.variables, whole.variables)
    logs = [train.read_log(tmp_path / name / "metrics.jsonl") for name in ("whole", "parts")]
    assert [row["train"] for row in logs[0]] == [row["train"] for row in logs[1]]
    assert len({row["train"]["loss"] for row in logs[0]}) == 3
