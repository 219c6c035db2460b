"""Structured pruning: channels are taken out of a network, which is then a smaller one of the same family.

Which channels: those whose filters have the smallest norm (Li et al. 2017, https://arxiv.org/abs/1608.08710), or whose
batch norm scales least (Liu et al. 2017, "Network slimming", https://arxiv.org/abs/1708.06519). The others keep their
weights, so that the smaller network computes what the large one would with those channels at zero, after batch norm and
wherever they pass.
"""

import enum
import fnmatch
import fractions
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.models import Network, Variables
from hsjax.models.channels import ChannelGroups, channel_groups, options_for, with_channels
from hsjax.types import UserError

Path = tuple[str, ...]


class Importance(enum.Enum):
    """What a channel is worth: the norm of all filters that make it, or what batch norms scale it by on average."""

    L1 = "l1"
    L2 = "l2"
    NORM_SCALE = "norm-scale"


class Axis(NamedTuple):
    """One axis of one variable along which a group's channels lie; once, or again and again (a flattened map).

    Attributes:
      path: from the collection on.
      axis: counted from 0.
      times: how often all channels lie there one after another.
    """

    path: Path
    axis: int
    times: int


class Narrowed(NamedTuple):
    """A smaller network.

    Attributes:
      options: of `models.build`, beside those that the large one was built with.
      network: the same that these build.
      variables: of it.
    """

    options: dict[str, Any]
    network: Network
    variables: Variables


