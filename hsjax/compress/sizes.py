"""How large something is: as it lies on the disk, zipped, and as an ideal code of its values would have it."""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int8

from hsjax.runtime.files import zipped

_KERNEL = "kernel"


class Sizes(NamedTuple):
    """All in bytes.

    Attributes:
      raw: as it is.
      zipped: as the one file of a .zip archive, deflated as far as zlib can; the same bytes give the same archive.
      entropy: lower bound of every code that treats values alike and knows how often each occurs in its tensor (of a
        file, each byte): the sum over tensors of n times the entropy of its histogram (Shannon 1948).
    """

    raw: int
    zipped: int
    entropy: float


def of_file(path: pathlib.Path) -> Sizes:
    """Of any file.

    Raises:
      OSError: it cannot be read.
    """
    data = path.read_bytes()
    return Sizes(len(data), zipped(data), entropy_bits(np.frombuffer(data, np.uint8)) / 8)


def of_variables(variables: Mapping[str, Any], bits: int | None = None) -> Sizes:
    """Of a network's variables without any format around them, in the order of their paths.

    Args:
      variables: of `models.Network.init`.
      bits: 2 to 8: kernels are rounded to so many, symmetrically by output channel, with a float32 scale for each; None
        leaves them float32. All else is float32.
    """
    raw, entropy, parts = 0.0, 0.0, []
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        value = np.asarray(leaf, np.float32)
        if bits is None or not path[-1].key.endswith(_KERNEL):
            raw += value.nbytes
            # A code of floats has to name them first; where few are alike, it gains nothing.
            named = np.unique(value).nbytes + entropy_bits(value) / 8
            entropy += min(value.nbytes, named)
            parts.append(value.tobytes())
        else:
            whole = quantised(value, bits)
            scales = 4 * value.shape[-1]
            raw += whole.size * bits / 8 + scales
            entropy += entropy_bits(whole) / 8 + scales
            parts += [whole.tobytes(), (np.abs(value).max(tuple(range(value.ndim - 1)))).tobytes()]
    return Sizes(int(np.ceil(raw)), zipped(b"".join(parts)), entropy)


def quantised(kernel: np.ndarray, bits: int = 8) -> Int8[np.ndarray, "..."]:
    """Rounded to whole numbers up to 2^(bits - 1) - 1 in magnitude, each output channel at its own scale; 0 stays 0.

    Args:
      kernel: output channels last.
      bits: 2 to 8.
    """
    most = 2 ** (bits - 1) - 1
    largest = np.abs(kernel).max(tuple(range(kernel.ndim - 1)))
    return np.rint(kernel / np.where(largest > 0, largest, 1) * most).astype(np.int8)


def entropy_bits(values: np.ndarray) -> float:
    """Number of values times the entropy of their histogram, in bits."""
    _, count = np.unique(values, return_counts=True)
    return float(-(count * np.log2(count / max(values.size, 1))).sum()) + 0.0  # no -0
