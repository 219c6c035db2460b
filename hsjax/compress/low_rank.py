"""Low-rank factorisation: a linear layer, or a 1x1 convolution, as two with fewer channels between them.

A kernel of m x n becomes one of m x r and one of r x n, by its truncated singular value decomposition, which is the
nearest of that rank (Eckart and Young 1936; of networks, Denton et al. 2014, https://arxiv.org/abs/1404.0736). It is
smaller where r < m n / (m + n). The network of two layers is `models.Network` with `ranks`.
"""

import fnmatch
import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.models.low_rank import Ranks
from hsjax.types import UserError

Whole = Float[Array, "*ones inputs features"]
Pair = tuple[Float[Array, "*ones inputs rank"], Float[Array, "*ones rank features"]]


def factors(kernel: Whole, rank: int) -> Pair:
    """Two kernels whose product is the nearest to `kernel` that has this rank; both have the same norm.

    Args:
      kernel: of a linear layer, or of a 1x1 convolution.
      rank: 1 to the smaller of both sizes.
    """
    ones, (inputs, features) = kernel.shape[:-2], kernel.shape[-2:]
    left, values, right = jnp.linalg.svd(kernel.reshape(inputs, features), full_matrices=False)
    root = jnp.sqrt(values[:rank])
    down, up = left[:, :rank] * root, root[:, None] * right[:rank]
    return down.reshape(*ones, inputs, rank), up.reshape(*ones, rank, features)


def energies(kernel: Whole) -> Float[np.ndarray, " ranks"]:
    """What part of the sum of its squares a kernel keeps at rank 1, 2, ...; 1 in the end. Of zeros, all at once."""
    squares = np.square(np.asarray(jnp.linalg.svd(kernel.reshape(kernel.shape[-2:]), compute_uv=False), np.float64))
    return np.cumsum(squares) / squares.sum() if squares.any() else np.ones(len(squares))


def rank_of(kernel: Whole, energy: float) -> int:
    """The least rank that keeps a part of a kernel's energy.

    Args:
      kernel: see `factors`.
      energy: above 0, at most 1.
    """
    # All of it may be a rounding less than 1.
    found = np.flatnonzero(energies(kernel) >= energy - np.finfo(np.float32).eps)
    return int(found[0]) + 1


def chosen(layers: Mapping[str, tuple[int, int]], ranks: Mapping[str, int | float]) -> Ranks:
    """The rank of every layer that is named, and that becomes smaller by it; the others stay whole.

    Args:
      layers: inputs and features of those that can be factorised, by path (`models.factorisable`).
      ranks: by pattern of paths; a number from 1 on, or below 1 the fraction of the full rank, rounded up. Where
        several patterns match, the longest counts.

    Raises:
      UserError: a pattern matches nothing, or no layer becomes smaller.
    """
    wanted = _matched(layers, ranks)
    return _smaller(
        layers, {path: math.ceil(rank * min(layers[path])) if rank < 1 else int(rank) for path, rank in wanted.items()}
    )


def by_energy(
    variables: Mapping[str, Any], layers: Mapping[str, tuple[int, int]], energy: Mapping[str, float]
) -> Ranks:
    """As `chosen`, the least rank that keeps a part of each kernel's energy.

    Args:
      variables: trained.
      layers: see `chosen`.
      energy: by pattern of paths; above 0, at most 1.

    Raises:
      UserError: see `chosen`.
    """
    wanted = _matched(layers, energy)
    return _smaller(layers, {path: rank_of(_kernel(variables, path), part) for path, part in wanted.items()})


def factorised(variables: Mapping[str, Any], ranks: Ranks) -> dict[str, Any]:
    """Variables of the network with `ranks`, from those of the one without.

    Args:
      variables: with `params`; the other collections stay as they are.
      ranks: of some layers.
    """
    params = variables["params"]
    for path, rank in ranks:
        params = _within(params, tuple(path.split("/")), rank)
    return {**variables, "params": params}


def _within(params: Mapping[str, Any], path: tuple[str, ...], rank: int) -> dict[str, Any]:
    if path:
        return {**params, path[0]: _within(params[path[0]], path[1:], rank)}
    down, up = factors(params["kernel"], rank)
    rest = {name: value for name, value in params.items() if name != "kernel"}
    return {"down": {"kernel": down}, "up": {"kernel": up, **rest}}


def _kernel(variables: Mapping[str, Any], path: str) -> Array:
    place = variables["params"]
    for name in path.split("/"):
        place = place[name]
    return place["kernel"]


def _matched(layers: Mapping[str, tuple[int, int]], by_pattern: Mapping[str, Any]) -> dict[str, Any]:
    """What the longest pattern that matches says of each layer; none of those that no pattern matches."""
    for pattern in by_pattern:
        if not fnmatch.filter(layers, pattern):
            raise UserError(
                f"no linear layer or 1x1 convolution is called {pattern!r}; there are {', '.join(layers) or 'none'}"
            )
    found = {}
    for path in layers:
        matching = [pattern for pattern in by_pattern if fnmatch.fnmatchcase(path, pattern)]
        if matching:
            found[path] = by_pattern[max(matching, key=len)]
    return found


def _smaller(layers: Mapping[str, tuple[int, int]], ranks: Mapping[str, int]) -> Ranks:
    found = tuple(
        (path, rank) for path, rank in ranks.items() if rank * sum(layers[path]) < layers[path][0] * layers[path][1]
    )
    if not found:
        raise UserError(f"at ranks {', '.join(f'{path} {rank}' for path, rank in ranks.items())} no layer is smaller")
    return found
