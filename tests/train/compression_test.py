"""Pruning and clustering inside of the step: counts, values by hand, resuming, members, and which epoch is the best."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import compress, train
from hsjax.train.step import gradients
from hsjax.train.together import fit_together
from tests.train.objectives import toys
from tests.train.objectives.toys import HPARAMS, PLAIN, STUDENT

KEY = jax.random.key(1)
CONSTANTS = HPARAMS | {"learning_rate": jnp.float32(0.05), "sparsity": jnp.float32(0.6)}
step = toys.hurried(train.step, static_argnums=0)
KERNELS = {"stem/conv/kernel": 3, "hidden/kernel": 360, "logits/kernel": 15}
PRUNE = compress.Prune(begin=1, end=6, every=2)
CLUSTER = compress.Cluster(k=4)


def begin(*transforms, network=STUDENT, averages=False, variables=None, hparams=CONSTANTS, **optimizer):
    learner = train.Learner(
        network, train.Supervised(), toys.sgd(**optimizer), averages, compress.Compression(transforms)
    )
    ours = toys.variables(network) if variables is None else variables
    state = toys.hurried(lambda v: learner.init(jax.random.key(0), toys.EXAMPLE, hparams, lambda _: v))(ours)
    return learner, state


def steps(learner, state, count, hparams=CONSTANTS):
    found = [state]
    for number in range(count):
        state, _ = step(learner, state, toys.make_batch(number), hparams, KEY)
        found.append(state)
    return found


def kernels(state):
    return {path: np.asarray(leaf) for path, leaf in compress.kernels(state.variables["params"]).items()}


def zeros(state):
    return {path: int((kernel == 0).sum()) for path, kernel in kernels(state).items()}


def pruned(fraction=0.5):
    """Variables as an earlier training left them: of every kernel, what is small is zero."""
    variables = toys.variables(STUDENT)
    held = compress.kernels(variables["params"])
    masks = compress.magnitude.by_layer(held, fraction)
    return variables | {"params": compress.replaced(variables["params"], {p: held[p] * masks[p] for p in held})}


def test_without_compression_there_is_nothing_to_remember():
    _, state = begin()
    assert state.compression == ()


def test_pruning_follows_its_schedule_to_the_exact_count():
    """Masks change after steps 1, 3, 5 and 6; by hand, 0.6 (1 - (1 - (t - 1) / 5)^3) of 378 weights."""
    learner, state = begin(PRUNE, rule=train.Rule.ADAM)
    assert {path: leaf.size for path, leaf in kernels(state).items()} == KERNELS
    due = [0.6 * (1 - (1 - max(t - 1, 0) / 5) ** 3) for t in (0, 1, 1, 3, 3, 5, 6, 6, 6)]
    found = steps(learner, state, 8)
    assert [sum(zeros(one).values()) for one in found] == [round(378 * share) for share in due]
    before, after = kernels(found[3]), kernels(found[8])
    for path in KERNELS:
        assert not after[path][before[path] == 0].any()
    assert (np.asarray(found[8].compression[0]["hidden/kernel"]) == (after["hidden/kernel"] != 0)).all()
    for path in ("stem/norm/scale", "hidden/bias"):
        top, *rest = path.split("/")
        leaf = found[8].variables["params"][top][rest[0]]
        assert np.all((leaf[rest[1]] if len(rest) > 1 else leaf) != 0)


def test_each_layer_and_two_of_four():
    learner, state = begin(dataclasses.replace(PRUNE, scope=compress.Scope.LAYER, patterns=("*", "!stem")))
    assert zeros(steps(learner, state, 6)[-1]) == {"stem/conv/kernel": 0, "hidden/kernel": 216, "logits/kernel": 9}
    half = CONSTANTS | {"sparsity": jnp.float32(0.5)}
    learner, state = begin(dataclasses.replace(PRUNE, scope=compress.Scope.N_OF_M))
    after = kernels(steps(learner, state, 6, half)[-1])
    assert (np.count_nonzero(after["hidden/kernel"].reshape(-1, 4, 5), axis=1) == 2).all()
    assert after["logits/kernel"].all()  # five inputs make no groups of four


def test_pruned_weights_have_no_part_in_the_norm_that_clips():
    """The second step by hand: descent along the gradient of what is left, clipped by its norm alone."""
    at_once = dataclasses.replace(PRUNE, begin=1, end=1)
    learner, state = begin(at_once, clip_norm=1e-3)
    before = steps(learner, state, 1)[-1]
    batch = toys.make_batch(1)
    (gradient, _), *_ = toys.hurried(gradients, static_argnums=0)(learner, before, batch, CONSTANTS, KEY)
    masks = before.compression[0]
    held = {path: leaf * masks[path] for path, leaf in compress.kernels(gradient).items()}
    gradient = jax.tree.map(np.float64, compress.replaced(gradient, held))
    norm = np.sqrt(sum(np.square(leaf).sum() for leaf in jax.tree.leaves(gradient)))
    after, _ = step(learner, before, batch, CONSTANTS, KEY)
    want = jax.tree.map(lambda old, g: old - 0.05 * 1e-3 / norm * g, before.variables["params"], gradient)
    chex.assert_trees_all_close(after.variables["params"], want, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("transform", [compress.KeepZeros(), CLUSTER, dataclasses.replace(PRUNE, end=3)])
def test_zeros_of_an_earlier_training_stay(transform):
    learner, state = begin(
        transform, variables=pruned(), rule=train.Rule.ADAMW, averages=True, hparams=CONSTANTS | {"sparsity": 0.5}
    )
    decayed = CONSTANTS | {"weight_decay": jnp.float32(0.1), "sparsity": jnp.float32(0.5)}
    found = steps(learner, state, 4, decayed)
    before, after = kernels(found[0]), kernels(found[-1])
    average = compress.kernels(found[-1].average["params"])
    for path in KERNELS:
        np.testing.assert_array_equal(after[path] == 0, before[path] == 0)
        np.testing.assert_array_equal(average[path] == 0, before[path] == 0)
        assert np.abs(after[path] - before[path]).max() > 0


def test_clusters_descend_by_the_sum_of_their_gradients():
    """Plain descent by hand in float64: the value of each cluster by 0.05 times the sum over its members."""
    learner, state = begin(CLUSTER, variables=pruned(0.3))
    begun, batch = kernels(state), toys.make_batch(0)
    (gradient, _), *_ = toys.hurried(gradients, static_argnums=0)(learner, state, batch, CONSTANTS, KEY)
    after = kernels(step(learner, state, batch, CONSTANTS, KEY)[0])
    for path, its in compress.kernels(gradient).items():
        values, which = np.unique(begun[path], return_inverse=True)
        assert len(values) <= 4
        total = np.bincount(which.ravel(), np.asarray(its, np.float64).ravel())
        want = np.where(values == 0, 0, values - 0.05 * total)[which].reshape(begun[path].shape)
        np.testing.assert_allclose(after[path], want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", [train.Rule.LAMB, train.Rule.ADAFACTOR])
def test_clusters_hold_under_any_rule(rule):
    """Adafactor moves equal weights of a large matrix differently; a cluster's value follows their mean."""
    learner, state = begin(CLUSTER, rule=rule, averages=True)
    begun, last = kernels(state), steps(learner, state, 5)[-1]
    average = compress.kernels(last.average["params"])
    for path, kernel in kernels(last).items():
        _, before = np.unique(begun[path], return_inverse=True)
        for held in (kernel, np.asarray(average[path])):
            values, after = np.unique(held, return_inverse=True)
            assert len(values) <= 4
            assert len(np.unique(before * 10 + after)) == len(np.unique(before))
    assert np.abs(kernels(last)["hidden/kernel"] - begun["hidden/kernel"]).max() > 1e-4


