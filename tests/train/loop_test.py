import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special

from hsjax import models, train
from hsjax.train import sources as loop
from hsjax.train.objectives import weighted_mean
from hsjax.types import Batch, UserError

HPARAMS = train.hparams(learning_rate=3e-3, temperature=4.0, alpha=0.3)
SIZE, BATCH, EPOCHS = 50, 16, 3


def make_data(seed: int = 0, size: int = SIZE, teacher: bool = False) -> Batch:
    """Two classes that differ in the mean of a few coefficients."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, size)
    inputs = rng.standard_normal((size, 13, 24)).astype(np.float32)
    inputs[:, :4] += 1.5 * label[:, None, None] - 0.75
    logits = jnp.asarray(np.stack([-2.0 * label, 2.0 * label], 1), jnp.float32) if teacher else None
    return Batch(jnp.asarray(inputs), jnp.asarray(label, jnp.int32), jnp.ones(size), jnp.ones(size), logits)


def make_learner(objective=None, rule=train.Rule.ADAM, **optimizer):
    settings = {"schedule": train.Schedule.COSINE, "total_steps": EPOCHS * 4} | optimizer
    network = models.build("song-student", num_classes=2)
    return train.Learner(network, objective or train.Supervised(), train.Optimizer(rule=rule, **settings))


def validate(logits: np.ndarray) -> dict[str, float]:
    data = make_data(1, 40)
    loss = -scipy.special.log_softmax(logits, -1)[np.arange(40), np.asarray(data.label)].mean()
    return {"loss": float(loss), "minus_loss": -float(loss)}


def fit(directory, learner=None, data=None, **changes):
    settings = {
        "hparams": HPARAMS, "key": jax.random.key(7), "epochs": EPOCHS, "batch_size": BATCH, "patience": 0,
        "select": "minus_loss", "directory": directory,
    } | changes  # fmt: skip
    data = make_data() if data is None else data
    return train.fit(learner or make_learner(), data, make_data(1, 40).inputs, validate, **settings)


def test_epoch_order_is_a_permutation_of_its_epoch_alone():
    key = jax.random.key(0)
    first, second = (np.asarray(loop.epoch_order(key, epoch, size=50, batch_size=16)) for epoch in (1, 2))
    assert first.shape == (4, 16)
    for order in (first, second):
        np.testing.assert_array_equal(np.sort(order.ravel()), np.r_[[-1] * 14, np.arange(50)])
    assert (first != second).any()
    np.testing.assert_array_equal(first, loop.epoch_order(key, 1, size=50, batch_size=16))


def test_padding_is_masked():
    batch = loop.gather(make_data(), jnp.array([3, -1]))
    np.testing.assert_array_equal(batch.mask, [1, 0])


class StepTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_step_is_optax_s_by_hand(self):
        learner, data = make_learner(schedule=train.Schedule.CONSTANT), make_data()
        state = learner.init(jax.random.key(0), jax.ShapeDtypeStruct((1, 13, 24), jnp.float32), HPARAMS)
        got, metrics = self.variant(lambda s, b: train.step(learner, s, b, HPARAMS, jax.random.key(1)))(state, data)

        def loss(params):
            logits = learner.network.apply({"params": params}, data.inputs)[0].logits
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, data.label))

        params = state.variables["params"]
        value, gradient = jax.value_and_grad(loss)(params)
        adam = optax.adam(3e-3)
        want = optax.apply_updates(params, adam.update(gradient, adam.init(params))[0])
        chex.assert_trees_all_close(got.variables["params"], want, atol=1e-5)
        chex.assert_trees_all_close(metrics["loss"], value, rtol=1e-5)
        assert int(got.step) == 1

    @chex.variants(with_jit=True)
    def test_masked_examples_do_not_matter_whatever_they_hold(self):
        learner, data = make_learner(), make_data()
        state = learner.init(jax.random.key(0), jax.ShapeDtypeStruct((1, 13, 24), jnp.float32), HPARAMS)
        keep = jnp.arange(SIZE) < 20
        broken = data._replace(inputs=jnp.where(keep[:, None, None], data.inputs, 1e6), mask=keep.astype(jnp.float32))
        short = jax.tree.map(lambda leaf: leaf[:20], data)
        step = self.variant(lambda s, b: train.step(learner, s, b, HPARAMS, jax.random.key(1))[0].variables)
        chex.assert_trees_all_close(step(state, broken), step(state, short), atol=1e-5)

    def test_distilling_from_a_teacher_with_alpha_one_is_supervised_training(self):
        data, hparams = make_data(teacher=True), HPARAMS | {"alpha": jnp.float32(1.0)}
        states = []
        for objective in (train.Supervised(), train.Distil()):
            learner = make_learner(objective)
            state = learner.init(jax.random.key(0), jax.ShapeDtypeStruct((1, 13, 24), jnp.float32), hparams)
            states.append(jax.jit(train.step, static_argnums=0)(learner, state, data, hparams, jax.random.key(1))[0])
        chex.assert_trees_all_close(states[0].variables, states[1].variables, atol=1e-6)


def test_weighted_mean_by_hand():
    batch = Batch(None, None, jnp.array([1.0, 1, 0, 1]), jnp.array([1.0, 2, 1, 0]))
    values = jnp.array([3.0, 6, jnp.inf, jnp.nan])
    assert float(weighted_mean(values, batch)) == pytest.approx(5.0)
    assert float(weighted_mean(values, batch._replace(mask=jnp.zeros(4)))) == 0.0


def test_schedules_by_hand():
    cosine = train.Optimizer(train.Rule.SGD, train.Schedule.COSINE, total_steps=11, warmup_steps=1)
    factors = [float(cosine.factor(jnp.int32(step))) for step in (0, 1, 6, 11)]
    np.testing.assert_allclose(factors, [0.5, 1.0, 0.5, 0.0], atol=1e-6)
    constant = train.Optimizer(train.Rule.SGD, train.Schedule.CONSTANT, total_steps=11)
    assert float(constant.factor(jnp.int32(9))) == 1.0


@pytest.mark.parametrize("rule", [train.Rule.ADAM, train.Rule.SGD])
@pytest.mark.parametrize("objective", [train.Supervised(), train.Distil()])
def test_loss_falls(rule, objective, tmp_path):
    learner = make_learner(objective, rule)
    fit(tmp_path, learner, make_data(teacher=True), epochs=4)
    rows = train.read_log(tmp_path / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["train"]["loss"] < rows[0]["train"]["loss"]
    if type(objective) is train.Supervised:
        assert rows[-1]["validation"]["loss"] < np.log(2)


def test_scan_and_steps_train_the_same(tmp_path):
    one, other = (fit(tmp_path / d.value, dispatch=d) for d in (train.Dispatch.STEPS, train.Dispatch.SCAN))
    chex.assert_trees_all_close(one.variables, other.variables, atol=1e-4)


def test_resumed_after_any_epoch_ends_bit_identical(tmp_path):
    whole = fit(tmp_path / "whole")
    log = train.read_log(tmp_path / "whole" / "metrics.jsonl")
    for stop in range(1, EPOCHS):
        directory = tmp_path / f"stopped-{stop}"

        class Killed(BaseException):
            pass

        done = 0

        def kill(steps, stop=stop):
            nonlocal done
            done += steps
            if done > stop * 4 + 1:  # in the middle of the next epoch
                raise Killed

        with pytest.raises(Killed):
            fit(directory, progress=kill)
        resumed = fit(directory)
        chex.assert_trees_all_equal(resumed.variables, whole.variables)
        again = train.read_log(directory / "metrics.jsonl")
        assert [row | {"seconds": 0} for row in again] == [row | {"seconds": 0} for row in log]


def test_early_stopping_keeps_the_best_epoch(tmp_path):
    # 0.9 has no float32 of its own: an equal score must not count as better.
    scores = iter([0.1, 0.9, 0.9, 0.9, 0.95])
    learner, data = make_learner(), make_data()
    kept = []

    def scripted(logits):
        kept.append(logits)
        return {"score": next(scores)}

    inputs = make_data(1, 40).inputs
    fitted = train.fit(
        learner, data, inputs, scripted, hparams=HPARAMS, key=jax.random.key(7), epochs=5, batch_size=BATCH,
        patience=2, select="score", directory=tmp_path,
    )  # fmt: skip
    assert (fitted.best_epoch, fitted.epochs) == (2, 4)
    np.testing.assert_array_equal(train.logits(learner.network, fitted.variables, inputs), kept[1])


def test_non_finite_loss_stops_with_the_place(tmp_path):
    data = make_data()
    bad = data._replace(inputs=data.inputs.at[11].set(jnp.nan))
    with pytest.raises(UserError, match=r"not finite at epoch 1, step \d of 4 .*not finite either.*non-finite"):
        fit(tmp_path, data=bad)
    with np.load(tmp_path / "non-finite.npz") as saved:
        assert 11 in saved["index"]  # the batch that it was
        step = int(saved["step"])
        order = loop.epoch_order(jax.random.split(jax.random.key(7), 3)[1], 1, size=SIZE, batch_size=BATCH)
        np.testing.assert_array_equal(saved["index"], order[step - 1])
        np.testing.assert_array_equal(saved["inputs"], np.asarray(bad.inputs)[saved["index"]])
        assert json.loads(str(saved["hparams"]))["learning_rate"] == pytest.approx(3e-3)


@pytest.mark.parametrize("rate", [3e38, np.inf])
def test_a_network_that_the_last_update_ruins_is_refused(rate, tmp_path):
    """Weights that are finite, and logits that are not; no weight. The loss before was finite, and no epoch follows."""
    data = make_data()
    with pytest.raises(UserError, match="are not finite after epoch 1: lower learning_rate"):
        fit(
            tmp_path,
            data=data,
            epochs=1,
            batch_size=len(data.label),
            hparams=HPARAMS | {"learning_rate": jnp.float32(rate)},
        )


def test_constants_do_not_recompile(tmp_path):
    learner, data = make_learner(), make_data()
    state = learner.init(jax.random.key(0), jax.ShapeDtypeStruct((1, 13, 24), jnp.float32), HPARAMS)
    traced = jax.jit(chex.assert_max_traces(train.step, n=1), static_argnums=0)
    for rate in (1e-3, 1e-2):
        state, _ = traced(learner, state, data, HPARAMS | {"learning_rate": jnp.float32(rate)}, jax.random.key(0))


def test_log_lines_are_whole_json(tmp_path):
    fit(tmp_path, epochs=1)
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        assert json.loads(line)["epoch"] == 1
