"""Epochs: dispatch, validation, early stopping, checkpoints. Where the examples come from is `sources`."""

import dataclasses
import enum
import functools
import pathlib
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.models import Network, Variables
from hsjax.train.checkpoint import Checkpoints
from hsjax.train.log import MetricsLog
from hsjax.train.objectives import HParams
from hsjax.train.sources import OnDevice, Source, Streamed, WindowFeatures, epoch_order, gather
from hsjax.train.state import TrainState
from hsjax.train.step import Learner, Start, step
from hsjax.types import Batch, UserError

# Examples per forward pass where no gradient is needed.
_FORWARD_BATCH = 256
# Steps that may be under way before the host waits: the device never idles, and the progress bar stays honest.
_STEPS_AHEAD = 8


class Dispatch(enum.Enum):
    """How an epoch reaches the device.

    STEPS: one dispatch a step. XLA's CPU backend runs convolutions inside a loop on a slow path (ten times and more).
    SCAN: the whole epoch as one program, for accelerators, where dispatch costs more than the step.
    AUTO: STEPS on CPU, SCAN elsewhere.
    """

    AUTO = "auto"
    STEPS = "steps"
    SCAN = "scan"

    def resolve(self) -> "Dispatch":
        """AUTO decided for the default backend."""
        if self is not Dispatch.AUTO:
            return self
        return Dispatch.STEPS if jax.default_backend() == "cpu" else Dispatch.SCAN


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What training left: the variables of the best epoch, which epoch that was, and how many were run."""

    variables: Variables
    best_epoch: int
    epochs: int


@functools.partial(jax.jit, static_argnames="learner", donate_argnames="state")
def _one_step(learner: Learner, state: TrainState, data: Batch, order: Array, hparams: HParams, key: Array):
    return step(learner, state, gather(data, order[state.step % order.shape[0]]), hparams, key)


_one_batch = functools.partial(jax.jit, static_argnames="learner", donate_argnames="state")(step)


@functools.partial(jax.jit, static_argnames="learner", donate_argnames="state")
def _one_epoch(learner: Learner, state: TrainState, data: Batch, order: Array, hparams: HParams, key: Array):
    def body(state, index):
        return step(learner, state, gather(data, index), hparams, key)

    return jax.lax.scan(body, state, order)


@functools.partial(jax.jit, static_argnames="network")
def _forward(network: Network, variables: Variables, inputs: Array) -> Array:
    return network.apply(variables, inputs)[0].logits


def logits(
    network: Network, variables: Variables, inputs: Array | np.ndarray | WindowFeatures
) -> Float[np.ndarray, "n classes"]:
    """The network's logits for many examples, in chunks; host array out."""
    chunks = []
    for start in range(0, len(inputs), _FORWARD_BATCH):
        chunk = inputs[start : start + _FORWARD_BATCH]
        padded = jnp.pad(chunk, [(0, _FORWARD_BATCH - len(chunk))] + [(0, 0)] * (chunk.ndim - 1))
        chunks.append(np.asarray(_forward(network, variables, padded))[: len(chunk)])
    return np.concatenate(chunks)


