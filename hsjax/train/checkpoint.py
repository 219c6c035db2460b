"""Atomic checkpoints through Orbax."""

import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp


class Checkpoints:
    """The latest state of one stage's training, by epoch. Saving is synchronous and atomic; the last two are kept."""

    def __init__(self, directory: pathlib.Path):
        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(directory.absolute(), options=options)

    def save(self, epoch: int, tree: Any) -> None:
        """Write `tree` (arrays and scalars) as the state after `epoch`."""
        self._manager.save(epoch, args=ocp.args.StandardSave(tree))

    def restore(self, like: Any) -> Any | None:
        """The newest tree, shaped and placed like `like`; None where there is none."""
        epoch = self._manager.latest_step()
        if epoch is None:
            return None
        return self._manager.restore(epoch, args=ocp.args.StandardRestore(jax.tree.map(_abstract, like)))

    def close(self) -> None:
        """Release the directory."""
        self._manager.close()


def save_variables(directory: pathlib.Path, variables: Any) -> None:
    """Write a network's variables, replacing what is there."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(directory.absolute(), variables, force=True)


def load_variables(directory: pathlib.Path, like: Any) -> Any:
    """Read a network's variables, shaped like `like` (arrays or shapes)."""
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(directory.absolute(), jax.tree.map(_abstract, like))


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device)
