"""Mixed precision: how much a network loses when one layer alone has few bits, and which layers keep more for it.

One layer at a time, as in Wu et al. 2020, Integer Quantization for Deep Learning Inference
(https://arxiv.org/abs/2004.09602), section 4.2; the loss is that of labelled examples which nothing was trained on.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Float, Int

from hsjax.compress.leaves import every, replaced
from hsjax.models import Network, Variables
from hsjax.models.layers import grid
from hsjax.types import UserError

_BATCH = 256


class Sensitivity(NamedTuple):
    """Of one kernel.

    Attributes:
      path: of it.
      weights: how many it holds.
      increase: of the mean cross-entropy, in nats, when it alone has few bits.
    """

    path: str
    weights: int
    increase: float


def sensitivities(
    network: Network,
    variables: Variables,
    inputs: Float[np.ndarray, "n ..."],
    label: Int[np.ndarray, " n"],
    bits: int = 4,
) -> list[Sensitivity]:
    """Of every kernel, the most sensitive one first.

    Args:
      network: without quantiser.
      variables: trained.
      inputs: features of validation examples.
      label: class of each.
      bits: that one kernel at a time is rounded to, with a scale for each output channel.

    Raises:
      UserError: there are no examples.
    """
    if not len(label):
        raise UserError("sensitivity needs examples: give the run a validation part")
    logits = jax.jit(lambda held, batch: network.apply(held, batch)[0].logits)

    def loss(params: object) -> float:
        held = variables | {"params": params}
        starts = range(0, len(label), _BATCH)
        made = [np.asarray(logits(held, jnp.asarray(inputs[start : start + _BATCH]))) for start in starts]
        scores = np.concatenate(made).astype(np.float64)
        return float(-scipy.special.log_softmax(scores, axis=1)[np.arange(len(label)), label].mean())

    whole = loss(variables["params"])
    found = []
    for path, kernel in every(variables["params"]).items():
        rounded = grid.on_steps(kernel, grid.weight_step(kernel, bits, -1), bits, -1)
        found.append(Sensitivity(path, kernel.size, loss(replaced(variables["params"], {path: rounded})) - whole))
    return sorted(found, key=lambda one: one.increase, reverse=True)


def kept_wide(found: Iterable[Sensitivity], fraction: float) -> Sequence[str]:
    """Paths of the most sensitive kernels that together hold at most a fraction of all weights.

    Args:
      found: of every kernel.
      fraction: of all weights, 0 to 1.

    Raises:
      UserError: no such fraction.
    """
    if not 0 <= fraction <= 1:
        raise UserError(f"the fraction of weights that keep more bits lies between 0 and 1, not at {fraction:g}")
    ordered = sorted(found, key=lambda one: one.increase, reverse=True)
    left = fraction * sum(one.weights for one in ordered)
    kept = []
    for one in ordered:
        if one.increase > 0 and one.weights <= left:
            kept.append(one.path)
            left -= one.weights
    return kept