def narrow(
    network: Network,
    variables: Variables,
    inputs: jax.ShapeDtypeStruct,
    keep: Mapping[str, int | float],
    importance: Importance = Importance.L2,
) -> Narrowed:
    """Takes the least important channels out.

    Args:
      network: whose family tells its groups (`models.channels`).
      variables: of it.
      inputs: shape and dtype of one batch.
      keep: see `kept_sizes`.
      importance: see there.

    Raises:
      UserError: see `kept_sizes`; or the family has no groups, or its parts are not those of a smaller one.
    """
    groups = channel_groups(network)
    sizes = kept_sizes(groups, keep)
    smaller = with_channels(network, sizes)
    if _operations(smaller, inputs) != _operations(network, inputs):
        raise UserError(f"with {_written(sizes)} channels this is another network, not a smaller one; keep others")
    found = axes(network, inputs)
    leaves = {_names(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(variables)}
    # All are weighed as they are before any is gone, so that the order of the groups does not count.
    worth = {name: _worth(leaves, found[name], size, importance) for name, size in groups.sizes.items()}
    for name, size in groups.sizes.items():
        best = np.sort(np.argsort(-np.asarray(worth[name]), kind="stable")[: sizes[name]])
        for path, axis, times in found[name]:
            index = (np.arange(times)[:, None] * size + best).ravel()
            leaves[path] = jnp.take(leaves[path], index, axis)
    made = jax.tree_util.tree_map_with_path(lambda path, _: leaves[_names(path)], variables)
    return Narrowed(options_for(network, sizes), smaller, made)


def kept_sizes(groups: ChannelGroups, keep: Mapping[str, int | float]) -> dict[str, int]:
    """How many channels each group is left with; one more or less where two may not be of one size.

    Args:
      groups: of a network.
      keep: by pattern of names of groups; a number of channels from 1 on, or below 1 the fraction of them. Where
        several patterns match, the longest counts; where none does, all are kept.

    Raises:
      UserError: a pattern matches nothing, more channels are asked for than there are, or nothing becomes smaller.
    """
    for pattern in keep:
        if not fnmatch.filter(groups.sizes, pattern):
            raise UserError(f"no channels are called {pattern!r}; there are {', '.join(groups.sizes)}")
    sizes = dict(groups.sizes)
    for name, size in groups.sizes.items():
        matching = [pattern for pattern in keep if fnmatch.fnmatchcase(name, pattern)]
        if not matching:
            continue
        wanted = keep[max(matching, key=len)]
        sizes[name] = max(1, round(wanted * size)) if wanted < 1 else int(wanted)
        if sizes[name] > size:
            raise UserError(f"{name} has {size} channels, of which {sizes[name]} cannot be kept")
    _move_apart(groups, sizes)
    if sizes == groups.sizes:
        raise UserError(f"keeping {dict(keep)} leaves all of {_written(sizes)} channels; keep fewer")
    return sizes


def axes(network: Network, inputs: jax.ShapeDtypeStruct) -> dict[str, list[Axis]]:
    """Where the channels of each group lie.

    Found by making every group larger by another part of itself: an axis that grows by that part is the group's.

    Args:
      network: whose family tells its groups.
      inputs: shape and dtype of one batch.

    Raises:
      UserError: an axis depends on channels in another way.
    """
    groups = channel_groups(network)
    larger, parts = _all_larger(groups)
    before, after = (
        {_names(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(_shapes(one, inputs))}
        for one in (network, with_channels(network, larger))
    )
    found: dict[str, list[Axis]] = {name: [] for name in groups.sizes}
    for path, shape in before.items():
        for axis, (size, grown) in enumerate(zip(shape, after.get(path, ()), strict=True)):
            if grown == size:
                continue
            name = parts.get(fractions.Fraction(grown - size, size))
            if name is None or size % groups.sizes[name]:
                raise UserError(f"axis {axis} of {'/'.join(path)} does not follow one group of channels")
            found[name].append(Axis(path, axis, size // groups.sizes[name]))
    return found


def _all_larger(groups: ChannelGroups) -> tuple[dict[str, int], dict[fractions.Fraction, str]]:
    """Sizes of which each is larger than it was by another part of itself, and whose part that is."""
    sizes = dict(groups.sizes)
    parts: dict[fractions.Fraction, str] = {}
    for name, size in groups.sizes.items():
        added = 1
        while fractions.Fraction(added, size) in parts or _meets(groups, sizes, name, size + added):
            added += 1
        sizes[name] = size + added
        parts[fractions.Fraction(added, size)] = name
    return sizes, parts


def _meets(groups: ChannelGroups, sizes: Mapping[str, int], name: str, size: int) -> bool:
    """Whether a group of this size would be as large as one that it has to be apart from."""
    return any(sizes[other] == size for pair in groups.apart if name in pair for other in pair if other != name)


def _move_apart(groups: ChannelGroups, sizes: dict[str, int]) -> None:
    for name, size in groups.sizes.items():
        if sizes[name] == size:
            continue
        near = sorted(range(1, size + 1), key=lambda other, at=sizes[name]: (abs(other - at), -other))
        free = [other for other in near if not _meets(groups, sizes, name, other)]
        if not free:
            raise UserError(f"no number of channels of {name} keeps it apart from its neighbours; keep others")
        sizes[name] = free[0]


def _worth(
    leaves: Mapping[Path, Array], where: list[Axis], size: int, importance: Importance
) -> Float[Array, " channels"]:
    last = "scale" if importance is Importance.NORM_SCALE else "kernel"
    makers = [leaves[path] for path, axis, _ in where if path[-1] == last and axis == leaves[path].ndim - 1]
    if not makers:
        places = ", ".join("/".join(path) for path, *_ in where)
        raise UserError(f"no batch norm scales the channels at {places}; set the importance to l1 or l2")
    values = jnp.concatenate([maker.reshape(-1, size) for maker in makers])
    if importance is Importance.L2:
        return jnp.linalg.norm(values, axis=0)
    return jnp.sum(jnp.abs(values), axis=0)


def _shapes(network: Network, inputs: jax.ShapeDtypeStruct) -> Any:
    return jax.eval_shape(lambda key: network.init(key, inputs), jax.random.key(0))


def _operations(network: Network, inputs: jax.ShapeDtypeStruct) -> list[str]:
    """What a network does, in order, whatever the sizes."""
    jaxpr = jax.make_jaxpr(lambda v, x: network.apply(v, x)[0].logits)(_shapes(network, inputs), inputs)
    return [equation.primitive.name for equation in jaxpr.jaxpr.eqns]


def _names(path: Any) -> Path:
    return tuple(key.key for key in path)


def _written(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {size}" for name, size in sizes.items())
