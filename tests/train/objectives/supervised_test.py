"""Steps on true classes against formulas in NumPy, their gradients by differences."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import losses, train
from hsjax.dsp.augment import Mixed
from hsjax.train.objectives import supervised
from tests.train.objectives import formulas, toys
from tests.train.objectives.toys import HPARAMS, PLAIN

RATE = HPARAMS | {"learning_rate": jnp.float32(1.0)}


def descended(objective, batch, hparams=RATE):
    """The gradient, as a step of rate 1 shows it, and the metrics."""
    learner, state = toys.start(objective, PLAIN)
    step = toys.hurried(lambda *its: train.step(*its), static_argnums=0)  # a new one: what is traced may be replaced
    after, metrics = step(learner, state, batch, hparams, jax.random.key(1))
    moved = jax.tree.map(lambda old, new: old - new, state.variables["params"], after.variables["params"])
    return moved, metrics


def test_a_step_is_that_of_the_mean_by_weight():
    batch = toys.make_batch(0, masked=2)

    def loss(params):
        return formulas.mean(formulas.cross_entropy(formulas.forward(params, batch.inputs)[1], batch.label, 0.1), batch)

    got, metrics = descended(train.Supervised(), batch)
    assert float(metrics["loss"]) == pytest.approx(loss(formulas.double(toys.drawn(PLAIN)["params"])), rel=1e-5)
    chex.assert_trees_all_close(got, formulas.gradient(loss, toys.drawn(PLAIN)["params"]), atol=1e-5)


def test_a_mixture_is_of_both_its_examples_classes_by_both_their_weights(monkeypatch):
    batch = toys.make_batch(0, masked=2)
    partner = np.array([3, 0, 1, 5, 2, 4, 6, 7])
    share = np.array([0.9, 0.5, 0.2, 0.7, 0.0, 0.4, 1.0, 1.0])

    given = []

    def mixed(key, inputs, alpha, mask):
        given.append(alpha)
        by = share[:, None, None].astype(np.float32)
        return Mixed(by * inputs + (1 - by) * inputs[partner], jnp.asarray(partner), jnp.asarray(share, jnp.float32))

    monkeypatch.setattr(supervised, "mixup", mixed)
    inputs = np.asarray(batch.inputs, np.float64)
    seen = share[:, None, None] * inputs + (1 - share)[:, None, None] * inputs[partner]

    def loss(params):
        logits = formulas.forward(params, seen)[1]
        total = weights = 0.0
        for i in range(6):
            for one, part in ((i, share[i]), (partner[i], 1 - share[i])):
                weight = part * float(batch.weight[one])
                total += weight * formulas.cross_entropy(logits[i : i + 1], batch.label[one : one + 1], 0.1)[0]
                weights += weight
        return total / weights

    got, metrics = descended(train.Supervised(mix=True), batch, RATE | {"mixup": jnp.float32(0.3)})
    assert len(given) == 1
    params = toys.drawn(PLAIN)["params"]
    assert float(metrics["loss"]) == pytest.approx(loss(formulas.double(params)), rel=1e-5)
    chex.assert_trees_all_close(got, formulas.gradient(loss, params), atol=1e-5)


def test_mixup_of_nothing_is_no_mixup():
    batch = toys.make_batch(0, masked=2)
    without, with_nothing = (descended(train.Supervised(mix=mix), batch)[0] for mix in (False, True))
    mixed, _ = descended(train.Supervised(mix=True), batch, RATE | {"mixup": jnp.float32(0.5)})
    chex.assert_trees_all_close(without, with_nothing, atol=1e-6)
    assert np.abs(mixed["logits"]["bias"] - without["logits"]["bias"]).max() > 1e-3


@pytest.mark.parametrize("labels", train.Labels)
def test_every_loss_takes_its_own_constant(labels):
    hparams = train.hparams(label_smoothing=0.2, positive_weight=3.0, focal_gamma=1.5)
    logits, label = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32), jnp.array([0, 1, 2, 1, 0])
    p = np.exp(formulas.log_softmax(np.asarray(logits, np.float64)))[np.arange(5), label]
    sigmoid, is_it = 1 / (1 + np.exp(-np.asarray(logits, np.float64))), np.eye(3)[np.asarray(label)]
    want = {
        train.Labels.CROSS_ENTROPY: formulas.cross_entropy(np.asarray(logits, np.float64), label, 0.2),
        train.Labels.BCE: -(3 * is_it * np.log(sigmoid) + (1 - is_it) * np.log(1 - sigmoid)).mean(-1),
        train.Labels.FOCAL: -((1 - p) ** 1.5) * np.log(p),
    }[labels]
    np.testing.assert_allclose(labels(logits, label, hparams), want, rtol=1e-5)


def test_no_smoothing_is_optax_s_cross_entropy():
    batch, hparams = toys.make_batch(0), RATE | {"label_smoothing": jnp.float32(0.0)}
    logits = PLAIN.apply(toys.variables(PLAIN), batch.inputs)[0].logits
    want = losses.cross_entropy(logits, batch.label)
    np.testing.assert_array_equal(train.Labels.CROSS_ENTROPY(logits, batch.label, hparams), want)


def test_of_two_classes_binary_cross_entropy_is_of_the_second_with_its_weight():
    """Its sigmoid is the softmax's probability, so that what is reported is what was trained."""
    rng = np.random.default_rng(0)
    logits, label = 3 * rng.normal(size=(9, 2)), rng.integers(0, 2, 9)
    second = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    want = np.where(label, -5.0 * np.log(second), -np.log(1 - second))
    hparams = HPARAMS | {"positive_weight": jnp.float32(5.0)}
    got = train.Labels.BCE(jnp.asarray(logits, jnp.float32), jnp.asarray(label, jnp.int32), hparams)
    np.testing.assert_allclose(got, want, rtol=1e-5)
