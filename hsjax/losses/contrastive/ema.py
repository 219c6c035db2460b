"""Networks that follow another one's weights: MoCo's key encoder, BYOL's target, mean teachers."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

Tree = TypeVar("Tree")
Scalar = float | Float[Array, ""]


def momentum_update(target: Tree, online: Tree, decay: Scalar) -> Tree:
    """Decay target + (1 - decay) online, leaf by leaf: the exponential moving average of weights.

    He et al. 2020, equation 2 (https://arxiv.org/abs/1911.05722); Grill et al. 2020 (https://arxiv.org/abs/2006.07733);
    Tarvainen and Valpola 2017 (https://arxiv.org/abs/1703.01780). What is not a float (counters, keys) is taken from
    `online`. No gradient flows through.

    Args:
      target: the average so far; its dtypes are kept, so that it may be finer than `online`.
      online: the trained network's, of the same structure.
      decay: 0 copies `online`, 1 keeps `target`; may be traced.
    """

    def follow(average: ArrayLike, latest: ArrayLike) -> ArrayLike:
        if not jnp.issubdtype(jnp.result_type(average), jnp.floating):
            return latest
        return jnp.asarray(decay * average + (1 - decay) * latest, jnp.result_type(average))

    return jax.tree.map(follow, *jax.lax.stop_gradient((target, online)))


def rising_momentum(step: Int[Array, ""] | int, total_steps: int, base: Scalar) -> Float[Array, ""]:
    """BYOL's decay, which rises from `base` to 1 over a run along half a cosine (Grill et al. 2020, section 3.2).

    Args:
      step: from 0; may be traced.
      total_steps: length of the run; the decay stays 1 after it.
      base: where it begins, .996 in the paper; may be traced.
    """
    done = jnp.minimum(step / total_steps, 1.0)
    return 1 - (1 - base) * (jnp.cos(jnp.pi * done) + 1) / 2
