"""Objectives: from a network and a batch to one loss. Pure, and the only place where losses meet networks."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from hsjax.losses import masked
from hsjax.models import Network, Variables
from hsjax.train.views import Views
from hsjax.types import Batch, Outputs

HParams = Mapping[str, Array]
Fixed = Mapping[str, Any]

# What else a step draws beside dropout, each under a number of its own.
_VIEW, _MIXUP, HEADS, _COMPRESSION = 1, 2, 3, 4
FRONT_END = "front_end"
"""Name in `fixed` of the front end's fitted state, for views of samples."""


class Parts(NamedTuple):
    """What an objective reads of the train state; see there. Gradients are taken by `variables` and `heads`."""

    variables: Variables
    heads: Any
    memory: Any
    fixed: Fixed


class Aside(NamedTuple):
    """What an objective finds beside the loss.

    Attributes:
      collections: the network's other than `params`, as they are afterwards.
      memory: afterwards.
      terms: parts of the loss by name, scalars before they are weighed: for the log.
    """

    collections: Variables
    memory: Any
    terms: dict[str, Array]


class Start(NamedTuple):
    """What heads and memory depend on at the beginning.

    Attributes:
      variables: the network's.
      fixed: as in the train state.
      examples: size of the training set.
    """

    variables: Variables
    fixed: Fixed
    examples: int


@dataclasses.dataclass(frozen=True)
class Objective(abc.ABC):
    """What a step minimises; hashable, so static under jit. It sees the network whole: one batch may pass it twice.

    Attributes:
      views: what the network sees of a batch.
    """

    views: Views = dataclasses.field(default=Views(), kw_only=True)

    def init(self, network: Network, key: Array, inputs: jax.ShapeDtypeStruct, start: Start) -> tuple[Any, Any]:
        """Heads and memory before the first step; none by default.

        Args:
          network: the one that is trained.
          key: of what is random in them.
          inputs: shape of a batch as the network sees it.
          start: what they depend on.
        """
        return {}, {}

    @abc.abstractmethod
    def __call__(
        self, network: Network, parts: Parts, batch: Batch, hparams: HParams, key: Array
    ) -> tuple[Float[Array, ""], Aside]:
        """The loss, and what was found beside it."""

    def after(self, parts: Parts, hparams: HParams, step: Array) -> Any:
        """Memory once the parameters are updated: `parts` holds the new ones, and `step` counts from 1."""
        return parts.memory

    def example(self, inputs: jax.ShapeDtypeStruct, fixed: Fixed) -> jax.ShapeDtypeStruct:
        """Shape of what the network sees of a batch."""
        return jax.eval_shape(self.views, jax.random.key(0), inputs, fixed.get(FRONT_END))

    def see(self, batch: Batch, fixed: Fixed, key: Array, view: int = 0) -> Array:
        """What the network sees of a batch; another random change of it for every number `view`.

        Padding is zeros from here on: whatever it held reaches no gradient, not even by 0 * NaN.
        """
        key = jax.random.fold_in(jax.random.fold_in(key, _VIEW), view)
        return self.views(key, masked.shown(batch.inputs, batch.mask), fixed.get(FRONT_END))


def weighted_mean(values: Float[Array, " batch"], batch: Batch) -> Float[Array, ""]:
    """Mean of per-example values by weight over the examples that are not masked; 0 where all are."""
    return masked.mean(values, batch.mask * batch.weight)


def mixup_key(key: Array) -> Array:
    """Of what mixup draws in a step."""
    return jax.random.fold_in(key, _MIXUP)


def head_key(key: Array) -> Array:
    """Of initial heads, apart from that of the network's weights: these are the same whatever is trained beside."""
    return jax.random.fold_in(key, HEADS)


def compression_key(key: Array) -> Array:
    """Of where compression begins, apart from that of the network's weights as well."""
    return jax.random.fold_in(key, _COMPRESSION)


def shapes(network: Network, variables: Variables, inputs: jax.ShapeDtypeStruct) -> Outputs:
    """Shapes of what a network puts out."""
    return jax.eval_shape(lambda v, x: network.apply(v, x)[0], variables, inputs)


def collections(variables: Variables) -> Variables:
    """Of a network, all but the parameters."""
    return {name: value for name, value in variables.items() if name != "params"}
