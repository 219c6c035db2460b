"""Training by groups: who is in which, and steps against formulas in NumPy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import train
from tests.train.objectives import formulas, toys
from tests.train.objectives.toys import HPARAMS, PLAIN


def test_who_is_in_which_group():
    subset, label = np.array([4, 1, 1, 4, 4]), np.array([0, 1, 0, 1, 0], np.int32)
    by_subset = train.membership(train.Groups.V_REX, subset, label)
    assert by_subset.of.tolist() == [1, 0, 0, 1, 1]
    by_both = train.membership(train.Groups.GROUP_DRO, subset, label)
    assert by_both.of.tolist() == [2, 1, 0, 3, 2]
    assert by_both.share.tolist() == [0.25] * 4


@pytest.mark.parametrize("rule", train.Groups)
def test_a_step_is_that_of_the_groups_losses(rule):
    constants = HPARAMS | {name: jnp.float32(value) for name, value in STEP.items()}
    batch = toys.make_batch(0, masked=2)._replace(index=jnp.array([5, 0, 3, 7, 2, 9, -1, -1]))
    group = np.array([5, 0, 3, 7, 2, 9]) % 3  # as in `toys.start`

    def means(params):
        values = formulas.cross_entropy(formulas.forward(params, batch.inputs)[1], batch.label, 0.1)[:6]
        weight = np.asarray(batch.weight, np.float64)[:6]
        return np.array([(weight * values)[group == one].sum() / weight[group == one].sum() for one in range(3)])

    before = toys.drawn(PLAIN)["params"]
    grown = np.exp(STEP["group_step"] * means(formulas.double(before)))
    share = grown / grown.sum()

    def loss(params):
        found = means(params)
        if rule is train.Groups.GROUP_DRO:
            return share @ found
        return (found.mean() + STEP["group_penalty"] * found.var()) / STEP["group_penalty"]

    learner, state = toys.start(train.Grouped(rule=rule), PLAIN)
    step = toys.hurried(train.step, static_argnums=0)
    after, metrics = step(learner, state, batch, constants, jax.random.key(1))
    moved = jax.tree.map(lambda old, new: old - new, state.variables["params"], after.variables["params"])
    assert float(metrics["loss"]) == pytest.approx(loss(formulas.double(before)), rel=1e-5)
    assert float(metrics["worst"]) == pytest.approx(means(formulas.double(before)).max(), rel=1e-5)
    chex.assert_trees_all_close(moved, formulas.gradient(loss, before), atol=1e-5)
    if rule is train.Groups.GROUP_DRO:
        np.testing.assert_allclose(after.memory["share"], share, rtol=1e-5)


STEP = {"learning_rate": 1.0, "group_step": 0.3, "group_penalty": 2.5}
