import dataclasses
import enum
import functools
import json
import os
import signal
import sys
import threading
import time
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import train
from hsjax.models import Network
from hsjax.models.layers import EVALUATION, Phase
from hsjax.train import loop, sources
from hsjax.types import Batch, Outputs, UserError

SIZE, BATCH, EPOCHS = 75, 16, 4
STEPS = 5  # of an epoch
# What `train` holds under this name is the function.
MODULE = sys.modules["hsjax.train.sweep"]
TRACES: list[int] = []
"""Grows with every step that is traced."""


class Way(enum.Enum):
    """How members are trained: beside each other, or as one program, which a CPU can run too."""

    LANES = "lanes"
    STEPS = "steps"
    SCAN = "scan"


class Tiny(nn.Module):
    """Small, so that it compiles at once; with dropout, so that randomness counts."""

    @nn.compact
    def __call__(self, inputs, phase: Phase = EVALUATION):
        TRACES.extend([1] * phase.train)
        hidden = jnp.tanh(nn.Dense(8)(inputs.reshape(len(inputs), -1)))
        hidden = nn.Dropout(0.1, deterministic=not phase.train)(hidden)
        return Outputs(nn.Dense(2)(hidden), hidden, {})


LEARNER = train.Learner(
    Network(Tiny()),
    train.Distil(),
    train.Optimizer(train.Rule.ADAM, train.Schedule.COSINE, total_steps=50),
)
CONSTANTS = (
    {"temperature": 1.0, "alpha": 0.3, "learning_rate": 3e-2},
    {"temperature": 7.0, "alpha": 0.1, "learning_rate": 1e-2},
    {"temperature": 4.0, "alpha": 0.9, "learning_rate": 5e-2},
)


def make_data(size: int = SIZE, seed: int = 0) -> Batch:
    """Two classes that differ a little, and no teacher."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, size)
    inputs = random.standard_normal((size, 3, 10)).astype(np.float32) + 0.4 * label[:, None, None].astype(np.float32)
    return Batch(jnp.asarray(inputs), jnp.asarray(label, jnp.int32), jnp.ones(size), jnp.ones(size))


HELD_OUT = make_data(40, 1)


def wavering(logits: np.ndarray) -> dict[str, float]:
    """Goes up and down from epoch to epoch, for every member in its own way."""
    return {"score": float(30 * np.abs(logits[:, 1] - logits[:, 0]).mean() % 1)}


def make_members(folder, constants=CONSTANTS, size: int = SIZE) -> list[train.Member]:
    """Each has its own seed, teacher and folder."""
    members = []
    for number, its in enumerate(constants):
        teacher = 2 * np.random.default_rng(10 + number).standard_normal((size, 2), np.float32)
        directory = folder / str(number)
        directory.mkdir(parents=True, exist_ok=True)
        members.append(train.Member(train.hparams(**its), jax.random.key(number), directory, jnp.asarray(teacher)))
    return members


SETTINGS: dict[str, Any] = {"epochs": EPOCHS, "batch_size": BATCH, "patience": 0, "select": "score"}


@pytest.fixture
def sweep(monkeypatch):
    """Trains members in any way; what each left, by number."""

    def run(way: Way, folder, members, data=None, finished=None, learner=LEARNER, **changes) -> dict[int, train.Fitted]:
        monkeypatch.setattr(MODULE, "side_by_side", lambda: way is Way.LANES)
        finished = {} if finished is None else finished
        at_once = threading.Lock()

        def finish(number, fitted):
            assert at_once.acquire(blocking=False), "two are handed over at once"
            time.sleep(0.01)
            assert number not in finished
            finished[number] = fitted
            at_once.release()

        settings = SETTINGS | {"lanes": 2} | changes
        if way is not Way.LANES:
            settings["dispatch"] = train.Dispatch(way.value)
        source = train.OnDevice(make_data() if data is None else data)
        own = folder / "together"
        train.sweep(learner, source, HELD_OUT.inputs, wavering, members, finish, directory=own, **settings)
        return finished

    return run


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Trains a member by itself: what is left, and its log."""

    @functools.cache
    def fit(number: int, size: int = SIZE, **changes) -> tuple[train.Fitted, list[dict]]:
        member = make_members(tmp_path_factory.mktemp("alone"), size=size)[number]
        data = make_data(size)._replace(teacher_logits=member.teacher_logits)
        settings = SETTINGS | {"hparams": member.hparams, "key": member.key, "directory": member.directory} | changes
        fitted = train.fit(LEARNER, data, HELD_OUT.inputs, wavering, **settings)
        return fitted, log(member)

    return fit