def test_what_is_frozen_is_left_whole():
    network = dataclasses.replace(STUDENT, frozen=("hidden",))
    for transform in (PRUNE, CLUSTER):
        learner, state = begin(transform, network=network)
        after = steps(learner, state, 6)[-1]
        np.testing.assert_array_equal(kernels(after)["hidden/kernel"], kernels(state)["hidden/kernel"])
        assert len(np.unique(kernels(after)["hidden/kernel"])) == 360


def test_zeros_stay_where_no_kernel_is_trained():
    network = dataclasses.replace(STUDENT, frozen=("*", "!*/bias"))
    learner, state = begin(compress.KeepZeros(), network=network)
    after = steps(learner, state, 2)[-1]
    chex.assert_trees_all_equal(kernels(after), kernels(state))
    assert np.abs(after.variables["params"]["hidden"]["bias"] - state.variables["params"]["hidden"]["bias"]).max() > 0


def test_another_sparsity_compiles_nothing():
    chex.clear_trace_counter()
    learner, state = begin(PRUNE)
    traced = toys.hurried(chex.assert_max_traces(lambda *a: train.step(learner, *a), n=1))
    for share in (0.2, 0.9):
        after = state
        for number in range(6):
            after, _ = traced(after, toys.make_batch(number), CONSTANTS | {"sparsity": jnp.float32(share)}, KEY)
        assert sum(zeros(after).values()) == round(378 * share)


def wavering(logits):
    return {"score": float(30 * np.abs(logits[:, 1] - logits[:, 0]).mean() % 1)}


@pytest.fixture
def hurry(monkeypatch):
    monkeypatch.setattr(train.Threads, "options", property(lambda self: toys.HURRY))
    train.dispatch.compiled.cache_clear()
    yield
    train.dispatch.compiled.cache_clear()


