"""Objectives: from a network and a batch to one loss. Pure, and the only place where losses meet networks."""

import dataclasses
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax import losses
from hsjax.models import Network, Variables
from hsjax.types import Batch

HParams = Mapping[str, Array]


@runtime_checkable
class Objective(Protocol):
    """What a step minimises. It sees the network whole, so that one batch may pass it twice or beside another."""

    def __call__(
        self, network: Network, variables: Variables, batch: Batch, hparams: HParams, key: Array
    ) -> tuple[Array, Variables]:
        """The loss, a scalar, and the network's collections other than `params` afterwards."""
        ...


def weighted_mean(values: Float[Array, " batch"], batch: Batch) -> Float[Array, ""]:
    """Mean of per-example values by weight over the examples that are not masked; 0 where all are."""
    weight = batch.mask * batch.weight
    # where, not a product: a masked example may hold anything, and 0 * inf is not 0.
    total = jnp.sum(jnp.where(weight > 0, values, 0.0) * weight)
    return total / jnp.maximum(jnp.sum(weight), jnp.finfo(values.dtype).tiny)


@dataclasses.dataclass(frozen=True)
class Supervised:
    """Cross-entropy with the true classes."""

    def __call__(self, network: Network, variables: Variables, batch: Batch, hparams: HParams, key: Array):
        """See `Objective`."""
        outputs, state = network.apply(variables, batch.inputs, True, {"dropout": key}, batch.mask)
        return weighted_mean(losses.cross_entropy(outputs.logits, batch.label), batch), state


@dataclasses.dataclass(frozen=True)
class Distil:
    """Offline distillation from a teacher's cached logits; `hparams` holds `temperature` and `alpha`.

    Attributes:
      scale_by_t2: see `losses.hinton`.
    """

    scale_by_t2: bool = False

    def __call__(self, network: Network, variables: Variables, batch: Batch, hparams: HParams, key: Array):
        """See `Objective`."""
        outputs, state = network.apply(variables, batch.inputs, True, {"dropout": key}, batch.mask)
        values = losses.hinton(
            outputs.logits,
            batch.label,
            batch.teacher_logits,
            hparams["temperature"],
            hparams["alpha"],
            self.scale_by_t2,
        )
        return weighted_mean(values, batch), state


OBJECTIVES = {"supervised": Supervised, "distil": Distil}