def assert_same(ours: train.Fitted, alone: train.Fitted) -> None:
    assert (ours.best_epoch, ours.epochs) == (alone.best_epoch, alone.epochs)
    chex.assert_trees_all_close(ours.variables, alone.variables, rtol=1e-4, atol=1e-5)


def log(member: train.Member) -> list[dict]:
    return train.read_log(member.directory / "metrics.jsonl")


@pytest.mark.parametrize("way", Way)
def test_the_first_twenty_losses_are_those_of_each_alone(way, sweep, alone, tmp_path):
    """Epochs of one step, so that the log has the loss of each."""
    members, losses = make_members(tmp_path, size=BATCH), []
    fitted = sweep(way, tmp_path, members, make_data(BATCH), epochs=20)
    for number, member in enumerate(members):
        one, rows = alone(number, BATCH, epochs=20)
        assert_same(fitted[number], one)
        want, got = ([row["train"]["loss"] for row in its] for its in (rows, log(member)))
        np.testing.assert_allclose(got, want, rtol=1e-5)
        assert len(want) == 20
        losses.append(want)
    # They do learn, and each something else.
    assert np.abs(np.diff(losses, axis=0)).min() > 1e-4
    assert np.abs(np.diff(losses, axis=1)).max() > 1e-2


def stops(scores: list[float], patience: int) -> tuple[int, int]:
    """Best epoch, and epochs run, of a member with these scores."""
    best, at = -np.inf, 0
    for epoch, score in enumerate(scores, 1):
        if np.float32(score) > best:
            best, at = np.float32(score), epoch
        if epoch - at >= patience:
            return at, epoch
    return at, len(scores)


@pytest.mark.parametrize("way", Way)
def test_each_stops_early_for_itself(way, sweep, alone, tmp_path):
    members = make_members(tmp_path)
    fitted = sweep(way, tmp_path, members, epochs=8, patience=2)
    for number, member in enumerate(members):
        scores = [row["validation"]["score"] for row in alone(number, epochs=8)[1]]
        assert np.abs(np.diff(sorted(scores))).min() > 1e-4  # rounding does not decide
        assert (fitted[number].best_epoch, fitted[number].epochs) == stops(scores, 2)
        assert_same(fitted[number], alone(number, epochs=8, patience=2)[0])
        assert [row["epoch"] for row in log(member)] == list(range(1, fitted[number].epochs + 1))
    assert len({its.epochs for its in fitted.values()}) > 1


@pytest.mark.parametrize("way", Way)
def test_one_whose_loss_is_not_finite_stops_alone_and_is_named(way, sweep, alone, tmp_path):
    members = make_members(tmp_path, (CONSTANTS[0], CONSTANTS[1] | {"learning_rate": 3e38}, CONSTANTS[2]))
    teacher = np.asarray(members[1].teacher_logits)
    fitted: dict[int, train.Fitted] = {}
    with pytest.raises(UserError, match="not finite at epoch 1, step 2 of 5") as raised:
        sweep(way, tmp_path, members, finished=fitted)
    saved = members[1].directory / loop.NON_FINITE
    assert str(saved) in str(raised.value)
    assert sorted(fitted) == [0, 2]
    for number in fitted:
        assert_same(fitted[number], alone(number)[0])
        assert not (members[number].directory / loop.NON_FINITE).exists()
    # What is saved is that batch.
    order = sources.epoch_order(jax.random.split(jax.random.key(1), 3)[1], 1, size=SIZE, batch_size=BATCH)
    index = np.asarray(order)[1]
    with np.load(saved) as batch:
        assert (int(batch["epoch"]), int(batch["step"])) == (1, 2)
        assert json.loads(str(batch["hparams"]))["learning_rate"] == np.float32(3e38)
        np.testing.assert_array_equal(batch["index"], index)
        np.testing.assert_array_equal(batch["inputs"], make_data().inputs[index])
        np.testing.assert_array_equal(batch["teacher_logits"], teacher[index])
    # Run again, nobody takes it for one that has been trained.
    fitted.clear()
    with pytest.raises(UserError, match="not finite") as again:
        sweep(way, tmp_path, members, finished=fitted)
    assert str(again.value) == str(raised.value)
    assert sorted(fitted) == [0, 2]


