"""Which channels of a network may be fewer, as its family tells.

A family that supports it has two methods: `channel_groups` and `with_channels`. Which axes of which parameters belong
to a group is not told but read off the shapes of the same network with other numbers of channels (`compress.channels`),
so that nothing can contradict the layers.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from hsjax.models.network import Network
from hsjax.types import UserError


@dataclasses.dataclass(frozen=True)
class ChannelGroups:
    """Channels that exist together or not at all.

    Attributes:
      sizes: how many there are, by name of the group: what several layers share (the sum of residual blocks, a
        depthwise convolution's inputs and outputs) is one group.
      apart: pairs of groups that must not be of one size, because the family takes equal sizes for a residual block, or
        leaves out a layer.
    """

    sizes: Mapping[str, int]
    apart: tuple[tuple[str, str], ...] = ()


def channel_groups(network: Network) -> ChannelGroups:
    """Groups of a network's channels.

    Raises:
      UserError: the family, or the network with these options, has none to leave out.
    """
    family = _family(network)
    return family.channel_groups()


def with_channels(network: Network, sizes: Mapping[str, int]) -> Network:
    """The same network with other numbers of channels; `frozen`, `precision` and `ranks` stay.

    Args:
      network: any.
      sizes: of all its groups.
    """
    return dataclasses.replace(network, module=network.module.clone(**options_for(network, sizes)))


def options_for(network: Network, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The options of `models.build` that give a network other numbers of channels."""
    return _family(network).with_channels(sizes)


def _family(network: Network) -> Any:
    if not hasattr(type(network.module), "channel_groups"):
        raise UserError(
            f"channels can be taken out of song-teacher, song-student, dscnn and mobilenetv2, not out of "
            f"{type(network.module).__name__}; leave compress.channels empty"
        )
    return network.module
