"""Checkpoints through Orbax: atomic, verified before they are used."""

import contextlib
import itertools
import logging as stdlib_logging
import math
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from jax.experimental import multihost_utils

from hsjax.train import manifest
from hsjax.types import UserError

_KEPT = 2
# What this module, Orbax and `manifest` write into the folder of checkpoints.
_OURS = re.compile(r"(\d+)(\.sha256|\.sha256\.partial|\.orbax-checkpoint-tmp.*)?")
_LEAVES = "leaves"


class Checkpoints:
    """The states of one stage's training, by epoch; the last two are kept, each sealed by a manifest.

    Saving is synchronous and atomic. All leaves are written as one array of bytes: what Orbax costs grows with the
    number of arrays, not with their size. Values are gathered on the host first, so that a state can be restored on
    another number of devices. Of several processes all call every method; the folder is shared, the first one writes.

    Args:
      directory: created with the first save.
      notify: told in one sentence when a checkpoint was damaged and what is done instead.
    """

    def __init__(self, directory: pathlib.Path, notify: Callable[[str], None] = logging.warning):
        self._directory = directory.absolute()
        self._notify = notify
        self._checkpointer = ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False, use_compression=False))

    def save(self, epoch: int, tree: Any) -> None:
        """Write `tree` (arrays and scalars) as the state after `epoch`.

        Raises:
          OSError: it cannot be written; those before stay as they are.
        """
        leaves = jax.tree.leaves(_on_host(tree))
        packed = np.concatenate([np.zeros(0, np.uint8), *(_bytes(leaf) for leaf in leaves)])
        folder = self._directory / str(epoch)
        with _writing(folder):
            self._clean(keep=[kept for kept in self._sealed() if kept != epoch])
            self._checkpointer.save(
                folder, args=ocp.args.PyTreeSave({"bytes": packed}), custom_metadata={_LEAVES: _described(tree)}
            )
            _seal(folder)
            self._clean(keep=sorted(self._sealed())[-_KEPT:])

    def restore(self, like: Any) -> Any | None:
        """The newest whole tree, shaped and placed like `like`; None where there is none.

        A checkpoint without a manifest is one whose writing was interrupted. A damaged one is named, deleted, and the
        one before it is used, or none.

        Raises:
          UserError: what was saved does not fit `like`.
        """
        _wait("checkpoints:restore")
        for epoch in sorted(self._sealed(), reverse=True):
            folder = self._directory / str(epoch)
            damage = manifest.damage(folder)
            if not _any(damage is not None):
                return self._read(folder, like)
            others = sorted(self._sealed() - {epoch})
            before = [other for other in others if other < epoch]
            instead = f"going on from epoch {before[-1]}" if before else "starting from the beginning"
            self._notify(
                f"the checkpoint of epoch {epoch} in {self._directory} is damaged: "
                f"{damage or 'another process cannot read it'}; {instead}, with the same result"
            )
            with _writing(folder):
                self._clean(keep=others)
        return None

    def close(self) -> None:
        """Release what Orbax holds."""
        self._checkpointer.close()

    def _sealed(self) -> set[int]:
        """Epochs with a manifest."""
        if not self._directory.is_dir():
            return set()
        matches = (_OURS.fullmatch(path.name) for path in self._directory.iterdir())
        return {int(match[1]) for match in matches if match and match[2] == ".sha256"}

    def _clean(self, keep: list[int] | set[int]) -> None:
        """Delete every checkpoint but those to keep, and what interrupted ones have left."""
        _wait("checkpoints:clean")
        if jax.process_index() == 0 and self._directory.is_dir():
            names = {f"{epoch}{ending}" for epoch in keep for ending in ("", ".sha256")}
            ours = [path for path in self._directory.iterdir() if _OURS.fullmatch(path.name) and path.name not in names]
            # Manifests first: a folder without one is not used, a manifest without its folder would look like damage.
            for path in sorted(ours, key=lambda path: path.is_dir()):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        _wait("checkpoints:cleaned")

    def _read(self, folder: pathlib.Path, like: Any) -> Any:
        described = self._checkpointer.metadata(folder).custom_metadata[_LEAVES]
        _check_same(folder, described, _described(like), f"delete {folder.parent} to train anew")
        packed = self._checkpointer.restore(
            folder,
            args=ocp.args.PyTreeRestore(restore_args={"bytes": ocp.RestoreArgs(restore_type=np.ndarray)}),
        )["bytes"]
        leaves, start = [], 0
        for (_, dtype, shape), leaf in zip(described, jax.tree.leaves(like), strict=True):
            size = jnp.dtype(dtype).itemsize * math.prod(shape)
            value = np.array(packed[start : start + size]).view(jnp.dtype(dtype)).reshape(shape)
            leaves.append(_placed(value, leaf))
            start += size
        return jax.tree.unflatten(jax.tree.structure(like), leaves)