def fit(
    learner: Learner,
    data: Batch | Source,
    validation_inputs: Array | WindowFeatures,
    validate: Callable[[np.ndarray], dict[str, float]],
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
    start: Start = lambda variables: variables,
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
      select: the metric of `validate` that decides, larger is better.
      directory: for `checkpoints/` and `metrics.jsonl`.
      dispatch: see `Dispatch`.
      progress: told the number of steps done.
      start: random variables to those to begin with (weights that were trained elsewhere).

    Raises:
      UserError: the training loss is not finite, or the dispatch does not suit the source.
    """
    source = OnDevice(data) if isinstance(data, Batch) else data
    run = _runner(source, dispatch)
    size, steps = len(source), -(-len(source) // batch_size)
    init_key, order_key, step_key = jax.random.split(key, 3)
    inputs = source.data.inputs
    shape = jax.ShapeDtypeStruct((1, *inputs.shape[1:]), inputs.dtype)
    state = learner.init(init_key, shape, hparams, start)
    kept = _Kept(state, jax.tree.map(jnp.copy, state.variables), jnp.float32(-jnp.inf), jnp.int32(0), jnp.int32(0))

    checkpoints = Checkpoints(directory / "checkpoints")
    restored = checkpoints.restore(kept)
    kept = kept if restored is None else restored
    log = MetricsLog(directory / "metrics.jsonl", up_to_epoch=int(kept.epoch))
    progress(int(kept.epoch) * steps)

    for epoch in range(int(kept.epoch) + 1, epochs + 1):
        if patience and epoch - 1 - int(kept.best_epoch) >= patience:
            break
        began = time.monotonic()
        order = epoch_order(order_key, epoch, size=size, batch_size=batch_size)
        state, losses = run(learner, kept.state, order, hparams, step_key, progress)
        if not np.isfinite(losses).all():
            first = int(np.flatnonzero(~np.isfinite(losses))[0])
            raise UserError(
                f"the training loss is not finite at epoch {epoch}, step {first + 1} of {steps}: "
                "lower the learning rate or set a clip_norm"
            )
        metrics = validate(logits(learner.network, state.variables, validation_inputs))
        value = np.float32(metrics[select])  # as it is kept, or an equal one would beat its own rounding
        better = value > np.float32(kept.best_value)
        kept = _Kept(
            state,
            jax.tree.map(jnp.copy, state.variables) if better else kept.best,
            jnp.asarray(value) if better else kept.best_value,
            jnp.int32(epoch) if better else kept.best_epoch,
            jnp.int32(epoch),
        )
        log.add(
            {
                "epoch": epoch,
                "train": {"loss": float(losses.mean())},
                "validation": metrics,
                "seconds": time.monotonic() - began,
            }
        )
        checkpoints.save(epoch, kept)
    checkpoints.close()
    return Fitted(kept.best, int(kept.best_epoch), int(kept.epoch))


class _Kept(NamedTuple):
    """What a checkpoint holds: a pytree of arrays."""

    state: TrainState
    best: Variables
    best_value: Any
    best_epoch: Any
    epoch: Any


def _runner(source: Source, dispatch: Dispatch) -> Callable[..., tuple[TrainState, np.ndarray]]:
    """What takes the state through an epoch."""
    if isinstance(source, OnDevice):
        run = _scan_epoch if dispatch.resolve() is Dispatch.SCAN else _step_epoch
        return functools.partial(run, source.data)
    if dispatch is Dispatch.SCAN:
        raise UserError(
            "an epoch as one program needs its examples on the device: set config.dispatch=steps, or "
            "config.data.placement=device"
        )
    if source.processes > 1:
        raise UserError(
            f"gradients are not averaged over processes, of which there are {source.processes}: start the run as one"
        )
    return functools.partial(_stream_epoch, source)


def _step_epoch(data: Batch, learner, state, order, hparams, key, progress) -> tuple[TrainState, np.ndarray]:
    def take(state: TrainState):
        return _one_step(learner, state, data, order, hparams, key)

    return _in_turn(state, (take for _ in range(len(order))), progress)


def _stream_epoch(source: Streamed, learner, state, order, hparams, key, progress) -> tuple[TrainState, np.ndarray]:
    def take(state: TrainState, batch: Batch):
        return _one_batch(learner, state, batch, hparams, key)

    batches = source.batches(order)
    try:
        return _in_turn(state, (functools.partial(take, batch=batch) for batch in batches), progress)
    finally:
        batches.close()


def _in_turn(state: TrainState, steps: Iterable[Callable], progress) -> tuple[TrainState, np.ndarray]:
    losses = []
    for index, take in enumerate(steps):
        state, metrics = take(state)
        losses.append(metrics["loss"])
        if index >= _STEPS_AHEAD:
            losses[index - _STEPS_AHEAD].block_until_ready()
        progress(1)
    return state, np.asarray(jnp.stack(losses))


def _scan_epoch(data: Batch, learner, state, order, hparams, key, progress) -> tuple[TrainState, np.ndarray]:
    state, metrics = _one_epoch(learner, state, data, order, hparams, key)
    losses = np.asarray(metrics["loss"])
    progress(len(order))
    return state, losses
