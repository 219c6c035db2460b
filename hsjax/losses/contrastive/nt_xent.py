"""NT-Xent, SimCLR's loss: each view is to find the other one of its example."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.losses.contrastive.supcon import Scalar, supcon


def nt_xent(
    first: Float[Array, "batch dims"],
    second: Float[Array, "batch dims"],
    mask: Float[Array, " batch"],
    temperature: Scalar,
) -> Float[Array, ""]:
    """Normalised-temperature cross-entropy of picking the anchor's other view among all other views.

    Chen et al. 2020, SimCLR, equation 1 (https://arxiv.org/abs/2002.05709), averaged over both views of all examples.
    It is SupCon where every example is a class of its own.

    Args:
      first: projections of one view, `(batch, dims)`; their lengths do not matter.
      second: of the other view, row by row of the same examples.
      mask: `(batch,)`, 0 for padding, which is neither anchor nor negative.
      temperature: divides the cosine similarities. Positive; may be traced.

    Returns:
      In nats; log(2 n - 1) where all n examples look the same, 0 for a single one and for none.
    """
    return supcon(first, second, jnp.arange(len(mask)), mask, temperature)
