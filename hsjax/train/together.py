"""Members of a sweep trained as one program with a member axis: for accelerators, where `vmap` costs little."""

import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.models import Variables
from hsjax.train import dispatch as how
from hsjax.train.checkpoint import Checkpoints
from hsjax.train.dispatch import Dispatch
from hsjax.train.layout import Layout
from hsjax.train.log import MetricsLog, Watch, unwatched
from hsjax.train.loop import (
    LAST,
    Fitted,
    Means,
    NonFiniteError,
    Validate,
    non_finite,
    not_finite_after,
    rank,
    replaces,
    validated,
)
from hsjax.train.objectives import Fixed, HParams
from hsjax.train.sources import OnDevice, WindowFeatures, epoch_order, gather
from hsjax.train.state import TrainState
from hsjax.train.step import Begin, Learner
from hsjax.types import UserError


class Member(NamedTuple):
    """What distinguishes one member of a sweep.

    Attributes:
      hparams: constants of objective and optimiser.
      key: initial weights, data order and dropout derive from it.
      directory: for its `metrics.jsonl`, and its checkpoints where it trains alone.
      teacher_logits: (n, classes) of the training examples, where its objective distils from them.
      fixed: see `TrainState`.
      begin: random variables to those to begin with.
      watch: told of its epochs.
    """

    hparams: HParams
    key: Array
    directory: pathlib.Path
    teacher_logits: Float[Array, "n classes"] | None = None
    fixed: Fixed = {}  # noqa: RUF012 - never changed in place
    begin: Begin = lambda variables: variables
    watch: Watch = unwatched


class _Kept(NamedTuple):
    """What a checkpoint holds; every leaf has a member axis but the epoch."""

    state: TrainState
    best: Variables
    best_value: np.ndarray
    best_epoch: np.ndarray
    epochs: np.ndarray  # that each member has run
    # 0, or the step after those epochs, from 1, whose loss was not finite; past the last one, the weights after it
    failed: np.ndarray
    epoch: np.ndarray


