"""Distillation from teachers, itself and a peer, against formulas in NumPy, their gradients by differences."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import losses, train
from hsjax.types import UserError
from tests.train.objectives import formulas, toys
from tests.train.objectives.toys import HPARAMS, PLAIN, STUDENT, TEACHERS, WIDE

RATE = HPARAMS | {"learning_rate": jnp.float32(1.0)}
FITNET = train.Hint(train.HintLoss.FITNET, (("hidden", "double"),))
ALPHA, T, SMOOTHING = 0.4, 2.0, 0.1
step = toys.hurried(train.step, static_argnums=0)


def moved(before, after):
    return jax.tree.map(lambda old, new: old - new, before, after)


def taken(objective, batch, hparams=RATE, network=PLAIN, steps=1, **settings):
    learner, state = toys.start(objective, network, **settings)
    for _ in range(steps):
        state, metrics = step(learner, state, batch, hparams, jax.random.key(1))
    return state, metrics


def test_one_step_by_hand_of_classes_teacher_and_hint():
    batch = toys.make_batch(0, masked=2)
    objective = train.Distil(scale_by_t2=True, hints=(FITNET,), teachers=(WIDE,))
    learner, state = toys.start(objective, PLAIN)
    after, metrics = step(learner, state, batch, RATE, jax.random.key(1))
    teacher = formulas.forward(formulas.double(toys.drawn(WIDE, 1)["params"]), batch.inputs)

    def terms(trained):
        params, head = trained
        embedding, logits = formulas.forward(params, batch.inputs)
        guess = embedding @ head["kernel"] + head["bias"]
        return {
            "labels": formulas.mean(formulas.cross_entropy(logits, batch.label, SMOOTHING), batch),
            "soft": T**2 * formulas.mean(formulas.soft(logits, teacher[1], T), batch),
            "hint_fitnet": formulas.mean(((guess - 2 * teacher[0]) ** 2).mean(-1), batch),
        }

    def loss(trained):
        found = terms(trained)
        return ALPHA * found["labels"] + (1 - ALPHA) * found["soft"] + 0.5 * found["hint_fitnet"]

    before = state.variables["params"], state.heads["hint_fitnet"][0]
    want = terms(formulas.double(before)) | {"loss": loss(formulas.double(before))}
    assert {name: float(value) for name, value in metrics.items()} == pytest.approx(want, rel=1e-5)
    got = moved(before, (after.variables["params"], after.heads["hint_fitnet"][0]))
    chex.assert_trees_all_close(got, formulas.gradient(loss, before), atol=2e-5)


def test_of_several_teachers_it_is_the_mean_probability_that_is_softened():
    batch = toys.make_batch(0, masked=2)
    logits = [formulas.forward(formulas.double(toys.drawn(WIDE, seed)["params"]), batch.inputs)[1] for seed in (1, 2)]
    together = np.log(np.mean([np.exp(formulas.log_softmax(each)) for each in logits], 0))
    got, metrics = taken(train.Distil(teachers=(WIDE, WIDE)), batch)
    held = batch._replace(teacher_logits=jnp.asarray(together, jnp.float32))
    want, its_metrics = taken(train.Distil(), held)
    assert float(metrics["soft"]) == pytest.approx(float(its_metrics["soft"]), rel=1e-5)
    chex.assert_trees_all_close(got.variables, want.variables, atol=1e-6)


def test_of_several_teachers_binary_questions_have_the_mean_sigmoid():
    """Three classes: each is a question of its own, and log probabilities are no logits of it."""
    batch = toys.make_batch(0, masked=2)
    logits = [formulas.forward(formulas.double(toys.drawn(WIDE, seed)["params"]), batch.inputs)[1] for seed in (1, 2)]
    mean = np.mean([1 / (1 + np.exp(-each)) for each in logits], 0)
    held = batch._replace(teacher_logits=jnp.asarray(np.log(mean / (1 - mean)), jnp.float32))
    got, want = (
        taken(train.Distil(soft=train.Soft.BCE, teachers=teachers), its, RATE | {"temperature": jnp.float32(1.0)})[1]
        for teachers, its in (((WIDE, WIDE), batch), ((), held))
    )
    assert float(got["soft"]) == pytest.approx(float(want["soft"]), rel=1e-5)


def test_of_two_classes_binary_distillation_is_that_of_the_softmax():
    rng = np.random.default_rng(0)
    logits, teacher = (jnp.asarray(3 * rng.normal(size=(8, 2)), jnp.float32) for _ in range(2))
    batch = toys.make_batch(0, masked=2)
    got = train.Soft.BCE(logits, teacher, batch, RATE)
    want = formulas.mean(formulas.soft(np.asarray(logits, np.float64), teacher, T), batch)
    assert float(got) == pytest.approx(want, rel=1e-5)
    shifted = train.Soft.BCE(logits, teacher + 5.0, batch, RATE)  # which no softmax tells
    assert float(shifted) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("soft", [train.Soft.DKD, train.Soft.DIST, train.Soft.STANDARDISED])
def test_a_second_square_of_the_temperature_is_refused(soft):
    with pytest.raises(UserError, match=f"soft={soft.value} is multiplied by T.2 already"):
        train.Distil(soft=soft, scale_by_t2=True)


def test_what_weighs_nothing_changes_nothing():
    batch = toys.make_batch(0, masked=1)
    zero = RATE | dict.fromkeys(toys.HINTS, jnp.float32(0.0)) | {"alpha": jnp.float32(1.0)}
    plain, _ = taken(train.Supervised(), batch, zero, STUDENT, steps=2)
    hints = tuple(train.Hint(loss) for loss in (train.HintLoss.FITNET, train.HintLoss.CRD, train.HintLoss.PKT))
    for objective in (
        train.Distil(teachers=TEACHERS[:1]),
        train.Distil(soft=None, hints=hints, teachers=TEACHERS[:1]),
        train.SelfDistil(),
        train.Mutual(peer=TEACHERS[0]),
    ):
        state, metrics = taken(objective, batch, zero, STUDENT, steps=2)
        chex.assert_trees_all_close(state.variables, plain.variables, atol=1e-6)
        assert set(metrics) > {"loss", "labels"}


def test_classes_that_weigh_nothing_change_nothing():
    batch = toys.make_batch(0, teacher=True)
    other = batch._replace(label=(batch.label + 1) % toys.CLASSES)
    hparams = RATE | {"alpha": jnp.float32(0.0)}
    one, two = (taken(train.Distil(), each, hparams)[0] for each in (batch, other))
    chex.assert_trees_all_equal(one.variables, two.variables)


def test_frozen_teachers_stay_bit_for_bit():
    """Through decay, momentum and hints, which see what is inside of them; also their batch statistics."""
    objective = train.Distil(hints=(train.Hint(train.HintLoss.VID),), teachers=TEACHERS)
    hparams = RATE | {"weight_decay": jnp.float32(0.3)}
    state, _ = taken(objective, toys.make_batch(0), hparams, STUDENT, steps=3, rule=train.Rule.ADAMW)
    for number, (network, held) in enumerate(zip(TEACHERS, state.fixed[train.TEACHERS], strict=True)):
        chex.assert_trees_all_equal(held, toys.drawn(network, 1 + number))


def test_teachers_are_evaluated():
    """With their running statistics, not with the batch's."""
    batch = toys.make_batch(0)
    _, metrics = taken(train.Distil(teachers=TEACHERS[:1]), batch, RATE, STUDENT)
    logits = TEACHERS[0].apply(toys.variables(TEACHERS[0], 1), batch.inputs)[0].logits
    _, want = taken(train.Distil(), batch._replace(teacher_logits=logits), RATE, STUDENT)
    assert float(metrics["soft"]) == pytest.approx(float(want["soft"]), rel=1e-5)


