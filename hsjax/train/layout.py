"""Which devices training runs on: one mesh with a data axis and a member axis."""

import dataclasses
import functools
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

    Everything else is on every device. A step is written for the whole batch, and `jit` divides it, so that training
    computes the same however many devices and processes there are: a batch has `batch_size` examples in all, not on
    each device. The statistics of batch norm, the negatives and positives of contrastive losses, the neighbours of
    relational ones, the partners of mixup, what queues and banks remember: all are those of the whole batch, and
    padding is in none of them, be it all that a device has. Random numbers depend on the key and on the place in the
    batch.

    The same layout gives the same bits. Another one adds in another order, so that its results are equal to rounding; a
    checkpoint can be gone on with on any number of devices.

    Hashable, so static under jit. Of several processes all make the same calls with the same arguments.

    Attributes:
      mesh: axes `member`, `data`; None for one device without any sharding.
    """

    mesh: Mesh | None = None

    @classmethod
    def over(cls, devices: Sequence[jax.Device], members: int = 1) -> "Layout":
        """All `devices`: as many as divide the number of members share these, the rest each batch.

        So 16 members on 8 devices train two on each; with 7 every step is divided among all devices, which small
        networks gain nothing by.

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
        """One batch, of which every process passes its own part, divided among the devices.

        Raises:
          ValueError: there are members beside it, and who of them is to see which part?
        """
        if self.mesh is None:
            return tree
        if self.mesh.shape[MEMBER] > 1:
            raise ValueError("a streamed batch is of one member: lay it out over the devices without others")
        sharding = NamedSharding(self.mesh, PartitionSpec(_DATA))
        return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), tree)

    def gathered(self, tree: Any) -> Any:
        """A tree of arrays, however they are divided, whole on this process's first device."""
        return tree if self.mesh is None else local(_everywhere(self, tree))

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
        return jax.tree.map(lambda leaf: _placed(leaf, sharding), tree)

    def _constrain(self, tree: Any, spec: PartitionSpec) -> Any:
        if self.mesh is None:
            return tree
        return jax.lax.with_sharding_constraint(tree, NamedSharding(self.mesh, spec))


def _placed(leaf: Any, sharding: NamedSharding) -> jax.Array:
    """An array that every process has whole, as one over the devices of all."""
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    # `device_put` refuses arrays that lie on a device, and compares NumPy's between all processes, one after another.
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_placed(jax.random.key_data(leaf), sharding), impl=jax.random.key_impl(leaf))
    value = np.asarray(leaf)
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


@functools.partial(jax.jit, static_argnums=0)
def _everywhere(layout: Layout, tree: Any) -> Any:
    return layout.constrain_everywhere(tree)


def local(tree: Any) -> Any:
    """Arrays that are on every device, as this process's first device has them."""
    return jax.tree.map(lambda leaf: leaf if len(leaf.sharding.device_set) == 1 else leaf.addressable_data(0), tree)
