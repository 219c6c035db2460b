"""Rules against optax called plainly with constants; schedules against the papers' formulas in float64."""

import dataclasses
import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hsjax.train.optimizer import Optimizer, Rule, Schedule
from hsjax.types import UserError
from tests.models.layers import quick

RATE, DECAY, STEPS = 0.02, 0.3, 20

# Of optax, with the constants that its function for the rule has by default.
PLAIN = {
    Rule.ADAM: optax.chain(optax.add_decayed_weights(DECAY), optax.adam(RATE)),
    Rule.ADAMW: optax.adamw(RATE, weight_decay=DECAY),
    Rule.SGD: optax.chain(optax.add_decayed_weights(DECAY), optax.sgd(RATE, 0.9)),
    Rule.NADAM: optax.chain(optax.add_decayed_weights(DECAY), optax.nadam(RATE)),
    Rule.RADAM: optax.chain(optax.add_decayed_weights(DECAY), optax.radam(RATE)),
    Rule.RMSPROP: optax.chain(optax.add_decayed_weights(DECAY), optax.rmsprop(RATE)),
    Rule.ADAGRAD: optax.chain(optax.add_decayed_weights(DECAY), optax.adagrad(RATE)),
    Rule.LION: optax.lion(RATE, weight_decay=DECAY),
    Rule.LAMB: optax.lamb(RATE, weight_decay=DECAY),
    Rule.ADAFACTOR: optax.adafactor(RATE, weight_decay_rate=RATE * DECAY),
}


def params(dtype=jnp.float32):
    draw = np.random.default_rng(0).normal
    # 128 rows and columns are what Adafactor begins to factor at.
    shapes = {"kernel": (128, 130), "bias": (5,)}
    return {name: jnp.asarray(draw(size=shape), dtype) for name, shape in shapes.items()}


def loss(values):
    """Not quadratic, and of another curvature for every parameter."""
    return sum(jnp.sum(jnp.cosh((k + 1.0) * 0.3 * (v - 0.5))) for k, v in enumerate(values.values()))


def run_beside(optimizer, plain, values, dtype=jnp.float32, steps=STEPS):
    """Parameters after some steps by ours and by optax's transformation."""
    make = ours(optimizer, dtype=dtype)

    @quick.jit
    def one(both, states, step):
        moved = [
            made.update(jax.grad(loss)(values), state, values)
            for made, values, state in zip((make(step), plain), both, states, strict=True)
        ]
        updated = [optax.apply_updates(values, updates) for values, (updates, _) in zip(both, moved, strict=True)]
        return updated, [state for _, state in moved], step + 1

    both, step = [values, values], jnp.int32(0)
    states = [make(step).init(values), plain.init(values)]
    for _ in range(steps):
        both, states, step = one(both, states, step)
    return both


def constant(rule, **more):
    return Optimizer(rule, Schedule.CONSTANT, STEPS, **more)


def ours(optimizer, rate=RATE, decay=DECAY, dtype=jnp.float32):
    hparams = {"learning_rate": jnp.asarray(rate, dtype), "weight_decay": jnp.asarray(decay, dtype)}
    return functools.partial(optimizer.transformation, hparams)


def update(optimizer, gradient, values, **constants):
    """What the first step of a run adds to the parameters."""

    @quick.jit
    def first():
        made = ours(optimizer, **constants)(jnp.int32(0))
        return made.update(gradient, made.init(values), values)[0]

    return first()


def close(got, want, tolerance=1e-5):
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=tolerance, atol=tolerance, err_msg=name)


def test_no_rule_and_no_schedule_is_left_out():
    assert set(PLAIN) == set(Rule)
    assert {schedule for schedule, *_ in SCHEDULES} == set(Schedule)


@pytest.mark.parametrize("rule", Rule)
def test_rule_is_that_of_optax_with_constants(rule):
    got, want = run_beside(constant(rule), PLAIN[rule], params())
    close(got, want)
    assert not np.allclose(want["kernel"], params()["kernel"], atol=1e-3)


def test_weight_decay_of_adam_goes_through_its_scaling_and_that_of_adamw_does_not():
    # A first step of Adam is of size learning rate whatever the gradient is: with decay against it, in its direction.
    value, gradient = {"w": jnp.array([2.0, 2.0])}, {"w": jnp.array([-0.5, 0.5])}
    for rule, want in ((Rule.ADAM, [-RATE, -RATE]), (Rule.ADAMW, [RATE - RATE * 0.3 * 2, -RATE - RATE * 0.3 * 2])):
        np.testing.assert_allclose(update(constant(rule), gradient, value)["w"], want, rtol=1e-4)


