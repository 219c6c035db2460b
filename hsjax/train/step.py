"""The train step. There is one."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from hsjax.models import Network
from hsjax.train.objectives import HParams, Objective
from hsjax.train.optimizer import Optimizer
from hsjax.train.state import TrainState
from hsjax.types import Batch


@dataclasses.dataclass(frozen=True)
class Learner:
    """What a step needs that is not data: hashable, so static under jit."""

    network: Network
    objective: Objective
    optimizer: Optimizer

    def init(self, key: Array, inputs: jax.ShapeDtypeStruct, hparams: HParams) -> TrainState:
        """Fresh state for batches shaped like `inputs`."""
        variables = self.network.init(key, inputs)
        step = jnp.zeros((), jnp.int32)
        return TrainState(step, variables, self.optimizer.transformation(hparams, step).init(variables["params"]))


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

    def loss(params):
        return learner.objective(learner.network, state.variables | {"params": params}, batch, hparams, key)

    params = state.variables["params"]
    (value, collections), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    transformation = learner.optimizer.transformation(hparams, state.step)
    updates, opt_state = transformation.update(gradient, state.opt_state, params)
    variables = collections | {"params": optax.apply_updates(params, updates)}
    return TrainState(state.step + 1, variables, opt_state), {"loss": value}