def test_its_own_teacher_is_the_average_of_its_weights():
    batch = toys.make_batch(0, masked=2)
    learner, state = toys.start(train.SelfDistil(), PLAIN)
    average = formulas.double(state.variables)
    for decay in (1 / 2, 2 / 3, 3 / 4):
        logits, teacher = (
            formulas.forward(formulas.double(its["params"]), batch.inputs)[1] for its in (state.variables, average)
        )
        state, metrics = step(learner, state, batch, RATE, jax.random.key(1))
        want = formulas.mean(formulas.soft(logits, teacher, T), batch)
        assert float(metrics["soft"]) == pytest.approx(want, rel=1e-5)
        labels = formulas.mean(formulas.cross_entropy(logits, batch.label, SMOOTHING), batch)
        assert float(metrics["loss"]) == pytest.approx(ALPHA * labels + (1 - ALPHA) * want, rel=1e-5)
        average = jax.tree.map(
            lambda held, new, by=decay: by * held + (1 - by) * np.asarray(new, np.float64), average, state.variables
        )
        chex.assert_trees_all_close(state.memory["teacher"], average, atol=1e-6)
    # From here on the constant is what bounds it.
    state = state._replace(step=jnp.int32(100))
    state, _ = step(learner, state, batch, RATE, jax.random.key(1))
    average = jax.tree.map(lambda held, new: 0.9 * held + 0.1 * np.asarray(new), average, state.variables)
    chex.assert_trees_all_close(state.memory["teacher"], average, atol=1e-6)


