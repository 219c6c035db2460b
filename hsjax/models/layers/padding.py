"""How windows are laid over maps: padding rules, and the error when nothing fits."""

import enum
from collections.abc import Sequence

from hsjax.types import UserError

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]
"""Before and after, for height and width."""


class Padding(enum.Enum):
    """Rules for the zeros around a map.

    VALID: none. SAME: TensorFlow's, ceil(size / stride) outputs, the odd zero at the end. SYMMETRIC: PyTorch's habit,
    (kernel - 1) // 2 on both sides; where strides are 1 and kernels odd, the same as SAME. CEIL: none at the beginning,
    at the end what makes the last window full (`ceil_mode` of PyTorch's pools).
    """

    VALID = "valid"
    SAME = "same"
    SYMMETRIC = "symmetric"
    CEIL = "ceil"


def resolve(padding: Padding | Sequence[Pair], size: tuple[int, ...], window: Pair, strides: Pair, where: str) -> Pads:
    """The zeros before and after in height and width.

    Args:
      padding: a rule, or the zeros themselves.
      size: height and width of the map.
      window: of the kernel or pool.
      strides: of the window.
      where: the layer, for the error.

    Raises:
      UserError: the map is smaller than the window.
    """
    height, width = (_zeros(padding, axis, size[axis], window[axis], strides[axis]) for axis in (0, 1))
    if any(size[axis] + sum(pads) < window[axis] for axis, pads in enumerate((height, width))):
        raise UserError(
            f"the input is too small: at {where} it has shrunk to {size[0]} x {size[1]}, and a window of "
            f"{window[0]} x {window[1]} has to fit; give the network more coefficients or frames"
        )
    return height, width


def _zeros(padding: Padding | Sequence[Pair], axis: int, size: int, window: int, stride: int) -> Pair:
    """Before and after, along one axis."""
    if not isinstance(padding, Padding):
        before, after = padding[axis]
        return before, after
    if padding is Padding.SAME:
        missing = max((-(-size // stride) - 1) * stride + window - size, 0)
        return missing // 2, missing - missing // 2
    if padding is Padding.SYMMETRIC:
        return (window - 1) // 2, (window - 1) // 2
    if padding is Padding.VALID or size <= window:
        return 0, 0
    missing = (window - size) % stride
    return 0, missing if missing < window else 0  # PyTorch drops a last window that would begin behind the map
