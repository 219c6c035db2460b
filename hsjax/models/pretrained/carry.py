"""Tensors of another library's network into the variables of the same network here."""

import enum
from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array

from hsjax.models.layers import is_frozen
from hsjax.models.network import Variables
from hsjax.types import UserError

Path = tuple[str, ...]
"""Of a leaf in a collection: `("stem", "conv", "kernel")`."""

Names = Callable[[Path], str]
"""Path of a leaf here to the name of the tensor there."""


_COLOURS = 3  # what the stem of a network for photographs sees


class Library(enum.Enum):
    """Whose layout tensors have.

    TORCHVISION: convolutions (features, channels, height, width), linear layers (features, dims).
    KERAS: convolutions (height, width, channels, features), depthwise ones (height, width, channels, 1).
    """

    TORCHVISION = "torchvision"
    KERAS = "keras"


def carry(
    variables: Variables,
    tensors: Mapping[str, np.ndarray],
    names: Names,
    library: Library,
    keep: tuple[str, ...] = (),
) -> Variables:
    """The variables with every leaf taken from the tensors.

    Args:
      variables: of the network, for structure and shapes.
      tensors: by their names there.
      names: of each leaf.
      library: whose layout they have.
      keep: patterns of paths that stay as they are (a head for other classes).

    Raises:
      UserError: a tensor is missing, of another shape, or not finite.
    """
    leaves: dict[Path, Array] = traverse_util.flatten_dict(variables)  # pyrefly: ignore[bad-assignment]
    carried: dict[Path, Array] = {}
    for (collection, *path), leaf in leaves.items():
        if is_frozen(tuple(path), keep):
            carried[(collection, *path)] = leaf
            continue
        name = names(tuple(path))
        if name not in tensors:
            raise UserError(f"these weights have no tensor {name!r}, which {'/'.join(path)} needs: wrong file?")
        tensor = to_here(np.asarray(tensors[name]), leaf.shape, library)
        if tensor.shape != leaf.shape:
            raise UserError(
                f"{name!r} has shape {tensors[name].shape}, {'/'.join(path)} needs {leaf.shape}: wrong file or options?"
            )
        if not np.isfinite(tensor).all():
            raise UserError(f"{name!r} holds values that are not finite: the file is damaged")
        carried[(collection, *path)] = jnp.asarray(tensor, leaf.dtype)
    return traverse_util.unflatten_dict(carried)


def to_here(tensor: np.ndarray, shape: tuple[int, ...], library: Library) -> np.ndarray:
    """A tensor as it is laid out here: convolutions (height, width, channels, features), linear (dims, features).

    Args:
      tensor: there.
      shape: wanted; tells a 1x1 convolution that stands for a linear layer, a depthwise one, a stem of one channel.
      library: where.
    """
    if library is Library.TORCHVISION:
        if tensor.ndim == 4:
            tensor = tensor.transpose(2, 3, 1, 0)
        elif tensor.ndim == 2:
            tensor = tensor.T
    elif tensor.ndim == 4 and tensor.shape[3] == 1 and shape[2:] == (1, tensor.shape[2]):
        tensor = tensor.transpose(0, 1, 3, 2)
    if tensor.ndim == 4 and len(shape) == 2 and tensor.shape[:2] == (1, 1):
        tensor = tensor[0, 0]
    if tensor.ndim == 2 and len(shape) == 4 and shape[:2] == (1, 1):
        tensor = tensor[None, None]
    if tensor.ndim == 4 and len(shape) == 4 and tensor.shape[2] == _COLOURS and shape[2] == 1:
        # On three equal channels, a spectrogram shown thrice, the kernel and its sum over them give the same maps.
        tensor = tensor.sum(2, keepdims=True)
    return tensor
