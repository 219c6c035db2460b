"""The train step. There is one."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from hsjax.models import Network, Variables
from hsjax.train.objectives import HParams, Objective
from hsjax.train.optimizer import Optimizer
from hsjax.train.state import TrainState
from hsjax.types import Batch

Start = Callable[[Variables], Variables]


@dataclasses.dataclass(frozen=True)
class Learner:
    """What a step needs that is not data: hashable, so static under jit."""

    network: Network
    objective: Objective
    optimizer: Optimizer

    def init(
        self, key: Array, inputs: jax.ShapeDtypeStruct, hparams: HParams, start: Start = lambda v: v
    ) -> TrainState:
        """State before the first step.

        Args:
          key: of the initial weights.
          inputs: shape and dtype of a batch.
          hparams: as for `step`.
          start: random variables to those to begin with.
        """
        variables = start(self.network.init(key, inputs))
        step = jnp.zeros((), jnp.int32)
        trained = self.network.trainable(variables["params"])
        return TrainState(step, variables, self.optimizer.transformation(hparams, step).init(trained))


def step(
    learner: Learner, state: TrainState, batch: Batch, hparams: HParams, key: Array
) -> tuple[TrainState, dict[str, Array]]:
    """One optimiser step.

    Args:
      learner: network, objective and optimiser.
      state: before.
      batch: on the device.
      hparams: traced scalars (learning rate, weight decay, temperature, alpha, ...), so that a change of them never
        recompiles and a sweep is this same step with a member axis.
      key: of the run; what is random in a step is derived from it and `state.step`.

    Returns:
      The state after, and scalars by name: `loss`.
    """
    key = jax.random.fold_in(key, state.step)
    network, params = learner.network, state.variables["params"]

    def loss(trained):
        variables = state.variables | {"params": network.merge(params, trained)}
        return learner.objective(network, variables, batch, hparams, key)

    trained = network.trainable(params)
    (value, collections), gradient = jax.value_and_grad(loss, has_aux=True)(trained)
    transformation = learner.optimizer.transformation(hparams, state.step)
    updates, opt_state = transformation.update(gradient, state.opt_state, trained)
    updated: Any = optax.apply_updates(trained, updates)
    variables = collections | {"params": network.merge(params, updated)}
    return TrainState(state.step + 1, variables, opt_state), {"loss": value}
