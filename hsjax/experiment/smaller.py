"""Networks with fewer channels or thin layers, made of earlier stages' networks as `config.stages.*.compress` says.

How many channels and ranks there are follows from the config alone, so that all seeds and members train one network;
which channels, and what the thin layers hold, follows from each one's weights.
"""

import dataclasses
from collections.abc import Iterable

import jax

from hsjax import compress, models
from hsjax.compress import channels, low_rank
from hsjax.config import ConfigDict, choice
from hsjax.models.channels import channel_groups, with_channels


def network(built: models.Network, made: Iterable[ConfigDict], inputs: jax.ShapeDtypeStruct) -> models.Network:
    """What is left of a network.

    Args:
      built: as its options say.
      made: `compress` of the stages that made it smaller, the first one first.
      inputs: shape and dtype of one batch.

    Raises:
      UserError: a pattern names nothing, or nothing becomes smaller.
    """
    for settings in made:
        if settings.channels:
            sizes = channels.kept_sizes(channel_groups(built), settings.channels.to_dict())
            built = with_channels(built, sizes)
        if settings.ranks:
            built = dataclasses.replace(built, ranks=built.ranks + _ranks(built, settings, inputs))
    return built


def variables(
    earlier: models.Network, trained: models.Variables, settings: ConfigDict, inputs: jax.ShapeDtypeStruct
) -> models.Variables:
    """What a smaller network begins with.

    Args:
      earlier: the network that it is made of.
      trained: its variables.
      settings: `compress` of the stage that begins with it.
      inputs: shape and dtype of one batch.

    Raises:
      UserError: see `network`.
    """
    if settings.channels:
        importance = choice(compress.Importance, settings.importance, "stages.*.compress.importance")
        _, earlier, trained = compress.narrow(earlier, trained, inputs, settings.channels.to_dict(), importance)
    if settings.ranks:
        trained = compress.factorised(trained, _ranks(earlier, settings, inputs))
    return trained


def _ranks(whole: models.Network, settings: ConfigDict, inputs: jax.ShapeDtypeStruct) -> models.low_rank.Ranks:
    return low_rank.chosen(models.factorisable(whole, inputs), settings.ranks.to_dict())
