"""Epochs: shuffling on the device, dispatch, validation, early stopping, checkpoints; nothing else touches devices."""

import dataclasses
import enum
import functools
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hsjax.models import Network, Variables
from hsjax.train.checkpoint import Checkpoints
from hsjax.train.log import MetricsLog
from hsjax.train.objectives import HParams
from hsjax.train.state import TrainState
from hsjax.train.step import Learner, step
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


@functools.partial(jax.jit, static_argnames=("size", "batch_size"))
def epoch_order(key: Array, epoch: Int[Array, ""] | int, *, size: int, batch_size: int) -> Int[Array, "steps batch"]:
    """A permutation of the examples in rows of one batch; -1 pads the last row. A function of key and epoch alone."""
    order = jax.random.permutation(jax.random.fold_in(key, epoch), size)
    steps = -(-size // batch_size)
    return jnp.pad(order, (0, steps * batch_size - size), constant_values=-1).reshape(steps, batch_size)


def gather(data: Batch, index: Int[Array, " batch"]) -> Batch:
    """The examples at `index`; index -1 gives a masked example."""
    batch = jax.tree.map(lambda leaf: leaf[index], data)
    return batch._replace(mask=jnp.where(index >= 0, batch.mask, 0.0))


@functools.partial(jax.jit, static_argnames="learner", donate_argnames="state")
def _one_step(learner: Learner, state: TrainState, data: Batch, order: Array, hparams: HParams, key: Array):
    return step(learner, state, gather(data, order[state.step % order.shape[0]]), hparams, key)


@functools.partial(jax.jit, static_argnames="learner", donate_argnames="state")
def _one_epoch(learner: Learner, state: TrainState, data: Batch, order: Array, hparams: HParams, key: Array):
    def body(state, index):
        return step(learner, state, gather(data, index), hparams, key)

    return jax.lax.scan(body, state, order)


@functools.partial(jax.jit, static_argnames="network")
def _forward(network: Network, variables: Variables, inputs: Array) -> Array:
    return network.apply(variables, inputs)[0].logits


def logits(network: Network, variables: Variables, inputs: Array | np.ndarray) -> Float[np.ndarray, "n classes"]:
    """The network's logits for many examples, in chunks; host array out."""
    chunks = []
    for start in range(0, len(inputs), _FORWARD_BATCH):
        chunk = inputs[start : start + _FORWARD_BATCH]
        padded = jnp.pad(chunk, [(0, _FORWARD_BATCH - len(chunk))] + [(0, 0)] * (chunk.ndim - 1))
        chunks.append(np.asarray(_forward(network, variables, padded))[: len(chunk)])
    return np.concatenate(chunks)


def fit(
    learner: Learner,
    data: Batch,
    validation_inputs: Array,
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
) -> Fitted:
    """Train, or go on training, and return the best epoch's variables.

    Interrupted at any moment and called again with the same arguments, it returns the same variables bit for bit on
    CPU: an epoch is a function of the checkpoint before it, `key` and its number.

    Args:
      learner: network, objective, optimiser.
      data: all training examples, on the device.
      validation_inputs: on the device.
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

    Raises:
      UserError: the training loss is not finite.
    """
    size, steps = len(data.label), -(-len(data.label) // batch_size)
    init_key, order_key, step_key = jax.random.split(key, 3)
    shape = jax.ShapeDtypeStruct((1, *data.inputs.shape[1:]), data.inputs.dtype)
    state = learner.init(init_key, shape, hparams)
    kept = _Kept(state, jax.tree.map(jnp.copy, state.variables), jnp.float32(-jnp.inf), jnp.int32(0), jnp.int32(0))

    checkpoints = Checkpoints(directory / "checkpoints")
    restored = checkpoints.restore(kept)
    kept = kept if restored is None else restored
    log = MetricsLog(directory / "metrics.jsonl", up_to_epoch=int(kept.epoch))
    progress(int(kept.epoch) * steps)

    scan = dispatch.resolve() is Dispatch.SCAN
    for epoch in range(int(kept.epoch) + 1, epochs + 1):
        if patience and epoch - 1 - int(kept.best_epoch) >= patience:
            break
        began = time.monotonic()
        order = epoch_order(order_key, epoch, size=size, batch_size=batch_size)
        run = _scan_epoch if scan else _step_epoch
        state, losses = run(learner, kept.state, data, order, hparams, step_key, progress)
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


def _step_epoch(learner, state, data, order, hparams, key, progress) -> tuple[TrainState, np.ndarray]:
    losses = []
    for index in range(len(order)):
        state, metrics = _one_step(learner, state, data, order, hparams, key)
        losses.append(metrics["loss"])
        if index >= _STEPS_AHEAD:
            losses[index - _STEPS_AHEAD].block_until_ready()
        progress(1)
    return state, np.asarray(jnp.stack(losses))


def _scan_epoch(learner, state, data, order, hparams, key, progress) -> tuple[TrainState, np.ndarray]:
    state, metrics = _one_epoch(learner, state, data, order, hparams, key)
    losses = np.asarray(metrics["loss"])
    progress(len(order))
    return state, losses