def fit_together(
    learner: Learner,
    source: OnDevice,
    validation_inputs: Array | WindowFeatures,
    validate: Validate,
    members: Sequence[Member],
    *,
    epochs: int,
    batch_size: int,
    patience: int,
    select: str,
    directory: pathlib.Path,
    dispatch: Dispatch = Dispatch.AUTO,
    progress: Callable[[int], None] = lambda steps: None,
    layout: Layout | None = None,
) -> list[Fitted | UserError]:
    """Train all members, or go on training them; see `loop.fit`, whose arguments these are.

    Each member has its own order of the data and stops for itself: from then on its state does not change. One whose
    loss is not finite stops there, and its error is returned in its place.

    Args:
      learner: of all members.
      source: training examples; each member sees them with its own teacher logits.
      validation_inputs: on the device, or computed when they are needed.
      validate: validation logits (n, classes) to metrics.
      members: what is different between them; `fixed` is not.
      epochs: at most.
      batch_size: examples per step of each member.
      patience: epochs of a member without a new best before it stops; 0 never stops early.
      select: the metric of `validate` that decides.
      directory: for the checkpoints of all.
      dispatch: see `Dispatch`.
      progress: told the number of steps done, those of all members.
      layout: devices; by default `Layout.default(len(members))`.
    """
    layout = Layout.default(len(members)) if layout is None else layout
    layout.check(batch_size)
    size, steps, count = len(source), -(-len(source) // batch_size), len(members)
    keys = [jax.random.split(member.key, 3) for member in members]
    inputs = source.data.inputs
    shape = jax.ShapeDtypeStruct((1, *inputs.shape[1:]), inputs.dtype)
    states = [
        learner.init(its[0], shape, member.hparams, member.begin, member.fixed, size)._replace(fixed={})
        for its, member in zip(keys, members, strict=True)
    ]
    fixed = layout.everywhere(members[0].fixed)
    state = layout.by_member(_stacked(states))
    hparams = layout.by_member(_stacked([dict(member.hparams) for member in members]))
    own = members[0].teacher_logits
    own = None if own is None else layout.by_member(_stacked([member.teacher_logits for member in members]))
    step_keys = layout.by_member(jnp.stack([its[2] for its in keys]))
    data = layout.everywhere(source.data._replace(teacher_logits=None))

    zeros = np.zeros(count, np.int32)
    best = jax.tree.map(jnp.copy, learner.result(state))
    kept = _Kept(state, best, np.full(count, -np.inf, np.float32), zeros, zeros, zeros, np.asarray(0, np.int32))
    for folder in (directory, *(member.directory for member in members)):
        folder.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(directory / "checkpoints")
    restored = checkpoints.restore(kept)
    kept = kept if restored is None else restored
    done = int(kept.epoch)
    first = jax.process_index() == 0
    logs = [MetricsLog(member.directory / "metrics.jsonl", done, first, member.watch) for member in members]
    scan = dispatch.resolve() is Dispatch.SCAN
    run = how.compiled("one_epoch_of_members" if scan else "one_step_of_members")
    progress(done * steps * count)

    def not_finite(number: int, epoch: int, step: int) -> UserError:
        member, order = members[number], epoch_order(keys[number][1], epoch, size=size, batch_size=batch_size)
        batch = gather(source.data._replace(teacher_logits=member.teacher_logits), order[step])
        return non_finite(member.directory, epoch, step, steps, batch, member.hparams)

    def failure(number: int, step: int) -> UserError | None:
        epoch = int(kept.epochs[number]) + 1
        if step > steps:
            return not_finite_after(epoch)
        return not_finite(number, epoch, step - 1) if step else None

    errors = [failure(number, step) for number, step in enumerate(kept.failed.tolist())]

    for epoch in range(done + 1, epochs + 1):
        waits = (epoch - 1 - kept.best_epoch >= patience) if patience else np.zeros(count, bool)
        active = ~waits & (kept.epochs == epoch - 1) & np.array([error is None for error in errors])
        if not active.any():
            break
        began = time.monotonic()
        orders = jnp.stack([epoch_order(its[1], epoch, size=size, batch_size=batch_size) for its in keys])
        orders = layout.by_member(orders)
        state, losses = kept.state, []
        for _ in range(1 if scan else steps):
            its = hparams, step_keys, own, layout.by_member(jnp.asarray(active))
            state, metrics = run(learner, layout, state, fixed, data, orders, *its)
            losses.append(metrics)
            progress(steps * count if scan else count)
        # (members, steps), whichever way they were run.
        losses = {name: np.stack([np.asarray(one[name]) for one in losses], -1) for name in losses[0]}
        losses = {name: value[..., 0].T if scan else value for name, value in losses.items()}
        result = learner.result(state)
        at_hand = layout.gathered(result)
        better = np.zeros(count, bool)
        values, failed = kept.best_value.copy(), kept.failed.copy()
        for number in np.flatnonzero(active).tolist():
            means = Means()
            try:
                for index in range(steps):
                    means.add({name: value[number, index] for name, value in losses.items()})
            except NonFiniteError as error:
                failed[number] = error.step + 1
                errors[number] = not_finite(number, epoch, error.step)
                continue
            variables = jax.tree.map(lambda leaf, number=number: leaf[number], at_hand)
            try:
                metrics = validated(learner.network, variables, validation_inputs, validate, epoch)
            except UserError as error:
                failed[number], errors[number] = steps + 1, error
                continue
            settled = epoch * steps >= learner.compression.settles
            value = rank(epoch if select == LAST else metrics[select], settled)
            better[number] = replaces(value, values[number], kept.best_epoch[number], settled)
            values[number] = value if better[number] else values[number]
            seconds = (time.monotonic() - began) / active.sum()
            logs[number].add({"epoch": epoch, "train": means.values(), "validation": metrics, "seconds": seconds})
        unharmed = active & np.array([error is None for error in errors])
        kept = _Kept(
            state,
            _chosen(better, result, kept.best),
            values,
            np.where(better, epoch, kept.best_epoch).astype(np.int32),
            np.where(unharmed, epoch, kept.epochs).astype(np.int32),
            failed,
            np.asarray(epoch, np.int32),
        )
        checkpoints.save(epoch, kept)
    checkpoints.close()
    best = layout.gathered(kept.best)
    return [error or _fitted(kept, best, number) for number, error in enumerate(errors)]


def _fitted(kept: _Kept, best: Variables, number: int) -> Fitted:
    variables = jax.tree.map(lambda leaf: leaf[number], best)
    return Fitted(variables, int(kept.best_epoch[number]), int(kept.epochs[number]))


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _chosen(better: np.ndarray, new: Any, old: Any) -> Any:
    def choose(new: Array, old: Array) -> Array:
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(choose, new, old)
