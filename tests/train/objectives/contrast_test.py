"""Learning from two views: what is compared with what, and what follows or is kept, against formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from hsjax import train
from hsjax.train.views import Change
from tests.train.objectives import formulas, toys
from tests.train.objectives.toys import HPARAMS, PLAIN

T, DECAY = 2.0, 0.9
step = toys.hurried(train.step, static_argnums=0)


def contrast(loss, **settings):
    return train.Contrast(loss, (5, 4), 3, 10, **settings)


def head(params, x, normalised=False):
    """Two layers with ReLU, and batch norm where there is one."""
    x = x @ params["dense_0"]["kernel"] + params["dense_0"].get("bias", 0.0)
    if normalised:
        norm = params["norm_0"]
        x = norm["scale"] * (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) + norm["bias"]
    return np.maximum(x, 0) @ params["dense_1"]["kernel"] + params["dense_1"]["bias"]


def follow(target, online):
    return jax.tree.map(lambda held, new: DECAY * held + (1 - DECAY) * np.asarray(new, np.float64), target, online)


def test_the_first_view_can_be_the_example_as_it_is():
    """The second view is the negative of the example; NT-Xent of both (Chen et al. 2020) in NumPy."""
    negative = Change(lambda key, example: -example)
    settings = {"original": True, "views": train.Views(features=(negative,))}
    learner, state = toys.start(contrast(train.Contrastive.NT_XENT, **settings), PLAIN)
    batch = toys.make_batch(0, masked=2)
    variables, projection = formulas.double((state.variables, state.heads["projection"]))
    seen = [
        formulas.unit(head(projection, formulas.forward(variables["params"], sign * batch.inputs)[0]))[:6]
        for sign in (1, -1)
    ]
    both = np.concatenate(seen)
    scores = np.where(np.eye(12, dtype=bool), -np.inf, both @ both.T / T)
    positive = scores[np.arange(12), (np.arange(12) + 6) % 12]
    want = (scipy.special.logsumexp(scores, -1) - positive).mean()
    _, metrics = step(learner, state, batch, HPARAMS, jax.random.key(1))
    assert float(metrics["contrast"]) == pytest.approx(want, rel=1e-4)


def test_the_queue_holds_the_target_s_projections_in_their_order():
    """Three batches of six examples and two of padding, in a queue for ten; the loss is of what it held before."""
    learner, state = toys.start(contrast(train.Contrastive.MOCO), PLAIN)
    target, queue = formulas.double((state.variables, state.heads["projection"])), []
    for number in range(3):
        batch = toys.make_batch(number, masked=2)

        def projected(variables, projection, batch=batch):
            return formulas.unit(head(projection, formulas.forward(variables["params"], batch.inputs)[0]))[:6]

        query = projected(*formulas.double((state.variables, state.heads["projection"])))
        keys = projected(*target)
        state, metrics = step(learner, state, batch, HPARAMS, jax.random.key(1))
        own = (query * keys).sum(-1, keepdims=True) / T
        scores = np.concatenate([own, query @ np.reshape(queue, (-1, 4)).T / T], -1)
        want = (scipy.special.logsumexp(scores, -1) - own[:, 0]).mean()
        assert float(metrics["contrast"]) == pytest.approx(want, rel=1e-4, abs=1e-6)
        queue = [*queue, *keys][-10:]
        held = state.memory["queue"]
        assert (int(held.filled), int(held.cursor)) == (min(6 * (number + 1), 10), 6 * (number + 1) % 10)
        oldest = int(held.cursor) if len(queue) == 10 else 0
        np.testing.assert_allclose(np.roll(held.keys, -oldest, 0)[: len(queue)], queue, atol=1e-5)
        target = follow(target, (state.variables, state.heads["projection"]))
        got = formulas.double(state.memory["target"])
        jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-6), got, target)


def test_the_target_is_predicted_from_the_other_view_both_ways():
    batch = toys.make_batch(0)
    learner, state = toys.start(contrast(train.Contrastive.BYOL, views=toys.NOISY), PLAIN)
    state, _ = step(learner, state, batch, HPARAMS, jax.random.key(1))  # so that the target is another network
    heads = formulas.double(state.heads)
    ours = formulas.double(state.variables["params"])
    (target, projection) = formulas.double(state.memory["target"])
    key = jax.random.fold_in(jax.random.key(1), 1)
    views = [learner.objective.see(batch, {}, key, view) for view in (0, 1)]
    assert np.abs(views[0] - views[1]).max() > 0.1
    loss = 0.0
    for one, other in (views, views[::-1]):
        projected = head(heads["projection"], formulas.forward(ours, one)[0], True)
        predicted = formulas.unit(head(heads["prediction"], projected, True))
        wanted = formulas.unit(head(projection, formulas.forward(target["params"], other)[0], True))
        loss += formulas.mean(2 - 2 * (predicted * wanted).sum(-1), batch)
    after, metrics = step(learner, state, batch, HPARAMS, jax.random.key(1))
    assert float(metrics["loss"]) == pytest.approx(loss, rel=1e-4)
    want = follow((target, projection), (after.variables, after.heads["projection"]))
    got = formulas.double(after.memory["target"])
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-6), got, want)
    for name in heads:
        assert np.abs(after.heads[name]["dense_0"]["kernel"] - heads[name]["dense_0"]["kernel"]).max() > 0


def test_the_network_sees_one_view_and_the_target_the_other():
    """Two batches: at the second the target is another network, and the queue holds the first's keys."""
    learner, state = toys.start(contrast(train.Contrastive.MOCO, views=toys.NOISY), PLAIN)
    state, _ = step(learner, state, toys.make_batch(0), HPARAMS, jax.random.key(1))
    batch, key = toys.make_batch(1), jax.random.fold_in(jax.random.key(1), 1)
    first, second = (learner.objective.see(batch, {}, key, view) for view in (0, 1))
    ours, target = formulas.double((state.variables["params"], state.heads["projection"])), state.memory["target"]
    target = formulas.double((target[0]["params"], target[1]))
    query, keys = (
        formulas.unit(head(projection, formulas.forward(params, seen)[0]))
        for (params, projection), seen in ((ours, first), (target, second))
    )
    queue = np.asarray(state.memory["queue"].keys, np.float64)[:8]
    scores = np.concatenate([(query * keys).sum(-1, keepdims=True), query @ queue.T], -1) / T
    want = (scipy.special.logsumexp(scores, -1) - scores[:, 0]) @ np.asarray(batch.mask) / 8
    _, metrics = step(learner, state, batch, HPARAMS, jax.random.key(1))
    assert float(metrics["contrast"]) == pytest.approx(want, rel=1e-4)


