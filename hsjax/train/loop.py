"""Epochs: dispatch, validation, early stopping, checkpoints. Where the examples come from is `sources`."""

import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array

from hsjax.models import Network, Variables
from hsjax.train import dispatch as how
from hsjax.train.checkpoint import Checkpoints
from hsjax.train.dispatch import Dispatch, Threads
from hsjax.train.inference import logits
from hsjax.train.layout import Layout, local
from hsjax.train.log import MetricsLog, Watch, unwatched
from hsjax.train.objectives import Fixed, HParams
from hsjax.train.sources import OnDevice, Source, WindowFeatures, epoch_order, gather
from hsjax.train.state import TrainState
from hsjax.train.step import Begin, Learner
from hsjax.types import Batch, UserError

# Steps that may be under way before the host waits: the device never idles, and the progress bar stays honest.
STEPS_AHEAD = 8

LAST = "last"
"""Instead of the metric to select by: the last epoch is the best."""

NON_FINITE = "non-finite.npz"
"""The batch whose loss was not finite, and which step it was."""

Validate = Callable[[np.ndarray], dict[str, float]] | None
"""Validation logits (n, classes) to metrics; None where nothing is validated, because no classes are learnt."""


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What training left: the variables of the best epoch, which epoch that was, and how many were run."""

    variables: Variables
    best_epoch: int
    epochs: int


def fit(
    learner: Learner,
    data: Batch | Source,
    validation_inputs: Array | WindowFeatures,
    validate: Validate,
    *,
    hparams: HParams,
    key: Array,
    epochs: int,
    batch_size: int,
    patience: int,
    select: str,
    directory: pathlib.Path,
    dispatch: Dispatch = Dispatch.AUTO,
    progress: Callable[[int], None] = lambda steps: None,
    watch: Watch = unwatched,
    start: Begin = lambda variables: variables,
    fixed: Fixed | None = None,
    layout: Layout | None = None,
    threads: Threads = Threads.ALL,
) -> Fitted:
    """Train, or go on training, and return the best epoch's variables.

    Interrupted at any moment and called again with the same arguments, it returns the same variables bit for bit on
    CPU: an epoch is a function of the checkpoint before it, `key` and its number.

    Args:
      learner: network, objective, optimiser.
      data: training examples; a `Batch` of them is one on the device.
      validation_inputs: on the device, or computed when they are needed.
      validate: validation logits (n, classes) to metrics.
      hparams: constants of objective and optimiser.
      key: of this run; initial weights, data order and dropout derive from it.
      epochs: at most.
      batch_size: examples per step; the last one of an epoch is padded and masked.
      patience: epochs without a new best before stopping; 0 never stops early.
      select: the metric of `validate` that decides, larger is better; `LAST` keeps the last epoch.
      directory: for `checkpoints/` and `metrics.jsonl`.
      dispatch: see `Dispatch`.
      progress: told the number of steps done.
      watch: told of every epoch.
      start: random variables to those to begin with (weights that were trained elsewhere).
      fixed: see `TrainState`.
      layout: devices; by default `Layout.default()`.
      threads: of a CPU.

    Raises:
      UserError: the training loss is not finite (the batch is in `directory / NON_FINITE`), or the weights after an
        epoch; the dispatch does not suit the source, or batches cannot be divided among the devices.
    """
    layout = Layout.default() if layout is None else layout
    layout.check(batch_size)
    source = OnDevice(data) if isinstance(data, Batch) else data
    size, steps = len(source), -(-len(source) // batch_size)
    init_key, order_key, step_key = jax.random.split(key, 3)
    inputs = source.data.inputs
    shape = jax.ShapeDtypeStruct((1, *inputs.shape[1:]), inputs.dtype)
    fixed = layout.everywhere({} if fixed is None else fixed)
    state = learner.init(init_key, shape, hparams, start, fixed, size)._replace(fixed={})
    state = layout.everywhere(state)
    traced = layout.everywhere((dict(hparams), step_key))
    run = _runner(source, dispatch, layout, threads)
    best = jax.tree.map(jnp.copy, learner.result(state))
    kept = Kept(state, best, *map(np.asarray, (np.float32(-np.inf), np.int32(0), np.int32(0))))

    directory.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(directory / "checkpoints")
    restored = checkpoints.restore(kept)
    kept = kept if restored is None else restored
    log = MetricsLog(directory / "metrics.jsonl", int(kept.epoch), jax.process_index() == 0, watch)
    progress(int(kept.epoch) * steps)

    for epoch in range(int(kept.epoch) + 1, epochs + 1):
        if stopped(kept, patience, epoch):
            break
        began = time.monotonic()
        order = epoch_order(order_key, epoch, size=size, batch_size=batch_size)
        try:
            state, trained = run(learner, kept.state, fixed, order, *traced, progress)
        except NonFiniteError as error:
            batch = gather(source.data, order[error.step]) if isinstance(source, OnDevice) else _whole(error.batch)
            raise non_finite(directory, epoch, error.step, steps, batch, hparams) from error
        result = learner.result(state)
        metrics = validated(learner.network, local(result), validation_inputs, validate, epoch, threads)
        value = metrics[select] if select != LAST else float(epoch)
        kept = kept.after(state, result, value, epoch, settled=epoch * steps >= learner.compression.settles)
        log.add({"epoch": epoch, "train": trained, "validation": metrics, "seconds": time.monotonic() - began})
        checkpoints.save(epoch, kept)
    checkpoints.close()
    return Fitted(local(kept.best), int(kept.best_epoch), int(kept.epoch))


class Kept(NamedTuple):
    """What a checkpoint holds: a pytree of arrays."""

    state: TrainState
    best: Variables
    best_value: Any
    best_epoch: Any
    epoch: Any

    def after(self, state: TrainState, result: Variables, value: float, epoch: int, settled: bool = True) -> "Kept":
        """What is kept after one more epoch; one in which the network has not settled yet gives way to any later."""
        as_kept = rank(value, settled)
        better = replaces(as_kept, self.best_value, self.best_epoch, settled)
        return Kept(
            state,
            jax.tree.map(jnp.copy, result) if better else self.best,
            np.asarray(as_kept if better else self.best_value),
            np.asarray(np.int32(epoch) if better else self.best_epoch),
            np.asarray(np.int32(epoch)),
        )


def rank(value: float, settled: bool) -> np.float32:
    """What an epoch's value counts for; rounded as it is kept, or an equal one would beat its own rounding."""
    return np.float32(value if settled and not np.isnan(value) else -np.inf)


