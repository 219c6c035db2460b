"""Where training examples come from: all of them on the device, or batch by batch from windows on the disk.

Both give the same batches for the same key: an epoch is a function of the key and its number (`epoch_order`). Several
processes each read their own part of every batch.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hsjax.data import example_store
from hsjax.types import Batch, UserError

if TYPE_CHECKING:
    import grain

# Batches that are read ahead, each by its own thread (reading releases the GIL): the device does not wait for the disk.
_AHEAD = 2


@functools.partial(jax.jit, static_argnames=("size", "batch_size"))
def epoch_order(key: Array, epoch: Int[Array, ""] | int, *, size: int, batch_size: int) -> Int[Array, "steps batch"]:
    """A permutation of the examples in rows of one batch; -1 pads the last row. A function of key and epoch alone."""
    order = jax.random.permutation(jax.random.fold_in(key, epoch), size)
    steps = -(-size // batch_size)
    return jnp.pad(order, (0, steps * batch_size - size), constant_values=-1).reshape(steps, batch_size)


def gather(data: Batch, index: Int[Array, " batch"]) -> Batch:
    """The examples at `index`; index -1 gives a masked example."""
    batch = jax.tree.map(lambda leaf: leaf[index], data)
    return batch._replace(mask=jnp.where(index >= 0, batch.mask, 0.0), index=index)


@dataclasses.dataclass(frozen=True)
class WindowFeatures:
    """The features of some windows, computed on the device when they are asked for. Indexed like their array.

    Attributes:
      windows: float32 (n, window), on the host; a memory map, where they do not fit into it.
      index: which windows, in this order.
      compute: pure: (batch, window) on the device to (batch, ...), normalised with a state that is fitted already.
    """

    windows: Float[np.ndarray, "n window"]
    index: Int[np.ndarray, " m"]
    compute: Callable[[Array], Array]

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """(m, ...), as if they were an array."""
        return (len(self.index), *self._one.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Of the features."""
        return self._one.dtype

    @functools.cached_property
    def _one(self) -> jax.ShapeDtypeStruct:
        return jax.eval_shape(self.compute, jax.ShapeDtypeStruct((1, self.windows.shape[1]), self.windows.dtype))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: slice | Int[np.ndarray, " batch"]) -> Array:
        return self.features(self.read(rows))

    def read(self, rows: slice | Int[np.ndarray, " batch"]) -> Float[np.ndarray, "batch window"]:
        """The windows themselves, in the host's memory."""
        return example_store.rows(self.windows, self.index[rows])

    def features(self, windows: Float[np.ndarray, "batch window"]) -> Array:
        """Their features; returns before they are computed."""
        return _compiled(self.compute)(windows)


@functools.lru_cache(maxsize=8)
def _compiled(compute: Callable[[Array], Array]) -> Callable[[np.ndarray], Array]:
    return jax.jit(compute)


@dataclasses.dataclass(frozen=True)
class OnDevice:
    """All examples on the device: nothing is moved during training.

    Attributes:
      data: arrays on the device.
    """

    data: Batch

    def __len__(self) -> int:
        return len(self.data.label)


@dataclasses.dataclass(frozen=True)
class Streamed:
    """Examples of which only a few batches are in memory, of the host and of the device, at a time.

    Attributes:
      data: `inputs` are `WindowFeatures`; the rest are arrays on the host, one row an example.
      process_index: which part of every batch is read here; by default that of `jax.process_index()`.
      process_count: number of equal parts; by default `jax.process_count()`.
    """

    data: Batch
    process_index: int | None = None
    process_count: int | None = None

    def __len__(self) -> int:
        return len(self.data.label)

    @property
    def processes(self) -> int:
        """Number of parts."""
        return jax.process_count() if self.process_count is None else self.process_count

    def batches(self, order: Int[Array, "steps batch"]) -> "grain.DatasetIterator":
        """This process's part of an epoch's batches, on the device; padding is masked.

        Every process gets as many steps, and together they get every example once. The iterator can tell where it is
        (`get_state`) and go on there (`set_state`); `close` ends its threads.

        Args:
          order: of `epoch_order`, of one epoch or what is left of it.

        Raises:
          UserError: batches cannot be divided among the processes.
        """
        import grain  # here, because it is slow to import and only this needs it

        size, rest = divmod(order.shape[1], self.processes)
        if rest:
            raise UserError(
                f"batches of {order.shape[1]} examples cannot be divided among {self.processes} processes: set the "
                f"stage's batch_size to a multiple of {self.processes}"
            )
        begin = size * (jax.process_index() if self.process_index is None else self.process_index)
        part = _HostBatches(self.data, np.asarray(order)[:, begin : begin + size])
        options = grain.ReadOptions(num_threads=_AHEAD, prefetch_buffer_size=_AHEAD)
        return iter(grain.MapDataset.source(part).to_iter_dataset(options).map(self._on_device))

    def _on_device(self, batch: Batch) -> Batch:
        return jax.device_put(batch._replace(inputs=self.data.inputs.features(batch.inputs)))


@dataclasses.dataclass(frozen=True)
class _HostBatches:
    """Batches in the host's memory by number, windows in place of features: what grain reads ahead."""

    data: Batch
    order: Int[np.ndarray, "steps batch"]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> Batch:
        rows = self.order[index]
        batch = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], self.data._replace(inputs=None))
        mask = np.where(rows >= 0, batch.mask, np.float32(0.0))
        return batch._replace(inputs=self.data.inputs.read(rows), mask=mask, index=np.int32(rows))


Source = OnDevice | Streamed