def test_both_networks_learn_from_classes_and_from_each_other():
    batch = toys.make_batch(0, masked=2)
    learner, state = toys.start(train.Mutual(peer=WIDE), PLAIN)
    # Not what they begin with, which is near zero.
    state = state._replace(heads={"peer": toys.variables(WIDE, 5)["params"]})
    after, metrics = step(learner, state, batch, RATE, jax.random.key(1))
    ours, theirs = formulas.double((state.variables["params"], state.heads["peer"]))
    fixed = [formulas.forward(params, batch.inputs)[1] for params in (ours, theirs)]

    def of(params, teacher):
        logits = formulas.forward(params, batch.inputs)[1]
        labels = formulas.mean(formulas.cross_entropy(logits, batch.label, SMOOTHING), batch)
        return ALPHA * labels + (1 - ALPHA) * formulas.mean(formulas.soft(logits, teacher, T), batch)

    assert float(metrics["loss"]) == pytest.approx(of(ours, fixed[1]) + of(theirs, fixed[0]), rel=1e-5)
    got = moved((state.variables["params"], state.heads["peer"]), (after.variables["params"], after.heads["peer"]))
    want = formulas.gradient(lambda p: of(p, fixed[1]), ours), formulas.gradient(lambda p: of(p, fixed[0]), theirs)
    chex.assert_trees_all_close(got, want, atol=2e-5)


def test_the_peer_has_running_statistics_of_its_own():
    batch = toys.make_batch(0)
    learner, state = toys.start(train.Mutual(peer=STUDENT), STUDENT)
    after, _ = step(learner, state, batch, RATE, jax.random.key(1))
    before, moved_on = (one.memory["peer"]["batch_stats"]["stem"]["norm"]["mean"] for one in (state, after))
    assert np.abs(moved_on - before).max() > 0
    ours = after.variables["batch_stats"]["stem"]["norm"]["mean"]
    assert np.abs(moved_on - ours).max() > 0


@pytest.mark.parametrize("soft", train.Soft)
def test_every_soft_loss_takes_its_own_constants(soft):
    """Each by its name, with constants that are all different."""
    hp = train.hparams(temperature=3.0, dkd_alpha=0.7, dkd_beta=5.0, dist_beta=0.3, dist_gamma=1.9)
    batch = toys.make_batch(0, masked=2, teacher=True)
    logits, teacher = jnp.asarray(np.random.default_rng(1).normal(size=(8, 3)), jnp.float32), batch.teacher_logits
    functions = {
        train.Soft.KD: lambda: losses.soft_cross_entropy(logits, teacher, 3.0),
        train.Soft.BCE: lambda: losses.soft_bce(logits, teacher, 3.0),
        train.Soft.DKD: lambda: losses.dkd(logits, batch.label, teacher, temperature=3.0, alpha=0.7, beta=5.0),
        train.Soft.TTM: lambda: losses.ttm(logits, teacher, 3.0),
        train.Soft.WTTM: lambda: losses.wttm(logits, teacher, 3.0),
        train.Soft.STANDARDISED: lambda: losses.standardised_kl(logits, teacher, 3.0),
    }
    if soft is train.Soft.DIST:
        want = losses.dist(logits, teacher, batch.mask, temperature=3.0, beta=0.3, gamma=1.9)
    else:
        want = formulas.mean(np.asarray(functions[soft](), np.float64), batch)
    assert float(soft(logits, teacher, batch, hp)) == pytest.approx(float(want), rel=1e-5)