def replaces(value: np.float32, best: Any, best_epoch: Any, settled: bool) -> bool:
    """Whether an epoch is kept instead of the best one so far; one before the network had settled gives way."""
    unsettled = bool(np.isneginf(best)) and int(best_epoch) > 0
    return bool(value > np.float32(best)) or not settled or unsettled


def stopped(kept: Kept, patience: int, epoch: int) -> bool:
    """Whether training has stopped early before `epoch`."""
    return bool(patience) and epoch - 1 - int(kept.best_epoch) >= patience


class NonFiniteError(Exception):
    """The loss of one step is not finite.

    Attributes:
      step: which one of the epoch, from 0.
      batch: that it was computed of, if it is at hand.
    """

    def __init__(self, step: int, batch: Batch | None = None):
        super().__init__(step)
        self.step, self.batch = step, batch


def non_finite(
    directory: pathlib.Path, epoch: int, step: int, steps: int, batch: Batch | None, hparams: HParams
) -> UserError:
    """Saves the batch of a step whose loss is not finite, and says what has happened."""
    arrays = {} if batch is None else {k: np.asarray(v) for k, v in batch._asdict().items() if v is not None}
    constants = json.dumps({name: float(value) for name, value in hparams.items()})
    arrays |= {"epoch": np.array(epoch), "step": np.array(step + 1), "hparams": np.array(constants)}
    if jax.process_index() == 0:
        np.savez(directory / NON_FINITE, allow_pickle=False, **arrays)
    held = "" if batch is None or np.isfinite(batch.inputs).all() else ", whose inputs are not finite either,"
    return UserError(
        f"the training loss is not finite at epoch {epoch}, step {step + 1} of {steps} (its batch{held} is in "
        f"{directory / NON_FINITE}): lower the learning rate or set a clip_norm"
    )