def test_nesterov_by_hand():
    made, zero, one = ours(constant(Rule.SGD, nesterov=True), decay=0.0)(jnp.int32(0)), jnp.zeros(()), jnp.ones(())
    first, state = made.update(one, made.init(zero), zero)
    second, _ = made.update(one, state, zero)
    # Velocity 1, then 1.9; the step is along gradient plus 0.9 of it.
    np.testing.assert_allclose([first, second], [-RATE * 1.9, -RATE * (1 + 0.9 * 1.9)], rtol=1e-6)


def test_clipping_by_value_and_then_by_norm_by_hand():
    gradient = {"a": jnp.array([30.0, -0.5]), "b": jnp.array([-4.0])}
    for kind, want in (
        ({"clip_value": 2.0}, ([2.0, -0.5], [-2.0])),
        ({"clip_norm": 1.0}, (np.array([30, -0.5]) / math.sqrt(916.25), [-4 / math.sqrt(916.25)])),
        ({"clip_value": 3.0, "clip_norm": 1.0}, (np.array([3, -0.5]) / math.sqrt(18.25), [-3 / math.sqrt(18.25)])),
        ({"clip_norm": 100.0}, ([30.0, -0.5], [-4.0])),
    ):
        got = update(constant(Rule.SGD, momentum=0.0, **kind), gradient, gradient, rate=1.0, decay=0.0)
        np.testing.assert_allclose(-got["a"], want[0], rtol=1e-6)
        np.testing.assert_allclose(-got["b"], want[1], rtol=1e-6)


@pytest.mark.parametrize("rule", [Rule.SGD, Rule.ADAMW])
def test_only_matrices_are_decayed_where_that_is_asked_for(rule):
    values = {
        "kernel": jnp.ones((2, 3)),
        "kernel4": jnp.ones((2, 1, 1, 2)),
        "bias": jnp.ones(3),
        "s": jnp.ones(()),
    }
    got = update(constant(rule, decay_matrices_only=True), jax.tree.map(jnp.zeros_like, values), values)
    close(got, {"kernel": -RATE * DECAY * values["kernel"], "kernel4": -RATE * DECAY * values["kernel4"]})
    assert not got["bias"].any()
    assert not got["s"].any()


@pytest.mark.parametrize("rule", [Rule.ADAMW, Rule.ADAFACTOR])
def test_members_under_vmap_are_single_updates(rule):
    rates, decays = jnp.array([0.001, 0.03]), jnp.array([0.0, 0.2])
    values, gradient = params(), jax.grad(loss)(params())
    optimizer = constant(rule, clip_norm=1.0)

    def one(rate, decay):
        hparams = {"learning_rate": rate, "weight_decay": decay}
        made = optimizer.transformation(hparams, jnp.int32(0))
        return made.update(gradient, made.init(values), values)

    together, last = quick.jit(lambda: (jax.vmap(one)(rates, decays), one(rates[1], decays[1])))()
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[1], together), last, rtol=1e-6)


@pytest.mark.parametrize("rule", Rule)
def test_state_and_updates_keep_their_dtypes_whatever_those_of_the_constants(rule):
    with jax.enable_x64(True):
        made = ours(constant(rule, clip_norm=1.0), dtype=jnp.float64)
        values = params()

        def one(state):
            updates, after = made(jnp.int32(3)).update(jax.grad(loss)(values), state, values)
            return updates, after

        state = made(jnp.int32(0)).init(values)
        updates, after = jax.eval_shape(one, state)
        assert jax.tree.structure(after) == jax.tree.structure(state)
        assert [leaf.dtype for leaf in jax.tree.leaves(after)] == [leaf.dtype for leaf in jax.tree.leaves(state)]
        assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(jnp.float32)}


def test_float64_is_computed_in_float64():
    with jax.enable_x64(True):
        got, want = run_beside(constant(Rule.ADAM), PLAIN[Rule.ADAM], params(jnp.float64), jnp.float64, 3)
        assert got["kernel"].dtype == jnp.float64
        close(got, want, 1e-13)


def half_cosine(part):
    return 0.5 * (1 + math.cos(math.pi * min(max(part, 0), 1)))


def one_cycle(step):
    if step < 4:
        return 1 / 25 + (1 - 1 / 25) * (1 - half_cosine(step / 4))
    return 1 / 25e4 + (1 - 1 / 25e4) * half_cosine((step - 4) / 16)


def warm(step, steps=4):
    return min(1.0, (step + 1) / (steps + 1))


