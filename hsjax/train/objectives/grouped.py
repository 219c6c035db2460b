"""Training on true classes, by groups of examples: sub-datasets, or classes within them."""

import dataclasses
import enum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hsjax.losses.groups import group_dro, risks, v_rex
from hsjax.models import Network
from hsjax.train.objectives.base import Aside, HParams, Parts, Start
from hsjax.train.objectives.supervised import Supervised
from hsjax.types import Batch

GROUPS = "groups"
"""Name in `fixed` of the `Membership` of the training examples."""
_SHARE = "share"


class Groups(enum.Enum):
    """What groups weigh.

    GROUP_DRO: the more the higher their loss (Sagawa et al. 2020, https://arxiv.org/abs/1911.08731), at
    `hparams["group_step"]`; groups are the classes within each sub-dataset, as there. V_REX: all the same, and the
    variance of their losses is added (Krueger et al. 2021, https://arxiv.org/abs/2003.00688), at
    `hparams["group_penalty"]`; groups are the sub-datasets, within which examples count by their weight.
    """

    GROUP_DRO = "group-dro"
    V_REX = "v-rex"


class Membership(NamedTuple):
    """Which group an example is of. A pytree.

    Attributes:
      of: group of each training example, by its number in the training set.
      share: 1 / groups, for each of them.
    """

    of: Int[Array | np.ndarray, " examples"]
    share: Float[Array | np.ndarray, " groups"]


def membership(rule: Groups, subset: Int[np.ndarray, " examples"], label: Int[np.ndarray, " examples"]) -> Membership:
    """The groups that a rule is about, those without an example left out.

    Args:
      rule: which.
      subset: number of each training example's sub-dataset.
      label: its class.
    """
    named = subset.astype(np.int64) * (int(label.max(initial=0)) + 1) + label if rule is Groups.GROUP_DRO else subset
    found, of = np.unique(named, return_inverse=True)
    return Membership(of.astype(np.int32), np.full(len(found), 1 / len(found), np.float32))


@dataclasses.dataclass(frozen=True)
class Grouped(Supervised):
    """The loss against true classes, summed up by group. `fixed[GROUPS]` says who is in which; nothing is mixed.

    Attributes:
      rule: how.
    """

    rule: Groups = Groups.GROUP_DRO

    def init(self, network: Network, key: Array, inputs: jax.ShapeDtypeStruct, start: Start) -> tuple[Any, Any]:
        """Memory holds the shares of group DRO."""
        if self.rule is Groups.V_REX:
            return {}, {}
        share = start.fixed[GROUPS].share
        return {}, {_SHARE: jnp.array(share, share.dtype)}  # with its dtype: no weak type, which a step would lose

    def __call__(self, network: Network, parts: Parts, batch: Batch, hparams: HParams, key: Array):
        """See `Objective`."""
        groups: Membership = parts.fixed[GROUPS]
        outputs, collections = network.apply(
            parts.variables, self.see(batch, parts.fixed, key), True, {"dropout": key}, batch.mask
        )
        values = self.labels(outputs.logits, batch.label, hparams)
        found = risks(values, batch.mask * batch.weight, groups.of[batch.index], len(groups.share))
        memory = parts.memory
        if self.rule is Groups.GROUP_DRO:
            loss, share = group_dro(found, memory[_SHARE], hparams["group_step"])
            memory = {_SHARE: share}
        else:
            loss = v_rex(found, hparams["group_penalty"])
        return loss, Aside(collections, memory, {"labels": loss, "worst": jnp.max(found.mean)})