def validated(
    network: Network,
    variables: Variables,
    inputs: Array | WindowFeatures,
    validate: Validate,
    epoch: int,
    threads: Threads = Threads.ALL,
) -> dict[str, float]:
    """Metrics after an epoch; none where nothing is validated.

    Raises:
      UserError: weights or logits are not finite. The last update of an epoch comes after its last loss.
    """
    if not all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(variables)):
        raise not_finite_after(epoch)
    if validate is None:
        return {}
    found = logits(network, variables, inputs, threads)
    if not np.isfinite(found).all():
        raise not_finite_after(epoch)
    return validate(found)


def not_finite_after(epoch: int) -> UserError:
    """What to say of a network that an epoch's last update has ruined."""
    return UserError(
        f"the weights or what they compute are not finite after epoch {epoch}: lower learning_rate or set clip_norm"
    )


def _whole(batch: Batch | None) -> Batch | None:
    """A batch of which every process has read its own part."""
    return multihost_utils.process_allgather(batch, tiled=True) if jax.process_count() > 1 else batch


Run = Callable[..., tuple[TrainState, dict[str, float]]]


def _runner(source: Source, dispatch: Dispatch, layout: Layout, threads: Threads) -> Run:
    """What takes the state through an epoch, and says what the loss and its terms were on average."""
    if isinstance(source, OnDevice):
        source = OnDevice(layout.everywhere(source.data))
        run = _scan_epoch if dispatch.resolve() is Dispatch.SCAN else _step_epoch
    elif dispatch is Dispatch.SCAN:
        raise UserError(
            "an epoch as one program needs its examples on the device: set config.dispatch=steps, or "
            "config.data.placement=device"
        )
    elif source.processes != jax.process_count():
        raise UserError(
            f"the examples are divided among {source.processes} processes, but {jax.process_count()} train: "
            "leave out the source's process_count"
        )
    else:
        run = _stream_epoch
    return functools.partial(run, source, layout, threads)


def _step_epoch(source, layout, threads, learner, state, fixed, order, hparams, key, progress):
    take = how.compiled("one_step", threads)
    order = layout.everywhere(order)
    calls = (lambda s: take(learner, layout, s, fixed, source.data, order, hparams, key) for _ in range(len(order)))
    return _in_turn(state, ((call, None) for call in calls), progress)


def _stream_epoch(source, layout, threads, learner, state, fixed, order, hparams, key, progress):
    take = how.compiled("one_batch", threads)
    batches = source.batches(order)

    def calls() -> Iterator[tuple[Callable, Batch]]:
        for batch in batches:
            divided = layout.batch(batch)
            yield lambda s, b=divided: take(learner, layout, s, fixed, b, hparams, key), batch

    try:
        return _in_turn(state, calls(), progress)
    finally:
        batches.close()


def _in_turn(state: TrainState, calls: Iterable[tuple[Callable, Batch | None]], progress):
    waiting, means = [], Means()
    for call, batch in calls:
        state, metrics = call(state)
        waiting.append((metrics, batch))
        if len(waiting) > STEPS_AHEAD:
            means.add(*waiting.pop(0))
        progress(1)
    for metrics, batch in waiting:
        means.add(metrics, batch)
    return state, means.values()


def _scan_epoch(source, layout, threads, learner, state, fixed, order, hparams, key, progress):
    order = layout.everywhere(order)
    state, metrics = how.compiled("one_epoch", threads)(learner, layout, state, fixed, source.data, order, hparams, key)
    metrics, means = jax.device_get(metrics), Means()
    for index in range(len(order)):
        means.add({name: value[index] for name, value in metrics.items()})
    progress(len(order))
    return state, means.values()


class Means:
    """Of the loss and its terms over an epoch; stops at the first loss that is not finite."""

    def __init__(self):
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, metrics: dict[str, Any], batch: Batch | None = None) -> None:
        """One step's.

        Raises:
          NonFiniteError: its loss is not.
        """
        if not np.isfinite(metrics["loss"]):
            raise NonFiniteError(self._count, batch)
        for name, value in metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._count += 1

    def values(self) -> dict[str, float]:
        """The means."""
        return {name: total / self._count for name, total in self._sums.items()}
