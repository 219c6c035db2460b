"""Heads that only pre-training has: projections of an embedding, and BYOL's predictor."""

from collections.abc import Mapping, Sequence

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from hsjax.losses.contrastive.statistics import centred
from hsjax.losses.masked import shown
from hsjax.types import UserError

_EPSILON = 1e-5

# PyTorch's default, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as for the networks.
_initial = jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def init_mlp(
    key: Key[Array, ""], widths: Sequence[int], normalise: bool, dtype: jnp.dtype | type = jnp.float32
) -> dict[str, dict[str, Array]]:
    """Parameters of a multi-layer perceptron: `dense_i` with kernel and bias, and `norm_i` with scale and bias.

    Args:
      key: of the kernels; biases begin at 0.
      widths: of the input and of each layer's output; (512, 512, 256) has 262,656 + 131,328 parameters (Sriram et al.).
      normalise: batch norm after every layer but the last (BYOL, Barlow Twins, VICReg). Those layers have no bias of
        their own, which the norm would take away again.
      dtype: of all parameters.

    Raises:
      UserError: there is no layer.
    """
    if len(widths) < 2:
        raise UserError(f"an MLP of widths {tuple(widths)} has no layer: give the input's width and every layer's")
    params: dict[str, dict[str, Array]] = {}
    layers = len(widths) - 1
    for layer in range(layers):
        kernel = _initial(jax.random.fold_in(key, layer), (widths[layer], widths[layer + 1]), dtype)
        params[f"dense_{layer}"] = {"kernel": kernel}
        bias = jnp.zeros(widths[layer + 1], dtype)
        if normalise and layer < layers - 1:
            params[f"norm_{layer}"] = {"scale": jnp.ones_like(bias), "bias": bias}
        else:
            params[f"dense_{layer}"]["bias"] = bias
    return params


def mlp(
    params: Mapping[str, Mapping[str, Array]], x: Float[Array, "batch dims"], mask: Float[Array, " batch"]
) -> Float[Array, "batch projection"]:
    """Linear layers with ReLU in between, and batch norm before it where `params` have one.

    The norm's statistics are the batch's own, of its unmasked examples, in evaluation too: heads are thrown away after
    pre-training, so no running ones are kept.

    Args:
      params: of `init_mlp`.
      x: `(batch, dims)`.
      mask: `(batch,)`, 0 for padding: in no statistic, and finite in the result whatever it holds here.
    """
    chex.assert_rank([x, mask], [2, 1])
    chex.assert_equal_shape_prefix([x, mask], 1)
    chex.assert_type(x, jnp.floating)
    x = shown(x, mask)
    layers = sum(name.startswith("dense_") for name in params)
    for layer in range(layers):
        dense = params[f"dense_{layer}"]
        x = x @ dense["kernel"]
        if "bias" in dense:
            x = x + dense["bias"]
        if f"norm_{layer}" in params:
            x = _batch_norm(params[f"norm_{layer}"], x, mask)
        if layer < layers - 1:
            x = jax.nn.relu(x)
    return x


def _batch_norm(
    params: Mapping[str, Array], x: Float[Array, "batch dims"], mask: Float[Array, " batch"]
) -> Float[Array, "batch dims"]:
    """Each dimension less its mean and over its deviation (Ioffe and Szegedy 2015), then scaled and moved."""
    deviation, count = centred(x, mask)
    variance = jnp.sum(jnp.square(deviation), 0) / jnp.maximum(count, 1).astype(x.dtype)
    return deviation * (params["scale"] * jax.lax.rsqrt(variance + _EPSILON)) + params["bias"]