def save_variables(directory: pathlib.Path, variables: Any) -> None:
    """Write a network's variables and their manifest, replacing what is there.

    Raises:
      OSError: they cannot be written.
    """
    directory = directory.absolute()
    with _writing(directory), ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        if jax.process_index() == 0:
            manifest.beside(directory).unlink(missing_ok=True)
        checkpointer.save(directory, args=ocp.args.StandardSave(_on_host(variables)), force=True)
        _seal(directory)


def load_variables(directory: pathlib.Path, like: Any) -> Any:
    """Read a network's variables, shaped and placed like `like` (arrays or shapes).

    Raises:
      UserError: a file is damaged, or the variables are another network's.
    """
    directory = directory.absolute()
    anew = f"delete {directory.parent} to make it anew"
    if manifest.beside(directory).exists() and (damage := manifest.damage(directory)):
        raise UserError(f"{directory.parent / damage}; {anew}")
    if not directory.is_dir():
        raise UserError(f"{directory} is missing; {anew}")
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        try:
            held = checkpointer.metadata(directory).item_metadata.tree
            _check_same(directory, _described(held), _described(like), anew)
            values = checkpointer.restore(directory, args=ocp.args.StandardRestore(jax.tree.map(_on_one_device, like)))
        except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError) as error:  # without a manifest
            raise UserError(f"{directory} cannot be read; {anew}") from error
    return jax.tree.map(lambda value, leaf: _placed(np.asarray(value), leaf), values, like)


def _on_host(tree: Any) -> Any:
    """Every leaf as NumPy's, those of other processes too."""

    def gathered(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
            return leaf
        if leaf.is_fully_replicated:
            return leaf.addressable_data(0)
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(np.asarray, jax.device_get(jax.tree.map(gathered, tree)))


def _placed(value: np.ndarray, like: Any) -> Any:
    """A value where `like` is: on the host, on the devices it is committed to, or on the default device."""
    if isinstance(like, bool | int | float):
        return value.item()
    if isinstance(like, np.ndarray | np.generic):
        return value
    bound = like.committed if isinstance(like, jax.Array) else like.sharding is not None
    if not bound:
        return jax.device_put(value, may_alias=False)  # what is donated later must not be the host's
    return jax.make_array_from_callback(value.shape, like.sharding, lambda index: value[index])


def _described(tree: Any) -> list[list]:
    """Path, dtype and shape of every leaf."""
    leaves = [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]
    arrays = [(path, leaf if hasattr(leaf, "shape") else np.asarray(leaf)) for path, leaf in leaves]
    return [[path, str(np.dtype(leaf.dtype)), list(leaf.shape)] for path, leaf in arrays]


def _check_same(folder: pathlib.Path, held: list[list], wanted: list[list], anew: str) -> None:
    """Raise a UserError that names the first leaf in which a folder is not what is asked for."""
    for one, other in itertools.zip_longest(held, wanted):
        if one != other:
            words = ["nothing" if leaf is None else f"{leaf[0]} {leaf[1]}{leaf[2]}" for leaf in (one, other)]
            raise UserError(
                f"{folder} holds {words[0]} where {words[1]} is wanted: it was made with other settings; {anew}"
            )


def _bytes(leaf: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)


def _on_one_device(leaf: Any) -> jax.ShapeDtypeStruct:
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device)


def _seal(folder: pathlib.Path) -> None:
    if jax.process_index() == 0:
        manifest.write(folder)
    _wait("checkpoints:sealed")


def _wait(name: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def _any(found: bool) -> bool:
    """True where it is for one of the processes."""
    return bool(np.any(multihost_utils.process_allgather(np.array(found)))) if jax.process_count() > 1 else found


@contextlib.contextmanager
def _writing(folder: pathlib.Path) -> Iterator[None]:
    """What forbids writing (a full disk, a limit, no right), as an OSError that names the folder."""
    logger, without_orbax = logging.get_absl_logger(), _WithoutOrbax()  # one each, as several threads may be writing
    logger.addFilter(without_orbax)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else _error_number(str(error))
        for left in folder.parent.glob(f"{folder.name}.orbax-checkpoint-tmp*"):
            shutil.rmtree(left, ignore_errors=True)  # room for others
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(folder)) from error
    finally:
        logger.removeFilter(without_orbax)


class _WithoutOrbax(stdlib_logging.Filter):
    """Nothing of what Orbax logs: a warning with every save, a trace of each error, which is raised all the same."""

    def filter(self, record: stdlib_logging.LogRecord) -> bool:
        return f"{os.sep}orbax{os.sep}" not in record.pathname


def _error_number(message: str) -> int | None:
    """The operating system's error of which TensorStore tells."""
    found = re.search(r"os_error_code='(\d+)'", message)
    return int(found[1]) if found else None
