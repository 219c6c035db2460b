"""A network layer by layer: what each makes, how many parameters it has and what it costs."""

import collections
import dataclasses
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

import flax.linen as nn
import jax
from flax import traverse_util
from jax.extend.core import Literal

from hsjax.models.layers import Activation, Form
from hsjax.models.network import Network

Path = tuple[str, ...]

# Operations that cannot write their result where their input lies, although it may have the same size.
_NOT_IN_PLACE = {"conv_general_dilated", "dot_general", "transpose", "rev", "sort", "scan", "while", "gather"}
# Calls that are seen through.
_CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint"}


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One layer.

    Attributes:
      path: of the module in the network, `block1/expand/conv`.
      type: of the module, or which nonlinearity.
      shape: of what it makes, without the batch.
      parameters: how many scalars of it are trained.
      statistics: how many others it keeps (running means and variances).
      macs: multiply-accumulates for the whole batch.
    """

    path: str
    type: str
    shape: tuple[int, ...]
    parameters: int
    statistics: int
    macs: int


def summary(network: Network, inputs: jax.ShapeDtypeStruct, depth: int | None = None) -> list[LayerRow]:
    """The layers in the order in which they are first called. Nothing is computed, only traced.

    Multiply-accumulates are those of convolutions and matrix products in the plain form, as `hsjax.models.macs` counts
    them; those outside of any layer belong to a row of the network itself, whose path is empty.

    Args:
      network: in any form.
      inputs: shape and dtype of one batch.
      depth: how long paths may be, by which the layers of a block are summed up; None for all.

    Raises:
      UserError: the input is too small.
    """
    network = _plain(network)
    called: dict[Path, tuple[str, tuple[int, ...]]] = {}

    def note(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        # Reserved before the call, so that a block comes before what it is made of.
        ours = context.method_name == "__call__" and type(context.module).__module__.startswith("hsjax.")
        if ours:
            called.setdefault(context.module.path, ("", ()))
        made = call(*args, **kwargs)
        if ours:
            called[context.module.path] = (_type(context.module), _shape(made))
        return made

    with nn.intercept_methods(note):
        variables, jaxpr = _traced(network, inputs)
    if depth is not None:
        called = {path: what for path, what in called.items() if len(path) <= depth}
    counts = {collection: collections.Counter() for collection in ("parameters", "statistics", "macs")}
    leaves: dict[Path, Any] = traverse_util.flatten_dict(variables)  # pyrefly: ignore[bad-assignment]
    for (collection, *path), leaf in leaves.items():
        kind = "parameters" if collection == "params" else "statistics"
        counts[kind][_owner(tuple(path), called)] += math.prod(leaf.shape)
    for path, macs in _macs(jaxpr.jaxpr, ""):
        counts["macs"][_owner(path, called)] += macs
    rows = []
    for path, (kind, shape) in called.items():
        own = {name: counts[name][path] for name in counts}
        inner = any(other[: len(path)] == path and other != path for other in called)
        if any(own.values()) or (not inner and kind):
            rows.append(LayerRow("/".join(path), kind, shape, **own))
    return rows


def peak_activations(network: Network, inputs: jax.ShapeDtypeStruct) -> int:
    """How many values have to be kept at once, at most, while one batch passes through, the input included.

    An estimate: operations run in the order of the trace, elementwise ones overwrite their input, weights and what is
    made of them alone are not counted. Times 4 it is bytes in float32, and about bytes in int8.

    Args:
      network: in any form.
      inputs: shape and dtype of one batch.
    """
    _, closed = _traced(_plain(network), inputs)
    entered = [None] * (len(closed.jaxpr.invars) - 1) + [_Value(math.prod(inputs.shape))]
    operations: list[_Operation] = []
    left = _run(closed.jaxpr, entered, operations)
    last = {value: index for index, operation in enumerate(operations) for value in operation.sources}
    last |= {value: len(operations) for value in left if value is not None}
    live = {value for value in entered if value is not None}
    peak = sum(value.size for value in live)
    for index, operation in enumerate(operations):
        dying = {value for value in operation.sources if last[value] == index}
        reused = 0
        if operation.in_place:
            sizes = collections.Counter(value.size for value in dying)
            reused = sum((sizes & collections.Counter(value.size for value in operation.results)).elements())
        now = sum(value.size for value in live) + sum(value.size for value in operation.results)
        peak = max(peak, now - reused)
        live = (live - dying) | {value for value in operation.results if value in last}
    return peak


@dataclasses.dataclass(frozen=True, eq=False)
class _Value:
    """Something made of the features, by identity."""

    size: int


@dataclasses.dataclass(frozen=True)
class _Operation:
    """What makes values of values; what is made of weights alone is left out."""

    in_place: bool
    sources: tuple[_Value, ...]
    results: tuple[_Value, ...]


def _run(jaxpr: Any, arguments: list[_Value | None], operations: list[_Operation]) -> list[_Value | None]:
    """Appends what a jaxpr does to the operations, calls seen through; returns its results."""
    values: dict[Any, _Value | None] = dict(zip(jaxpr.invars, arguments, strict=True))
    for equation in jaxpr.eqns:
        arguments = [_of(values, variable) for variable in equation.invars]
        sources = tuple(value for value in arguments if value is not None)
        name, inner = equation.primitive.name, next(_inner(equation), None)
        if inner is not None and name in _CALLS:
            results = _run(inner, arguments, operations)
        elif sources:
            results = [_Value(variable.aval.size) for variable in equation.outvars]
            in_place = name not in _NOT_IN_PLACE and not name.startswith("reduce_window")
            operations.append(_Operation(in_place, sources, tuple(results)))
        else:
            results = [None] * len(equation.outvars)
        values |= zip(equation.outvars, results, strict=True)
    return [_of(values, variable) for variable in jaxpr.outvars]


def _of(values: dict[Any, _Value | None], variable: Any) -> _Value | None:
    return None if isinstance(variable, Literal) else values.get(variable)


def _plain(network: Network) -> Network:
    """The network in the form in which a convolution is one operation."""
    module: Any = network.module
    return dataclasses.replace(
        network, module=module.clone(execution=dataclasses.replace(module.execution, form=Form.PLAIN))
    )


def _traced(network: Network, inputs: jax.ShapeDtypeStruct) -> tuple[Any, Any]:
    """Shapes of the variables, and the jaxpr from them and the features to the logits."""
    variables = jax.eval_shape(network.init, jax.random.key(0), inputs)
    return variables, jax.make_jaxpr(lambda v, x: network.apply(v, x)[0].logits)(variables, inputs)


def _type(module: nn.Module) -> str:
    function = getattr(module, "function", None) if isinstance(module, Activation) else None
    return getattr(function, "__name__", type(module).__name__)


def _shape(made: Any) -> tuple[int, ...]:
    """Of the first array that a module makes; of a whole network, the logits."""
    return tuple(jax.tree.leaves(made)[0].shape[1:])


def _owner(path: Path, called: Iterable[Path]) -> Path:
    """The innermost layer that is listed around a path."""
    return next(path[:length] for length in range(len(path), -1, -1) if path[:length] in called)


def _macs(jaxpr: Any, scope: str) -> Iterator[tuple[Path, int]]:
    """Multiply-accumulates of every equation that has any, with the path of the module that it is in.

    Linen puts modules into the name stack, after the class of the network; what is called inside begins anew.
    """
    for equation in jaxpr.eqns:
        stack = "/".join(filter(None, (scope, str(equation.source_info.name_stack))))
        for inner in _inner(equation):
            yield from _macs(inner, stack)
        if macs := equation_macs(equation):
            yield tuple(re.sub(r"^\w+\((.*)\)$", r"\1", part) for part in stack.split("/")[1:]), macs


def equation_macs(equation: Any) -> int:
    """Multiply-accumulates of one equation of a jaxpr."""
    name = equation.primitive.name
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        depth = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        return equation.outvars[0].aval.size * depth
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval
        features_out = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
        return equation.outvars[0].aval.size * (kernel.size // features_out)
    return 0


def _inner(equation: Any) -> Iterator[Any]:
    """The jaxprs that an equation calls."""
    for parameter in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "jaxpr") or hasattr(p, "eqns")):
        if hasattr(parameter, "jaxpr"):
            yield parameter.jaxpr
        elif hasattr(parameter, "eqns"):
            yield parameter
