"""Masks of weights that are kept because they are large (Han et al. 2015, https://arxiv.org/abs/1506.02626).

All counts are exact: of n weights at a sparsity s, round(n s) are zero, however many have the same magnitude; of equal
ones the first are kept. The sparsity may be traced, so that a schedule or a sweep over it compiles once.
"""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hsjax.compress.leaves import Kernels
from hsjax.types import UserError

Masks = dict[str, Bool[Array, "..."]]
"""By path: False for weights that are zero."""

Sparsity = Float[Array, ""] | float

# A sparsity such as 1/3 in float32 may be a little too small, and is one of three all the same.
_ROUNDING = 1e-4


def nonzero(kernels: Kernels) -> Masks:
    """Masks of what is not zero now."""
    return {path: kernel != 0 for path, kernel in kernels.items()}


def globally(kernels: Kernels, sparsity: Sparsity, allowed: Mapping[str, Array] | None = None) -> Masks:
    """The largest of all kernels' weights together: layers with many small weights lose most.

    Args:
      kernels: by path.
      sparsity: fraction of zeros among all weights, 0 to 1.
      allowed: masks outside of which nothing is kept; None for no such limit.
    """
    magnitudes = [_magnitude(kernel, allowed, path).reshape(-1) for path, kernel in kernels.items()]
    every = jnp.concatenate(magnitudes)
    kept, masks, start = largest(every, _kept(every.size, sparsity)), {}, 0
    for path, kernel in kernels.items():
        masks[path] = kept[start : start + kernel.size].reshape(kernel.shape)
        start += kernel.size
    return masks


def by_layer(kernels: Kernels, sparsity: Sparsity, allowed: Mapping[str, Array] | None = None) -> Masks:
    """The largest weights of every kernel, each as sparse; arguments as of `globally`."""
    return {
        path: largest(_magnitude(kernel, allowed, path).reshape(-1), _kept(kernel.size, sparsity)).reshape(kernel.shape)
        for path, kernel in kernels.items()
    }


def n_of_m(kernels: Kernels, sparsity: Sparsity, m: int, allowed: Mapping[str, Array] | None = None) -> Masks:
    """The n largest of every m consecutive weights along the input axis, which is the last but one.

    n = m (1 - sparsity), rounded up: 2:4 is m = 4 at a sparsity of .5 (Mishra et al. 2021,
    https://arxiv.org/abs/2104.08378, which runs at twice the speed on GPUs since Ampere).

    Args:
      kernels: by path, their input axes multiples of m; see `fits_n_of_m`.
      sparsity: see above.
      m: size of a group.
      allowed: see `globally`.
    """
    kept = m - jnp.floor(m * sparsity + _ROUNDING).astype(jnp.int32)
    masks = {}
    for path, kernel in kernels.items():
        inputs, features = kernel.shape[-2:]
        groups = _magnitude(kernel, allowed, path).reshape(*kernel.shape[:-2], inputs // m, m, features)
        place = jnp.argsort(jnp.argsort(-groups, axis=-2, stable=True), axis=-2)
        masks[path] = ((place < kept) & (groups >= 0)).reshape(kernel.shape)
    return masks


def fits_n_of_m(kernels: Kernels, m: int) -> Kernels:
    """Those kernels whose input axis is a multiple of m; the first layer's and depthwise ones have but one input.

    Raises:
      UserError: there are none.
    """
    fit = {path: kernel for path, kernel in kernels.items() if kernel.shape[-2] % m == 0}
    if not fit:
        sizes = ", ".join(f"{path} {kernel.shape[-2]}" for path, kernel in kernels.items())
        raise UserError(f"no kernel has inputs in groups of {m}; they have {sizes}")
    return fit


def largest(values: Float[Array, " n"], count: Int[Array, ""] | int) -> Bool[Array, " n"]:
    """Where the `count` largest values are, exactly as many; negative ones never are among them."""
    threshold = jnp.sort(values)[jnp.clip(values.size - count, 0, values.size - 1)]
    above, equal = values > threshold, values == threshold
    chosen = above | (equal & (jnp.cumsum(equal) <= count - jnp.sum(above)))
    return chosen & (count > 0) & (values >= 0)


def sparsity(masks: Mapping[str, Array]) -> Float[Array, ""]:
    """Fraction of zeros among all that masks are of."""
    every = jnp.concatenate([mask.reshape(-1) for mask in masks.values()])
    return 1.0 - jnp.mean(every, dtype=jnp.float32)


def _kept(size: int, sparsity: Sparsity) -> Int[Array, ""]:
    return size - jnp.round(size * jnp.asarray(sparsity)).astype(jnp.int32)


def _magnitude(kernel: Array, allowed: Mapping[str, Array] | None, path: str) -> Array:
    """Absolute values; -1 where nothing may be kept."""
    return jnp.abs(kernel) if allowed is None else jnp.where(allowed[path], jnp.abs(kernel), -1.0)
