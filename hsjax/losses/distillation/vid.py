"""Variational information distillation: how much a student's layer tells about a teacher's."""

import math

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from hsjax.losses.distillation import maps

INITIAL_VARIANCE = 5.0
"""Ahn et al. 2019, in the released code."""
SMALLEST_VARIANCE = 1e-5
"""Ahn et al. 2019, in the released code: epsilon."""


def init_vid(
    key: Key[Array, ""], student_channels: int, teacher_channels: int, dtype: DTypeLike = jnp.float32
) -> dict[str, Array]:
    """Parameters of `vid`'s Gaussian: two linear layers for its mean, one value per channel for its variance."""
    first, second = jax.random.split(key)
    return {
        "hidden_kernel": jax.nn.initializers.he_normal()(first, (student_channels, teacher_channels), dtype),
        "hidden_bias": jnp.zeros(teacher_channels, dtype),
        "kernel": jax.nn.initializers.lecun_normal()(second, (teacher_channels, teacher_channels), dtype),
        "bias": jnp.zeros(teacher_channels, dtype),
        # Softplus of this and SMALLEST_VARIANCE make INITIAL_VARIANCE.
        "variance": jnp.full(teacher_channels, math.log(math.expm1(INITIAL_VARIANCE - SMALLEST_VARIANCE)), dtype),
    }


def vid(
    params: dict[str, Array],
    student: Float[Array, "batch *student_space student_channels"],
    teacher: Float[Array, "batch *teacher_space teacher_channels"],
) -> Float[Array, " batch"]:
    """Negative log-likelihood of the teacher's layer under a Gaussian whose mean is a function of the student's.

    Ahn et al. 2019, "Variational information distillation for knowledge transfer", https://arxiv.org/abs/1904.05835:
    a variance per channel, softplus(params["variance"]) + 1e-5, the same at every position. Without
    the constant log(2 pi) / 2, and as a mean over positions and channels, as in released code; the paper sums. The mean
    is two 1x1 layers with a ReLU between, as wide as the teacher, where the paper has a convolutional network with
    batch normalisation; maps of different sizes are pooled by `maps.common`.

    Args:
      params: from `init_vid`.
      student: map `(batch, *space, channels)` or embedding `(batch, dims)`.
      teacher: its space and channels may differ; no gradient flows into it.

    Returns:
      `(batch,)`, in nats. Negative where the prediction is good: log(1e-5) / 2 is the smallest value.
    """
    chex.assert_shape(params["hidden_kernel"], (student.shape[-1], teacher.shape[-1]))
    student, teacher = maps.common(student, jax.lax.stop_gradient(teacher))
    hidden = jax.nn.relu(_linear(student, params["hidden_kernel"], params["hidden_bias"]))
    guess = _linear(hidden, params["kernel"], params["bias"])
    variance = jax.nn.softplus(params["variance"]) + SMALLEST_VARIANCE
    likelihood = jnp.square(teacher - guess) / variance + jnp.log(variance)
    return jnp.mean(likelihood, tuple(range(1, teacher.ndim))) / 2


def _linear(
    values: Float[Array, "*rest ins"], kernel: Float[Array, "ins outs"], bias: Float[Array, " outs"]
) -> Float[Array, "*rest outs"]:
    return jnp.matmul(values, kernel, precision=lax.Precision.HIGHEST) + bias
