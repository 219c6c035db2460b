"""PyTorch's .pth files to safetensors. Run where torch is installed, which nothing else of hsjax needs."""

import hashlib
import importlib
import pathlib
import re
from typing import Any

import numpy as np

from hsjax.models.pretrained import register
from hsjax.types import UserError


def convert(path: pathlib.Path, target: pathlib.Path | None = None) -> pathlib.Path:
    """Writes the tensors of a state dict as safetensors, with where they are from in the metadata.

    The file is unpickled by torch's restricted reader (`weights_only=True`), which runs no code of the file's.

    Args:
      path: a .pth file; where its name ends in digits of its SHA-256, as torchvision's do, it must have that SHA-256.
      target: the file to write; by default beside it, with the suffix .safetensors.

    Returns:
      What was written.

    Raises:
      UserError: torch or safetensors is not installed, the file is missing, damaged or no state dict, or its SHA-256
        is not the one in its name.
    """
    target = target or path.with_suffix(".safetensors")
    if not path.is_file():
        raise UserError(f"there is no file {path} to convert: third_party/weights.toml says where to fetch it")
    torch, safetensors = _library("torch"), _library("safetensors.numpy")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    named = re.search(r"-([0-9a-f]{8,64})$", path.stem)
    if named and not sha256.startswith(named[1]):
        raise UserError(f"{path} has SHA-256 {sha256}, not {named[1]} as in its name: it is damaged, fetch it again")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # torch raises pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ... for files that it cannot read
    except Exception as error:
        reason = re.sub(r"\x1b\[[\d;]*m", "", " ".join(str(error).split())).split(". ")[0][:200]
        raise UserError(
            f"{path} is damaged or holds more than tensors ({reason}): fetch it again, or save a state dict alone"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path} holds no plain state dict: save it by `torch.save(model.state_dict(), PATH)`")
    tensors = {name: _array(tensor) for name, tensor in state.items()}
    safetensors.save_file(
        tensors,
        target,
        metadata={
            register.ORIGIN: path.name,
            register.ORIGIN_SHA256: sha256,
            register.TENSORS_SHA256: register.sha256_of_tensors(tensors),
        },
    )
    return target


def _array(tensor: Any) -> np.ndarray:
    """Floating point as float32, which every reader has; counters as they are."""
    tensor = tensor.detach()
    return np.ascontiguousarray((tensor.float() if tensor.is_floating_point() else tensor).numpy())


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError("converting needs torch and safetensors: run it where both are installed") from None
