"""Running statistics that fit a network's weights, so that values neither vanish nor explode on their way through."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hsjax.models import Variables


def settled(variables: Variables, after: Callable[[Variables], Variables]) -> Variables:
    """Variables whose running statistics are those of a batch, whatever the momentum of each batch norm.

    A step makes them `keep * before + (1 - keep) * batch`; from 0 and from 1, it tells both.

    Args:
      variables: of a network.
      after: these to the variables after a training step with the batch that leaves the parameters as they are.
    """
    if "batch_stats" not in variables:
        return variables
    from_zero, from_one = (
        after(variables | {"batch_stats": jax.tree.map(lambda leaf, x=x: jnp.full_like(leaf, x), before)})[
            "batch_stats"
        ]
        for before in [variables["batch_stats"]]
        for x in (0.0, 1.0)
    )
    batch = jax.tree.map(lambda zero, one: zero / (1 - (one - zero)), from_zero, from_one)
    return variables | {"batch_stats": batch}