@pytest.mark.parametrize("way", Way)
def test_one_whose_weights_the_last_update_ruins_stops_alone(way, sweep, alone, tmp_path):
    members = make_members(tmp_path, (CONSTANTS[0], CONSTANTS[1] | {"learning_rate": 3e38}), size=BATCH)
    for _ in range(2):  # and run again
        fitted: dict[int, train.Fitted] = {}
        with pytest.raises(UserError, match="are not finite after epoch 1"):
            sweep(way, tmp_path, members, make_data(BATCH), fitted, epochs=1)
        assert sorted(fitted) == [0]


@pytest.mark.parametrize("left", [1, 2, 3])
def test_a_member_computes_on_as_many_cores_whoever_is_finished(left, monkeypatch, tmp_path):
    """Or its sums would be added in another order after a restart."""
    seen = []

    def fit(*_, threads, **__):
        seen.append(threads)

    monkeypatch.setattr(MODULE, "fit", fit)
    monkeypatch.setattr(MODULE, "side_by_side", lambda: True)
    members = make_members(tmp_path)[:left]
    settings = SETTINGS | {"directory": tmp_path, "lanes": 2, "of": 3}
    train.sweep(
        LEARNER,
        train.OnDevice(make_data()),
        HELD_OUT.inputs,
        wavering,
        members,
        lambda number, fitted: None,
        **settings,
    )
    assert seen == [train.Threads.ONE] * left


class KilledError(Exception):
    pass


@pytest.mark.parametrize("way", Way)
def test_killed_and_resumed_it_ends_bit_identical(way, sweep, tmp_path):
    whole, killed = (make_members(tmp_path / name) for name in ("whole", "killed"))
    want = sweep(way, tmp_path / "whole", whole)
    for at in (0.3, 0.7):
        done = 0

        def kill(steps, at=at):
            nonlocal done
            done += steps
            if done >= at * STEPS * EPOCHS * len(killed) + 1:  # in the middle of an epoch
                raise KilledError

        with pytest.raises(KilledError):
            sweep(way, tmp_path / "killed", killed, progress=kill)
    told: list[list[dict]] = [[] for _ in killed]
    watched = [member._replace(watch=its.append) for member, its in zip(killed, told, strict=True)]
    got = sweep(way, tmp_path / "killed", watched)
    assert told == [log(member) for member in killed]  # every epoch once, those before it was killed, too
    for number in want:
        chex.assert_trees_all_equal(got[number].variables, want[number].variables)
        assert (got[number].best_epoch, got[number].epochs) == (want[number].best_epoch, want[number].epochs)
        rows = ([row | {"seconds": 0} for row in log(its[number])] for its in (whole, killed))
        chex.assert_trees_all_equal(*rows)


@pytest.fixture
def interruptible():
    """Shells let what they start in the background ignore interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_stops_the_lanes_at_once_and_nothing_is_lost(sweep, tmp_path):
    whole, stopped = (make_members(tmp_path / name) for name in ("whole", "stopped"))
    want = sweep(Way.LANES, tmp_path / "whole", whole)
    done, after = 0, []

    def slow(steps):
        nonlocal done
        done += steps
        if after:
            after.append(steps)
            time.sleep(0.5)  # the rest would take 20 s
        elif done > 1.5 * STEPS * 2:
            after.append(0)
            os.kill(os.getpid(), signal.SIGINT)  # as a terminal does

    with pytest.raises(KeyboardInterrupt):
        sweep(Way.LANES, tmp_path, stopped, progress=slow)
    assert sum(after) <= 6
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
    assert any((member.directory / "checkpoints").exists() for member in stopped)
    got = sweep(Way.LANES, tmp_path, stopped)
    for number in want:
        chex.assert_trees_all_equal(got[number].variables, want[number].variables)


@pytest.mark.parametrize("way", Way)
def test_constants_seeds_and_lanes_do_not_recompile(way, sweep, tmp_path):
    learner = dataclasses.replace(LEARNER, optimizer=dataclasses.replace(LEARNER.optimizer, total_steps=60))
    counts = []
    for turn in range(2):
        before = len(TRACES)
        constants = [its | {"temperature": 2.0 + turn, "alpha": 0.5} for its in CONSTANTS[turn:]]
        folder = tmp_path / str(turn)
        members = make_members(folder, constants * 2 if way is Way.LANES else CONSTANTS)
        sweep(way, folder, members, learner=learner, epochs=2)
        counts.append(len(TRACES) - before)
    assert counts[1] == 0
    assert counts[0] == 1 if way is Way.LANES else counts[0] > 0
