"""The train step. There is one."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from hsjax.compress import NONE, Compression
from hsjax.losses.contrastive import momentum_update
from hsjax.models import Network, Variables
from hsjax.train.objectives import Fixed, HParams, Objective, Parts, Start
from hsjax.train.objectives.base import compression_key, head_key
from hsjax.train.optimizer import Optimizer
from hsjax.train.state import TrainState
from hsjax.types import Batch

Begin = Callable[[Variables], Variables]
"""Random variables to those that training begins with (weights that were trained elsewhere)."""


@dataclasses.dataclass(frozen=True)
class Learner:
    """What a step needs that is not data: hashable, so static under jit.

    Attributes:
      network: that is trained.
      objective: see there.
      optimizer: of the network's trainable parameters and the objective's heads.
      averages: whether a moving average of the variables is kept, with `hparams["ema_decay"]`; it is what is
        validated and kept in the end.
      compression: of the network's trainable parameters.
    """

    network: Network
    objective: Objective
    optimizer: Optimizer
    averages: bool = False
    compression: Compression = NONE

    def init(
        self,
        key: Array,
        inputs: jax.ShapeDtypeStruct,
        hparams: HParams,
        begin: Begin = lambda variables: variables,
        fixed: Fixed | None = None,
        examples: int = 0,
    ) -> TrainState:
        """State before the first step.

        Args:
          key: of the initial weights.
          inputs: shape and dtype of a batch.
          hparams: as for `step`.
          begin: random variables to those to begin with.
          fixed: see `TrainState`.
          examples: size of the training set.
        """
        fixed = {} if fixed is None else fixed
        seen = self.objective.example(inputs, fixed)
        variables = begin(self.network.init(key, seen))
        theirs, compression = self.compression.init(self.network.trainable(variables["params"]), compression_key(key))
        variables = variables | {"params": self.network.merge(variables["params"], theirs)}
        heads, memory = self.objective.init(self.network, head_key(key), seen, Start(variables, fixed, examples))
        step = jnp.zeros((), jnp.int32)
        trained = self.network.trainable(variables["params"]), heads
        opt_state = self.optimizer.transformation(hparams, step).init(trained)
        average = jax.tree.map(jnp.copy, variables) if self.averages else None
        return TrainState(step, variables, opt_state, heads, memory, average, fixed, compression)

    def result(self, state: TrainState) -> Variables:
        """The variables that are validated and kept."""
        return state.variables if state.average is None else state.average


def step(
    learner: Learner, state: TrainState, batch: Batch, hparams: HParams, key: Array
) -> tuple[TrainState, dict[str, Array]]:
    """One optimiser step.

    Args:
      learner: network, objective and optimiser.
      state: before.
      batch: on the device, the whole of it whatever devices it lies on.
      hparams: traced scalars (learning rate, weight decay, temperature, alpha, ...), so that a change of them never
        recompiles and a sweep is this same step with a member axis.
      key: of the run; what is random in a step is derived from it and `state.step`.

    Returns:
      The state after, and scalars by name: `loss`, and its terms before they are weighed.
    """
    (theirs, of_heads), value, aside = gradients(learner, state, batch, hparams, key)
    network, params, compression = learner.network, state.variables["params"], learner.compression
    gradient = compression.gradient(theirs, state.compression), of_heads
    trained = network.trainable(params), state.heads
    transformation = learner.optimizer.transformation(hparams, state.step)
    updates, opt_state = transformation.update(gradient, state.opt_state, trained)
    updated, heads = _pair(optax.apply_updates(trained, updates))
    count = state.step + 1
    updated, compressed = compression.after(updated, state.compression, count, hparams)
    variables = aside.collections | {"params": network.merge(params, updated)}
    memory = learner.objective.after(Parts(variables, heads, aside.memory, state.fixed), hparams, count)
    average = state.average
    if average is not None:
        # Not longer than the run so far, or the random beginning would weigh for thousands of steps.
        average = momentum_update(average, variables, jnp.minimum(hparams["ema_decay"], 1 - 1 / (count + 1)))
        held = compression.held(network.trainable(average["params"]), compressed)
        average = average | {"params": network.merge(average["params"], held)}
    after = TrainState(count, variables, opt_state, heads, memory, average, state.fixed, compressed)
    return after, {"loss": value, **aside.terms}


def _pair(tree: Any) -> tuple[Any, Any]:
    return tree


def gradients(
    learner: Learner, state: TrainState, batch: Batch, hparams: HParams, key: Array
) -> tuple[Any, Array, Any]:
    """Of one step, before the optimiser: gradient by the trained parameters and by the heads, the loss, the `Aside`."""
    key = jax.random.fold_in(key, state.step)
    network, params = learner.network, state.variables["params"]

    def loss(trained):
        theirs, heads = trained
        variables = state.variables | {"params": network.merge(params, theirs)}
        parts = Parts(variables, heads, state.memory, state.fixed)
        return learner.objective(network, parts, batch, hparams, key)

    trained = network.trainable(params), state.heads
    (value, aside), gradient = jax.value_and_grad(loss, has_aux=True)(trained)
    return gradient, value, aside
