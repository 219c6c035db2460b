"""Feature maps of two networks brought to one size.

A map is `(batch, *space, channels)`: a sequence has one space axis, a spectrogram's map has two (frequency, time), an
embedding none.
"""

import chex
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def resize(
    values: Float[Array, "batch *space channels"], size: tuple[int, ...]
) -> Float[Array, "batch *size channels"]:
    """Adaptive average pooling of a map to a smaller size.

    Output i of n along an axis of length m is the mean of inputs floor(i m / n) to ceil((i + 1) m / n) - 1, PyTorch's
    `adaptive_avg_pool2d`; neighbouring bins share an input where n does not divide m. Computed as one product with a
    constant matrix per axis.

    Args:
      values: `(batch, *space, channels)`.
      size: a length per space axis, 1 to that axis's own.

    Returns:
      `(batch, *size, channels)`.
    """
    chex.assert_type(values, jnp.floating)
    space = values.shape[1:-1]
    if len(size) != len(space) or not all(1 <= to <= length for to, length in zip(size, space, strict=True)):
        raise ValueError(f"a map of {space} positions cannot be pooled to {size}")
    for axis, (length, to) in enumerate(zip(space, size, strict=True), start=1):
        if to != length:
            bins = jnp.asarray(_bins(length, to), values.dtype)
            pooled = jnp.tensordot(bins, values, (1, axis), precision=lax.Precision.HIGHEST)
            values = jnp.moveaxis(pooled, 0, axis)
    return values


def common(
    student: Float[Array, "batch *student_space student_channels"],
    teacher: Float[Array, "batch *teacher_space teacher_channels"],
) -> tuple[Float[Array, "batch *size student_channels"], Float[Array, "batch *size teacher_channels"]]:
    """Both maps with the same space axes, pooled to the smaller length along each.

    Where one map has more space axes, the mean over its first ones is taken: the frequencies of a spectrogram's map
    against a sequence, all positions against an embedding.

    Args:
      student: `(batch, *space, channels)`.
      teacher: the same batch; space and channels may differ.

    Returns:
      The student's and the teacher's, each `(batch, *size, its own channels)`.
    """
    chex.assert_type([student, teacher], jnp.floating)
    chex.assert_equal(student.shape[0], teacher.shape[0])
    rank = min(student.ndim, teacher.ndim)
    student, teacher = (jnp.mean(values, tuple(range(1, values.ndim - rank + 1))) for values in (student, teacher))
    size = tuple(min(lengths) for lengths in zip(student.shape[1:-1], teacher.shape[1:-1], strict=True))
    return resize(student, size), resize(teacher, size)


def _bins(length: int, to: int) -> np.ndarray:
    """Float64 `(to, length)`: each row is the mean over one bin."""
    output, position = np.arange(to)[:, None], np.arange(length)
    first, last = output * length // to, -(-(output + 1) * length // to)
    inside = (first <= position) & (position < last)
    return inside / inside.sum(1, keepdims=True)
