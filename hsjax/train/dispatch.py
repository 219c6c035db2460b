"""How an epoch reaches the devices: what is compiled, once for a learner, and called step by step or as a whole."""

import enum
import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models import Network, Variables
from hsjax.train.layout import MEMBER
from hsjax.train.sources import gather
from hsjax.train.state import TrainState
from hsjax.train.step import step

Metrics = dict[str, Array]


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


class Threads(enum.Enum):
    """Cores that one computation on a CPU uses: ALL, or ONE, where several members train side by side."""

    ALL = "all"
    ONE = "one"

    @property
    def options(self) -> dict[str, Any] | None:
        """For XLA."""
        one = self is Threads.ONE and jax.default_backend() == "cpu"
        return {"xla_cpu_multi_thread_eigen": False} if one else None


# What follows is one function for each kind of call, so that jit's cache serves every run of the process. The state is
# given away; what is fixed and the data are not, because others train with them too. Shardings are in `layout`.


def _one_step(learner, layout, state, fixed, data, order, hparams, key):
    index = layout.constrain_batch(order[state.step % order.shape[0]])
    return _one_batch(learner, layout, state, fixed, gather(data, index), hparams, key)


def _one_batch(learner, layout, state, fixed, batch, hparams, key):
    state, metrics = step(learner, state._replace(fixed=fixed), layout.constrain_batch(batch), hparams, key)
    return layout.constrain_everywhere((state._replace(fixed={}), metrics))


def _one_epoch(learner, layout, state, fixed, data, order, hparams, key):
    def body(state, _):
        return _one_step(learner, layout, state, fixed, data, order, hparams, key)

    return jax.lax.scan(body, state, None, length=order.shape[0])


def _one_step_of_members(learner, layout, state, fixed, data, order, hparams, key, own, active):
    def one(state, order, hparams, key, own, active):
        index = layout.constrain_batch(order[state.step % order.shape[0]])
        batch = layout.constrain_batch(gather(data._replace(teacher_logits=own), index))
        after, metrics = step(learner, state._replace(fixed=fixed), batch, hparams, key)
        after = after._replace(fixed={})
        # Who has stopped stays as he was.
        return jax.tree.map(lambda new, old: jnp.where(active, new, old), after, state), metrics

    axis = None if layout.mesh is None else MEMBER
    state, metrics = jax.vmap(one, spmd_axis_name=axis)(state, order, hparams, key, own, active)
    return layout.constrain_members(state), layout.constrain_everywhere(metrics)


def _one_epoch_of_members(learner, layout, state, fixed, data, order, hparams, key, own, active):
    def body(state, _):
        return _one_step_of_members(learner, layout, state, fixed, data, order, hparams, key, own, active)

    return jax.lax.scan(body, state, None, length=order.shape[1])


_FUNCTIONS = {
    function.__name__.removeprefix("_"): function
    for function in (_one_step, _one_batch, _one_epoch, _one_step_of_members, _one_epoch_of_members)
}


@functools.cache
def compiled(name: str, threads: Threads = Threads.ALL) -> Callable[..., tuple[TrainState, Metrics]]:
    """One of the functions above, jitted; learner and layout are static, the state is donated."""
    return _once(
        jax.jit(_FUNCTIONS[name], static_argnums=(0, 1), donate_argnums=2, compiler_options=threads.options), 2
    )


@functools.cache
def forward(threads: Threads = Threads.ALL) -> Callable[[Network, Variables, Array], Float[Array, "n classes"]]:
    """Logits of a network that is not trained, jitted."""

    def run(network: Network, variables: Variables, inputs: Array) -> Array:
        return network.apply(variables, inputs)[0].logits

    return _once(jax.jit(run, static_argnums=0, compiler_options=threads.options), 1)


_compiling = threading.Lock()


def _once(jitted: Callable[..., Any], static: int) -> Callable[..., Any]:
    """As it is, but several members that begin at once wait for one of them to compile what all of them call.

    Args:
      jitted: what they call.
      static: how many arguments, from the first on, decide what is compiled.
    """
    known: set[tuple[Any, ...]] = set()

    def call(*arguments: Any) -> Any:
        key = arguments[:static]
        if key in known:
            return jitted(*arguments)
        with _compiling:
            result = jitted(*arguments)
            known.add(key)
        return result

    return call
