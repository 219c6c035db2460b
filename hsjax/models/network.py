"""A network as a pair of pure functions, and what it costs."""

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array

from hsjax.models import low_rank
from hsjax.models.layers import EVALUATION, Execution, Phase, Precision, ends_seen, is_frozen
from hsjax.types import Outputs, UserError

Variables = dict[str, Any]

_UNOPTIMISED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@dataclasses.dataclass(frozen=True)
class Network:
    """Pure `init` and `apply`; hashable, so that it can be a static argument of a jitted step.

    Attributes:
      module: the Linen module behind it.
      frozen: patterns of paths (`stem`, `stage[12]`; see `layers.is_frozen`) that training leaves alone: their batch
        norm and dropout behave as in evaluation, and `trainable` is without them.
      precision: what `apply` computes in. Variables are float32 in any, and so are outputs and gradients; a file is
        exported from FLOAT32.
      ranks: linear layers and 1x1 convolutions that are two, see `low_rank`.
    """

    module: nn.Module
    frozen: tuple[str, ...] = ()
    precision: Precision = Precision.FLOAT32
    ranks: low_rank.Ranks = ()

    def init(self, key: Array, inputs: Any) -> Variables:
        """Fresh variables: `params`, and `batch_stats` where there is batch norm. `inputs` may be a shape."""
        sample = jnp.zeros(inputs.shape, inputs.dtype)
        if isinstance(key, jax.core.Tracer):
            return self._initial(key, sample)
        # Random numbers take XLA's CPU compiler half a second a kernel if it is let to optimise what runs once.
        options = _UNOPTIMISED if jax.default_backend() == "cpu" else None
        return jax.jit(self._initial, compiler_options=options)(key, sample)

    def _initial(self, key: Array, sample: Array) -> Variables:
        with self._seen(EVALUATION):
            return dict(self.module.init(key, sample))

    def apply(
        self,
        variables: Variables,
        inputs: Array,
        train: bool = False,
        rngs: dict[str, Array] | None = None,
        mask: Array | None = None,
    ) -> tuple[Outputs, Variables]:
        """Outputs, and the collections other than `params` as this call leaves them (unchanged without `train`).

        Args:
          variables: as `init` makes them.
          inputs: features, `(batch, coeffs, frames)` or `(batch, coeffs, frames, channels)`.
          train: whether dropout is active (with the key `rngs["dropout"]`) and batch norm uses the batch.
          rngs: random keys by name.
          mask: `(batch,)`, 0 for padding, which batch statistics leave out; None where every example counts.
        """
        mutable = [name for name in variables if name != "params"] if train else []
        phase = Phase(train, mask, self.frozen)
        half = self.precision is Precision.BFLOAT16
        seen, inputs = (_half(variables), inputs.astype(jnp.bfloat16)) if half else (variables, inputs)
        outputs, updates = self.call(seen, inputs, phase, mutable, rngs)
        if half:
            outputs = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), outputs)
        kept = {name: value for name, value in variables.items() if name != "params"}
        return outputs, kept | dict(updates)

    def call(
        self,
        variables: Variables,
        inputs: Array,
        phase: Phase,
        mutable: Sequence[str],
        rngs: dict[str, Array] | None = None,
    ) -> tuple[Outputs, Variables]:
        """The module's outputs, and the mutable collections as this call leaves them."""
        with self._seen(phase):
            made: Any = self.module.apply(variables, inputs, phase, rngs=rngs, mutable=mutable)
        return made

    @contextlib.contextmanager
    def _seen(self, phase: Phase) -> Iterator[None]:
        execution = getattr(self.module, "execution", Execution())
        with low_rank.in_two(self.ranks, phase), ends_seen(execution.quantiser, phase):
            yield

    def trainable(self, params: Variables) -> Variables:
        """The parameters that training may change: all but those at a frozen path.

        Raises:
          UserError: a pattern matches nothing, or nothing is left.
        """
        if not self.frozen:
            return params
        leaves = traverse_util.flatten_dict(params)
        for pattern in self.frozen:
            if not any(is_frozen(path, (pattern.removeprefix("!"),)) for path in leaves):
                tops = ", ".join(sorted({path[0] for path in leaves}))
                raise UserError(f"nothing to freeze is called {pattern!r}; this network has {tops}")
        left = {path: leaf for path, leaf in leaves.items() if not is_frozen(path, self.frozen)}
        if not left:
            raise UserError(f"freezing {', '.join(self.frozen)} leaves nothing to train")
        return traverse_util.unflatten_dict(left)

    def merge(self, params: Variables, trained: Variables) -> Variables:
        """`params` with what is in `trained` from there."""
        if not self.frozen:
            return trained
        return traverse_util.unflatten_dict(traverse_util.flatten_dict(params) | traverse_util.flatten_dict(trained))


def _half(variables: Variables) -> Variables:
    """Variables with parameters in bfloat16, but for those of layers with running statistics: batch norm is float32."""
    params: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(variables["params"])
    normed = {path[:-1] for path in traverse_util.flatten_dict(variables.get("batch_stats", {}))}
    seen = {path: leaf if path[:-1] in normed else leaf.astype(jnp.bfloat16) for path, leaf in params.items()}
    return variables | {"params": traverse_util.unflatten_dict(seen)}


def parameter_count(variables: Variables) -> int:
    """Number of trained scalars."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def factorisable(network: Network, inputs: jax.ShapeDtypeStruct) -> dict[str, tuple[int, int]]:
    """Inputs and features of every layer that can become two (see `low_rank`), by path; none that are two already.

    Args:
      network: in any form.
      inputs: shape and dtype of one batch.
    """
    with low_rank.noted() as found:
        jax.eval_shape(lambda key: network.init(key, inputs), jax.random.key(0))  # a new function is never cached
    two = {path for path, _ in network.ranks}
    return {path: sizes for path, sizes in found.items() if not {path, path.rpartition("/")[0]} & two}


def macs(network: Network, inputs: jax.ShapeDtypeStruct) -> int:
    """Multiply-accumulates of one forward pass, counted in the traced graph: convolutions and matrix products.

    Args:
      network: in its plain form (the fast form hides convolutions behind elementwise operations).
      inputs: shape and dtype of one batch; the count is for all of it.
    """
    variables = jax.eval_shape(network.init, jax.random.key(0), inputs)
    jaxpr = jax.make_jaxpr(lambda v, x: network.apply(v, x)[0].logits)(variables, inputs)
    return _macs(jaxpr.jaxpr)


def _macs(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "jaxpr") or hasattr(p, "eqns")):
            if hasattr(inner, "jaxpr"):
                total += _macs(inner.jaxpr)
            elif hasattr(inner, "eqns"):
                total += _macs(inner)
        name = equation.primitive.name
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            depth = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
            total += equation.outvars[0].aval.size * depth
        elif name == "conv_general_dilated":
            kernel = equation.invars[1].aval
            features_out = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
            total += equation.outvars[0].aval.size * (kernel.size // features_out)
    return total
