"""Tensors by name out of weight files, from formats that hold nothing but numbers: safetensors, npz, h5.

Files come from elsewhere, so that nothing in them is believed: what is not tensors, is larger than any network here, or
leads out of the file is refused. Nothing is unpickled.
"""

import dataclasses
import importlib
import pathlib
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from hsjax.models.pretrained import keras_h5
from hsjax.types import UserError

MAX_BYTES = 2 * 10**9
"""Of all tensors of a file; the largest network here, ResNet-101, has a tenth of it."""

_PICKLED = (".pth", ".pt", ".bin", ".ckpt", ".pkl")


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
      tensors: by name. Floating point is float32.
      metadata: what its writer said about it; empty where the format has no place for that.
    """

    tensors: Mapping[str, np.ndarray]
    metadata: Mapping[str, str]


def read(path: pathlib.Path) -> Contents:
    """The tensors of a file.

    Names are the file's own (`features.0.0.weight`); in Keras's h5 files, which have several layouts, always the
    layer's and the variable's (`Conv1/kernel`).

    Raises:
      UserError: the file is missing, pickled, of another format, damaged or too large, or its reader is not installed.
    """
    suffix = path.suffix.lower()
    if suffix in _PICKLED:
        raise UserError(
            f"{path} is a pickle, which can run any code when it is read: convert it, where torch is installed, "
            f"by `python -m hsjax.models convert {path}`, and load the .safetensors"
        )
    if suffix not in _READERS:
        raise UserError(f"{path} is no weight file that is read here: give a .safetensors, .npz or .h5 file")
    if not path.is_file():
        raise UserError(f"there is no weight file {path}: put it there, third_party/weights.toml says where it is from")
    try:
        tensors, metadata = _READERS[suffix](path)
        return Contents({name: _plain(name, tensor) for name, tensor in tensors.items()}, metadata)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    # Damaged files make their libraries raise nearly anything: KeyError, ValueError, zlib.error, RuntimeError, ...
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is damaged or no {suffix[1:]} file ({reason}): get it again") from error


def _safetensors(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    safetensors: Any = _extra("safetensors")
    with safetensors.safe_open(path, framework="numpy") as file:
        names = list(file.keys())
        _within_limit(path.stat().st_size)
        return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})


def _npz(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with zipfile.ZipFile(path) as archive:
        _within_limit(sum(member.file_size for member in archive.infolist()))
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}, {}


def _h5(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    h5py: Any = _extra("h5py")
    with h5py.File(path, "r") as file:
        found = keras_h5.tensors(file, h5py)
        _within_limit(sum(tensor.size * tensor.dtype.itemsize for tensor in found.values()))
        return {name: tensor[()] for name, tensor in found.items()}, {}


_READERS: dict[str, Callable[[pathlib.Path], tuple[dict[str, np.ndarray], dict[str, str]]]] = {
    ".safetensors": _safetensors, ".npz": _npz, ".h5": _h5, ".hdf5": _h5,
}  # fmt: skip


def _extra(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError("its reader is not installed: install hsjax with its extra `pretrained`") from None


def _within_limit(size: int) -> None:
    if size > MAX_BYTES:
        raise UserError(f"it claims {size / 1e9:.1f} GB of tensors, more than any network here: wrong file?")


def _plain(name: str, tensor: np.ndarray) -> np.ndarray:
    """Floating point of any width (bfloat16, which NumPy does not call floating, included) as float32."""
    tensor = np.asarray(tensor)
    if jnp.issubdtype(tensor.dtype, jnp.floating):
        with np.errstate(over="ignore"):  # what becomes infinite is refused where it is used
            return tensor.astype(np.float32)
    if not np.issubdtype(tensor.dtype, np.integer):
        raise UserError(f"{name!r} holds {tensor.dtype} instead of numbers: wrong file?")
    return tensor