def restarts(step):
    """Cycles of 2, 4, 8 steps after a warm-up of 4: 2 + 4 + 8 = 14 of 18 - 4."""
    begin, length = next(((b, n) for b, n in ((4, 2), (6, 4), (10, 8)) if b <= step < b + n), (10, 8))
    return warm(step) * half_cosine((step - begin) / length)


SCHEDULES = [
    (Schedule.CONSTANT, 20, {}, warm),
    (Schedule.COSINE, 20, {}, lambda s: warm(s) * half_cosine((s - 4) / 16)),
    (Schedule.COSINE, 20, {"final_factor": 0.2}, lambda s: warm(s) * (0.2 + 0.8 * half_cosine((s - 4) / 16))),
    (Schedule.LINEAR, 20, {}, lambda s: warm(s) * (1 - min(max(s - 4, 0) / 16, 1))),
    (Schedule.LINEAR, 20, {"final_factor": 0.5}, lambda s: warm(s) * (1 - 0.5 * min(max(s - 4, 0) / 16, 1))),
    (Schedule.EXPONENTIAL, 20, {"decay_steps": 5}, lambda s: warm(s) * 0.1 ** (max(s - 4, 0) / 5)),
    (
        Schedule.STEP,
        20,
        {"decay_steps": 5, "decay_rate": 0.5},
        lambda s: warm(s) * 0.5 ** (max(s - 4, 0) // 5),
    ),
    (Schedule.MULTI_STEP, 20, {"milestones": (7, 12)}, lambda s: warm(s) * 0.1 ** ((s >= 7) + (s >= 12))),
    (Schedule.MULTI_STEP, 20, {"milestones": (0, 9, 9)}, lambda s: warm(s) * 0.1 ** (1 + 2 * (s >= 9))),
    (Schedule.ONE_CYCLE, 20, {}, one_cycle),
    (Schedule.WARM_RESTARTS, 18, {"cycles": 3}, restarts),
]


@pytest.mark.parametrize(("schedule", "total", "more", "formula"), SCHEDULES)
def test_schedule_by_its_formula(schedule, total, more, formula):
    optimizer = Optimizer(Rule.SGD, schedule, total, 4, **more)
    got = quick.jit(jax.vmap(optimizer.factor))(jnp.arange(total + 5))
    np.testing.assert_allclose(got, [formula(step) for step in range(total + 5)], rtol=2e-6, atol=2e-7)


def test_the_learning_rate_of_a_step_is_that_of_the_schedule():
    optimizer = Optimizer(Rule.SGD, Schedule.COSINE, 20, 4, momentum=0.0)
    made, one = ours(optimizer, decay=0.0), jnp.array(1.0)
    at = quick.jit(lambda step: made(step).update(one, made(step).init(one), one)[0])
    for step in (0, 4, 12):
        np.testing.assert_allclose(at(jnp.int32(step)), -RATE * warm(step) * half_cosine((step - 4) / 16), rtol=1e-6)


def test_a_schedule_without_warm_up_begins_at_its_top():
    for schedule in (Schedule.CONSTANT, Schedule.COSINE, Schedule.LINEAR):
        assert float(Optimizer(Rule.ADAM, schedule, 10).factor(jnp.int32(0))) == 1.0


def test_it_can_be_a_static_argument():
    assert hash(constant(Rule.LION)) == hash(constant(Rule.LION))
    assert dataclasses.replace(constant(Rule.LION), momentum=0.8) != constant(Rule.LION)


@pytest.mark.parametrize(
    ("schedule", "more", "says"),
    [
        (Schedule.STEP, {}, "decay_steps"),
        (Schedule.EXPONENTIAL, {}, "decay_steps"),
        (Schedule.MULTI_STEP, {}, "milestones"),
        (Schedule.MULTI_STEP, {"milestones": (5, 3)}, "milestones"),
        (Schedule.ONE_CYCLE, {}, "warm-up"),
        (Schedule.ONE_CYCLE, {"warmup_steps": 20}, "warm-up"),
        (Schedule.WARM_RESTARTS, {"cycles": 0}, "cycles"),
        (Schedule.WARM_RESTARTS, {"cycle_growth": 0.5}, "cycle_growth"),
        (Schedule.COSINE, {"final_factor": 1.5}, "final_factor"),
        (Schedule.STEP, {"decay_steps": 1, "decay_rate": 0.0}, "decay_rate"),
        (Schedule.CONSTANT, {"nesterov": True}, "nesterov"),
    ],
)
def test_what_makes_no_schedule_is_refused(schedule, more, says):
    with pytest.raises(UserError, match=says):
        Optimizer(Rule.ADAM, schedule, 20, **more)
