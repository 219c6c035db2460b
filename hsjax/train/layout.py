"""Which devices training runs on: one mesh with a data axis and a member axis."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hsjax.types import UserError

MEMBER, _DATA = "member", "data"
"""Axes of the mesh."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Members of a sweep are divided along one axis of the mesh, the examples of a batch along the other.

    Everything else is on every device. A step is written for the whole batch, and `jit` divides it: means, batch
    statistics and contrastive negatives are those of the whole batch, however many devices or processes there are, and
    each device sees its own part of the examples. Hashable, so static under jit.

    Attributes:
      mesh: axes `member`, `data`; None for one device without any sharding.
    """

    mesh: Mesh | None = None

    @classmethod
    def over(cls, devices: Sequence[jax.Device], members: int = 1) -> "Layout":
        """All `devices`, of which as many as possible share the members of a sweep, and the rest each batch.

        Args:
          devices: of all processes.
          members: of the sweep.
        """
        if len(devices) == 1:
            return cls()
        across = int(np.gcd(members, len(devices)))
        return cls(Mesh(np.asarray(devices).reshape(across, -1), (MEMBER, _DATA)))

    @classmethod
    def default(cls, members: int = 1) -> "Layout":
        """All accelerators; on CPU one device, which uses all cores, unless there are several processes."""
        if jax.default_backend() == "cpu" and jax.process_count() == 1:
            return cls()
        return cls.over(jax.devices(), members)

    @property
    def data(self) -> int:
        """Devices that share a batch."""
        return 1 if self.mesh is None else self.mesh.shape[_DATA]

    def check(self, batch_size: int) -> None:
        """Whether batches can be divided.

        Raises:
          UserError: they cannot.
        """
        if batch_size % self.data:
            raise UserError(
                f"batches of {batch_size} examples cannot be divided among {self.data} devices: set the stage's "
                f"batch_size to a multiple of {self.data}"
            )

    def everywhere(self, tree: Any) -> Any:
        """A tree of arrays with a copy on every device; every process passes the same."""
        return self._put(tree, PartitionSpec())

    def by_member(self, tree: Any) -> Any:
        """A tree of arrays whose first axis is that of the members, each where its member is."""
        return self._put(tree, PartitionSpec(MEMBER))

    def batch(self, tree: Any) -> Any:
        """One batch, of which every process passes its own part, divided among the devices."""
        if self.mesh is None:
            return tree
        sharding = NamedSharding(self.mesh, PartitionSpec(_DATA))
        return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), tree)

    def constrain_batch(self, tree: Any) -> Any:
        """Inside of jit: a batch divided among the devices."""
        return self._constrain(tree, PartitionSpec(_DATA))

    def constrain_everywhere(self, tree: Any) -> Any:
        """Inside of jit: a copy on every device."""
        return self._constrain(tree, PartitionSpec())

    def constrain_members(self, tree: Any) -> Any:
        """Inside of jit: divided by the first axis, that of the members."""
        return self._constrain(tree, PartitionSpec(MEMBER))

    def _put(self, tree: Any, spec: PartitionSpec) -> Any:
        if self.mesh is None:
            return tree
        sharding = NamedSharding(self.mesh, spec)
        return jax.tree.map(lambda leaf: jax.device_put(leaf, sharding), tree)

    def _constrain(self, tree: Any, spec: PartitionSpec) -> Any:
        if self.mesh is None:
            return tree
        return jax.lax.with_sharding_constraint(tree, NamedSharding(self.mesh, spec))


def local(tree: Any) -> Any:
    """Arrays that are on every device, as this process's first device has them."""
    return jax.tree.map(lambda leaf: leaf if leaf.is_fully_addressable else leaf.addressable_data(0), tree)