def test_the_target_s_momentum_rises_to_one_over_the_run():
    learner, state = toys.start(contrast(train.Contrastive.BYOL, total_steps=4), PLAIN)
    for number in range(4):
        before = formulas.double(state.memory["target"])
        state, _ = step(learner, state, toys.make_batch(number), HPARAMS, jax.random.key(1))
        decay = 1 - (1 - DECAY) * (np.cos(np.pi * number / 4) + 1) / 2
        online = formulas.double((state.variables, state.heads["projection"]))
        want = jax.tree.map(lambda held, new, by=decay: by * held + (1 - by) * new, before, online)
        got = formulas.double(state.memory["target"])
        jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-6), got, want)


@pytest.mark.parametrize("loss", [train.Contrastive.NT_XENT, train.Contrastive.SUPCON])
def test_views_of_one_example_or_of_one_class_attract(loss):
    """Written from both papers' sums; padding is no negative."""
    batch = toys.make_batch(0, masked=2)
    learner, state = toys.start(contrast(loss), PLAIN)
    _, metrics = step(learner, state, batch, HPARAMS, jax.random.key(1))
    embedding = formulas.forward(formulas.double(toys.drawn(PLAIN)["params"]), batch.inputs)[0]
    z = np.tile(formulas.unit(head(formulas.double(state.heads["projection"]), embedding))[:6], (2, 1))
    same = np.tile(np.arange(6) if loss is train.Contrastive.NT_XENT else np.asarray(batch.label)[:6], 2)
    total = 0.0
    for i in range(12):
        others = [j for j in range(12) if j != i]
        scores = z[others] @ z[i] / T
        positives = np.array([same[j] == same[i] for j in others])
        total += scipy.special.logsumexp(scores) - scores[positives].mean()
    assert float(metrics["loss"]) == pytest.approx(total / 12, rel=1e-4)


def test_targets_have_running_statistics_of_their_own():
    """Of the batches they have seen themselves; the average of the network's would be others."""
    learner, state = toys.start(contrast(train.Contrastive.MOCO), toys.STUDENT)
    first = toys.make_batch(0)
    state, _ = step(learner, state, first, HPARAMS, jax.random.key(1))
    before = state.memory["target"][0]["batch_stats"]["stem"]["norm"]["mean"]
    begun = toys.drawn(toys.STUDENT)["batch_stats"]["stem"]["norm"]["mean"]
    # Both networks were the same and have seen the same batch.
    ours = state.variables["batch_stats"]["stem"]["norm"]["mean"]
    np.testing.assert_allclose(before, ours, atol=1e-6)
    assert np.abs(before - begun).max() > 1e-3


def test_classes_do_not_matter_where_there_are_none():
    batch = toys.make_batch(0)
    learner, state = toys.start(contrast(train.Contrastive.NT_XENT), PLAIN)
    results = [
        step(learner, state, batch._replace(label=label), HPARAMS, jax.random.key(1))[0].variables
        for label in (batch.label, jnp.zeros_like(batch.label))
    ]
    jax.tree.map(np.testing.assert_array_equal, *results)
