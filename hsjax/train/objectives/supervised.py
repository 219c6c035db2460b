"""Training on true classes."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.dsp.augment import Mixed, mixup
from hsjax.losses import masked
from hsjax.models import Network, Variables
from hsjax.train.objectives.base import Aside, HParams, Objective, Parts, mixup_key
from hsjax.train.objectives.labels import Labels
from hsjax.types import Batch


class Seen(NamedTuple):
    """A batch as the network sees it.

    Attributes:
      inputs: features, after the views and after mixing.
      mixed: who is mixed into whom, and how much; None without mixup.
    """

    inputs: Array
    mixed: Mixed | None


@dataclasses.dataclass(frozen=True)
class Supervised(Objective):
    """The loss against true classes alone.

    Attributes:
      labels: which one.
      mix: whether examples are mixed (mixup; Zhang et al. 2018), with `hparams["mixup"]` as its alpha.
    """

    labels: Labels = Labels.CROSS_ENTROPY
    mix: bool = False

    def __call__(self, network: Network, parts: Parts, batch: Batch, hparams: HParams, key: Array):
        """See `Objective`."""
        seen = self.mixed(batch, parts, hparams, key)
        outputs, collections = network.apply(parts.variables, seen.inputs, True, {"dropout": key}, batch.mask)
        loss = self.against_labels(outputs.logits, batch, seen, hparams)
        return loss, Aside(collections, parts.memory, {"labels": loss})

    def mixed(self, batch: Batch, parts: Parts, hparams: HParams, key: Array) -> Seen:
        """What the network sees, mixed if it is to be."""
        inputs = self.see(batch, parts.fixed, key)
        if not self.mix:
            return Seen(inputs, None)
        found = mixup(mixup_key(key), inputs, hparams["mixup"], batch.mask)
        return Seen(found.samples, found)

    def against_labels(
        self, logits: Float[Array, "batch classes"], batch: Batch, seen: Seen, hparams: HParams
    ) -> Float[Array, ""]:
        """Mean by weight of the loss against the true classes; of a mixture, against both its examples' classes."""
        weight = batch.mask * batch.weight
        own = self.labels(logits, batch.label, hparams)
        if seen.mixed is None:
            return masked.mean(own, weight)
        partner, share = seen.mixed.partner, seen.mixed.weight
        other = self.labels(logits, batch.label[partner], hparams)
        weights = jnp.concatenate([share * weight, (1 - share) * weight[partner] * (batch.mask > 0)])
        return masked.mean(jnp.concatenate([own, other]), weights)


def evaluated(networks: tuple[Network, ...], variables: tuple[Variables, ...], inputs: Array):
    """Outputs of networks that are not trained."""
    outputs = [network.apply(held, inputs)[0] for network, held in zip(networks, variables, strict=True)]
    # Or XLA would compute the last layer again for every pair of examples that a loss compares.
    return jax.lax.optimization_barrier(outputs)
