"""What every objective promises: padding counts nowhere, nothing is compiled twice, the loss falls.

All of it with the one program that `train.fit` runs, compiled once for each objective.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import train
from hsjax.train import dispatch, loop
from tests.train.objectives import toys
from tests.train.objectives.toys import EVERY, HPARAMS, HURRY, SIZE

EXAMPLES = 3 * SIZE + 6
LAYOUT = train.Layout()

# What follows the weights in every step, whatever the batch.
FOLLOWING = ("teacher", "target")

# Of plain gradient descent, where the gradients at the beginning are large.
RATES = {"contrast vicreg": 0.003}

# The step's guards by objective, each of which raises if its step is traced a second time.
guards = {}


def guarded(learner, *arguments):
    if learner not in guards:

        def step(*its):
            return train.step(*its)

        step.__name__ = f"step {len(guards)}"  # counted by name
        guards[learner] = chex.assert_max_traces(step, n=1)
    return guards[learner](learner, *arguments)


class NotWritten:
    """In place of checkpoints, which have tests of their own, and take longer than these steps."""

    def __init__(self, directory):
        pass

    def restore(self, like):
        """There is none."""

    def save(self, epoch, tree):
        pass

    def close(self):
        pass


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Steps are compiled in a hurry, and traced once or refused; tells how much was compiled so far."""
    total = []

    def listen(event, *_, **__):
        if event == "/jax/core/compile/backend_compile_duration":
            total.append(event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Threads, "options", property(lambda self: HURRY))
        patch.setattr(loop, "Checkpoints", NotWritten)
        patch.setattr(dispatch, "step", guarded)
        dispatch.compiled.cache_clear()
        dispatch.forward.cache_clear()
        chex.clear_trace_counter()
        jax.monitoring.register_event_duration_secs_listener(listen)
        yield lambda: len(total)
        jax.monitoring.unregister_event_duration_listener(listen)
    dispatch.compiled.cache_clear()
    dispatch.forward.cache_clear()


def data_of(name: str, last: float = 0.5):
    """Training examples, of which the last, which stands where padding is, holds one value only."""
    objective = EVERY[name]
    taught = type(objective) is train.Distil and not objective.teachers
    data = toys.make_batch(1, EXAMPLES, teacher=taught)._replace(index=None)
    logits = data.teacher_logits
    logits = None if logits is None else logits.at[-1].set(last)
    return data._replace(inputs=data.inputs.at[-1].set(last), teacher_logits=logits)


@functools.cache
def begun(name: str):
    """A learner and its state after a first step, so that queues and memories hold something."""
    learner, state = toys.start(EVERY[name], examples=EXAMPLES)
    return learner, *take(learner, state._replace(fixed={}), state.fixed, data_of(name), range(8, 16))[:1], state.fixed


def take(learner, state, fixed, data, rows):
    """One step on the examples at `rows`, -1 for padding."""
    order = jnp.tile(jnp.asarray(list(rows), jnp.int32), (-(-EXAMPLES // SIZE), 1))
    state = jax.tree.map(jnp.array, state)  # it is given away
    return dispatch.compiled("one_step")(learner, LAYOUT, state, fixed, data, order, HPARAMS, jax.random.key(1))


def test_there_is_one_of_each():
    """The registry is made from the enums; this is about classes."""
    assert {type(objective) for objective in EVERY.values()} == toys.kinds()
    assert len(EVERY) > sum(map(len, (train.Labels, train.Soft, train.HintLoss, train.Contrastive)))


@pytest.mark.parametrize("name", EVERY)
def test_of_padding_alone_the_loss_and_its_gradient_are_zero_and_nothing_is_remembered(name):
    """Plain gradient descent leaves parameters bit for bit where the gradient is zero."""
    learner, state, fixed = begun(name)
    for value in (0.5, np.nan, np.inf):
        after, metrics = take(learner, state, fixed, data_of(name, value), [-1] * SIZE)
        assert {term: float(found) for term, found in metrics.items()} == dict.fromkeys(metrics, 0.0)
        chex.assert_trees_all_equal((after.variables, after.heads), (state.variables, state.heads))
        still = {name: held for name, held in state.memory.items() if name not in FOLLOWING}
        chex.assert_trees_all_equal({name: after.memory[name] for name in still}, still)
        tree_is_finite = jax.tree.map(lambda leaf: bool(np.isfinite(leaf).all()), after.memory)
        assert all(jax.tree.leaves(tree_is_finite))


@pytest.mark.parametrize("name", EVERY)
def test_padding_changes_nothing_whatever_it_holds(name):
    learner, state, fixed = begun(name)
    rows = [0, 4, 8, 12, 16, -1, -1, -1]
    want, metrics = take(learner, state, fixed, data_of(name), rows)
    assert float(metrics["loss"]) > 0.0
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), want.variables["params"], state.variables["params"])
    assert any(jax.tree.leaves(moved))
    for value in (1e30, np.nan, -np.inf):
        chex.assert_trees_all_equal(take(learner, state, fixed, data_of(name, value), rows), (want, metrics))


# On eight examples these have no lower value to find.
_OF_WHOLE_BATCHES = ("contrast barlow-twins", "contrast vicreg")


@pytest.mark.parametrize("name", EVERY)
def test_a_whole_run_traces_its_step_once_and_the_loss_falls(name, compiled, tmp_path):
    """Other constants and another key train with the same program; the last batch is padded."""
    learner, _, fixed = begun(name)
    before, counts, data = jax.tree.map(np.array, fixed), [], data_of(name)

    def count(logits):
        counts.append(compiled())
        return {}

    def fit(key, epochs, **constants):
        return train.fit(
            learner, data, data.inputs, count,
            hparams=HPARAMS | {name: jnp.asarray(value, jnp.float32) for name, value in constants.items()},
            key=jax.random.key(key), epochs=epochs, batch_size=SIZE, patience=0, select=train.LAST,
            directory=tmp_path, start=lambda _: toys.variables(toys.STUDENT), fixed=fixed,
        )  # fmt: skip

    fit(1, 1, temperature=3.0, mixup=0.2, positive_weight=2.0)
    fit(0, 16, learning_rate=RATES.get(name, 0.1))
    assert counts[1] == counts[-1], "a later epoch was compiled anew"
    chex.assert_trees_all_equal(fixed, before)
    losses = [row["train"]["loss"] for row in train.read_log(tmp_path / "metrics.jsonl")]
    assert np.isfinite(losses).all()
    # Queues and memories are empty at first, and what is easy is no loss.
    if name not in _OF_WHOLE_BATCHES:
        assert np.mean(losses[-4:]) < np.mean(losses[1:5]), losses