DATA = toys.make_batch(1, 24)._replace(index=None)  # three steps an epoch
SETTINGS = {"batch_size": toys.SIZE, "patience": 0, "select": "score"}


def learner_of(*transforms):
    optimizer = train.Optimizer(train.Rule.ADAM, train.Schedule.COSINE, total_steps=12)
    return train.Learner(PLAIN, train.Supervised(), optimizer, True, compress.Compression(transforms))


def fit(directory, learner, epochs=4, **changes):
    own = {"hparams": CONSTANTS, "key": KEY, "start": lambda _: toys.variables(PLAIN)}
    return train.fit(
        learner, DATA, DATA.inputs, wavering, directory=directory, epochs=epochs, **SETTINGS | own | changes
    )


@pytest.mark.parametrize("transforms", [(dataclasses.replace(PRUNE, end=8),), (CLUSTER,)], ids=["prune", "cluster"])
def test_it_goes_on_where_it_was_interrupted_bit_for_bit(transforms, tmp_path, hurry):
    learner = learner_of(*transforms)
    whole = fit(tmp_path / "whole", learner)
    for epochs in (1, 2, 3, 4):
        resumed = fit(tmp_path / "parts", learner, epochs)
    chex.assert_trees_all_equal(resumed.variables, whole.variables)
    assert (resumed.best_epoch, resumed.epochs) == (whole.best_epoch, whole.epochs)


def beginning(seed):
    return lambda _: toys.variables(PLAIN, seed)


@pytest.mark.parametrize("transforms", [(dataclasses.replace(PRUNE, end=8),), (CLUSTER,)], ids=["prune", "cluster"])
def test_members_of_one_program_are_what_they_are_alone(transforms, tmp_path, hurry):
    """With a sparsity and a seed of their own."""
    learner = learner_of(*transforms)
    members, alone = [], []
    for number, share in enumerate((0.3, 0.8)):
        constants, key = CONSTANTS | {"sparsity": jnp.float32(share)}, jax.random.key(number)
        begins = beginning(number)
        members.append(train.Member(constants, key, tmp_path / f"member{number}", begin=begins))
        alone.append(fit(tmp_path / f"{number}", learner, hparams=constants, key=key, start=begins))
    made = fit_together(
        learner, train.OnDevice(DATA), DATA.inputs, wavering, members, directory=tmp_path / "all", epochs=4, **SETTINGS
    )
    for one, other, share in zip(made, alone, (0.3, 0.8), strict=True):
        assert one.best_epoch == other.best_epoch
        chex.assert_trees_all_close(one.variables, other.variables, rtol=1e-4, atol=1e-5)
        if transforms[0] is not CLUSTER:
            held = compress.kernels(one.variables["params"])
            total = sum(kernel.size for kernel in held.values())
            assert sum(int((kernel == 0).sum()) for kernel in held.values()) == round(share * total)


@pytest.mark.parametrize("patience", [0, 1])
def test_the_best_epoch_is_one_with_all_its_zeros(patience, tmp_path, hurry):
    """The metric falls from the first epoch on; the schedule ends within the third, and so waits patience."""
    falling = iter(range(100, 0, -1))
    learner = learner_of(dataclasses.replace(PRUNE, end=8))
    fitted = train.fit(
        learner, DATA, DATA.inputs, lambda _: {"score": float(next(falling))}, directory=tmp_path, epochs=5,
        hparams=CONSTANTS, key=KEY, start=lambda _: toys.variables(PLAIN), **SETTINGS | {"patience": patience},
    )  # fmt: skip
    assert (fitted.best_epoch, fitted.epochs) == (3, 4 if patience else 5)
    held = compress.kernels(fitted.variables["params"])
    assert sum(int((kernel == 0).sum()) for kernel in held.values()) == round(0.6 * 28)


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ((0.9, 0.8, float("nan"), 0.3, 0.2), 4),  # undefined: as small as it should be all the same
        ((0.9, 0.8, float("nan"), float("nan"), float("nan")), 5),
        ((0.9, 0.8, 0.1, float("nan"), 0.2), 5),
    ],
)
def test_an_undefined_metric_keeps_no_network_that_is_not_pruned_yet(scores, kept, tmp_path, hurry):
    given = iter(scores)
    learner = learner_of(dataclasses.replace(PRUNE, end=8))  # settled with the third epoch
    fitted = train.fit(
        learner, DATA, DATA.inputs, lambda _: {"score": next(given)}, directory=tmp_path, epochs=5,
        hparams=CONSTANTS, key=KEY, start=lambda _: toys.variables(PLAIN), **SETTINGS,
    )  # fmt: skip
    assert fitted.best_epoch == kept
    held = compress.kernels(fitted.variables["params"])
    assert sum(int((kernel == 0).sum()) for kernel in held.values()) == round(0.6 * 28)
