"""FitNets: a student's hidden layer predicts a teacher's."""

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from hsjax.losses.distillation import maps


def init_fitnet(
    key: Key[Array, ""], student_channels: int, teacher_channels: int, dtype: DTypeLike = jnp.float32
) -> dict[str, Array]:
    """Parameters of `fitnet`'s regressor: `kernel` (student_channels, teacher_channels), Glorot; `bias`, zero."""
    kernel = jax.nn.initializers.glorot_uniform()(key, (student_channels, teacher_channels), dtype)
    return {"kernel": kernel, "bias": jnp.zeros(teacher_channels, dtype)}


def fitnet(
    params: dict[str, Array],
    student: Float[Array, "batch *student_space student_channels"],
    teacher: Float[Array, "batch *teacher_space teacher_channels"],
) -> Float[Array, " batch"]:
    """Mean squared error of a linear regression from the student's channels to the teacher's, at every position.

    Romero et al. 2015, "FitNets: hints for thin deep nets", https://arxiv.org/abs/1412.6550, equation 3, with a mean
    over positions and channels where the paper has half the sum, so that the weight of the loss does not depend on the
    layer's size; and with a 1x1 regressor where the paper's spans several positions to make up for different sizes:
    here `maps.common` pools both first.

    Args:
      params: from `init_fitnet`.
      student: map `(batch, *space, channels)` or embedding `(batch, dims)`.
      teacher: its space and channels may differ; no gradient flows into it.

    Returns:
      `(batch,)`.
    """
    chex.assert_shape(params["kernel"], (student.shape[-1], teacher.shape[-1]))
    student, teacher = maps.common(student, jax.lax.stop_gradient(teacher))
    guess = jnp.matmul(student, params["kernel"], precision=lax.Precision.HIGHEST) + params["bias"]
    return jnp.mean(jnp.square(guess - teacher), tuple(range(1, teacher.ndim)))
