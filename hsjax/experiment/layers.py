"""Every trained network layer by layer, for the page to draw."""

import dataclasses
import functools
from typing import Any

import jax

from hsjax import config as run_config
from hsjax import models
from hsjax.config import StageKind
from hsjax.experiment.context import Context
from hsjax.models import quantised
from hsjax.models.summary import summary

# Of a network with more layers, blocks are shown as one.
_MOST_ROWS = 60


def describe(context: Context) -> list[dict[str, Any]]:
    """Name, input and layers of the networks of a run, those that several stages share once."""
    found: dict[models.Network, dict[str, Any]] = {}
    for name, stage in run_config.stages(context.config, StageKind.TRAIN).items():
        # What it is made of, whatever it is trained for: in one form, without quantiser.
        network = quantised.without(context.network(name, models.Form.PLAIN))
        network = dataclasses.replace(network, frozen=())
        if network not in found:
            found[network] = {
                "model": stage.model,
                "stages": [],
                "input": list(context.front_end.shape),
                "layers": _layers(network, context.one_input),
            }
        found[network]["stages"].append(name)
    return list(found.values())


@functools.lru_cache(maxsize=32)
def _layers(network: models.Network, inputs: jax.ShapeDtypeStruct) -> list[dict[str, Any]]:
    rows = summary(network, inputs)
    depth = max(row.path.count("/") for row in rows)
    while len(rows) > _MOST_ROWS and depth:
        rows, depth = summary(network, inputs, depth), depth - 1
    return [dataclasses.asdict(row) for row in rows]
