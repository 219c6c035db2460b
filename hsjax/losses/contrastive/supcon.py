"""SupCon: views of one class attract each other, all others repel."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hsjax.losses.masked import mean, shown, unit

Scalar = float | Float[Array, ""]


def supcon(
    first: Float[Array, "batch dims"],
    second: Float[Array, "batch dims"] | None,
    label: Int[Array, " batch"],
    mask: Float[Array, " batch"],
    temperature: Scalar,
) -> Float[Array, ""]:
    """Supervised contrastive loss, the one with the sum outside the logarithm.

    Khosla et al. 2020, L_out of equation 2 (https://arxiv.org/abs/2004.11362). An anchor's loss is the mean over its
    positives of the negative log-softmax of its cosine similarities to all other views; averaged over the anchors that
    have a positive (the paper writes the sum). An anchor without one counts as a negative of others only. The factor
    temperature / base temperature of the authors' code is not in the paper, and not here.

    Args:
      first: projections of one view, `(batch, dims)`; their lengths do not matter.
      second: of the other view, or None where there is one view: then positives are other examples of the class only.
      label: `(batch,)`, integer classes.
      mask: `(batch,)`, 0 for padding, which is neither anchor nor positive nor negative.
      temperature: divides the similarities. Positive; may be traced.

    Returns:
      In nats; 0 where no example has a positive.
    """
    views = [first] if second is None else [first, second]
    chex.assert_equal_shape(views)
    chex.assert_rank([*views, label, mask], [*[2] * len(views), 1, 1])
    chex.assert_type([*views, label], [*[jnp.floating] * len(views), jnp.integer])
    chex.assert_equal_shape_prefix([first, label, mask], 1)
    vectors = jnp.concatenate([unit(shown(view, mask)) for view in views])
    label, some = jnp.tile(label, len(views)), jnp.tile(mask > 0, len(views))
    # What accelerators round a product to by default is amplified by 1 / temperature.
    similarity = jnp.matmul(vectors, vectors.T, precision=jax.lax.Precision.HIGHEST) / temperature
    candidate = some[:, None] & some[None, :] & ~jnp.eye(len(some), dtype=bool)
    positive = candidate & (label[:, None] == label[None, :])
    positives = jnp.sum(positive, -1)
    # Without any candidate it is -inf, and left out below; the `where` here keeps that from the gradient.
    total = jax.nn.logsumexp(jnp.where(candidate, similarity, -jnp.inf), -1)
    attraction = jnp.sum(jnp.where(positive, similarity, 0.0), -1) / jnp.maximum(positives, 1).astype(total.dtype)
    return mean(total - attraction, (positives > 0).astype(total.dtype))
