"""Stages that train several members: which there are, what they are called, and the settings of each."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict

from hsjax.types import UserError

AT = "@"
"""Between the name of a stage and the constants of one of its members."""

_SWEPT = ("temperature", "alpha")
_OF_OPTIMIZER = ("learning_rate", "weight_decay")
_SPARSITY = "sparsity"

Point = Mapping[str, float]


def grid(**axes: Iterable[float]) -> tuple[dict[str, float], ...]:
    """All combinations of constants, for `sweep` of a train stage.

    Args:
      **axes: values by name of the constant: `temperature=(1.0, 7.0), alpha=(0.1, 0.3)` are four members.
    """
    return tuple(dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values()))


def members(name: str, stage: ConfigDict) -> list[str]:
    """Names of a stage's members; its own where it has no sweep."""
    return [member(name, point) for point in stage.sweep] or [name]


def member(name: str, point: Point) -> str:
    """The name of the member with these constants."""
    return f"{name}{AT}{','.join(f'{key}={value:g}' for key, value in point.items())}"


def of_member(stages: ConfigDict, name: str) -> ConfigDict:
    """The settings of a train stage, or of one member: those of the stage with the member's constants.

    A member keeps the stage's `sweep`: what is compiled for all of them depends on it.

    Raises:
      UserError: there is no such member.
    """
    base, at, _ = name.partition(AT)
    stage = ConfigDict(stages[base].to_dict())
    if not at:
        return stage
    points = {member(base, point): point for point in stages[base].sweep}
    if name not in points:
        raise UserError(f"there is no {name!r}; config.stages.{base}.sweep has {', '.join(points)}")
    for key, value in points[name].items():
        _section(stage, key)[key] = float(value)
    return stage


def problem(stage: ConfigDict) -> str | None:
    """What is wrong with a sweep, None if nothing is."""
    for point in stage.sweep:
        if not isinstance(point, Mapping) or not point:
            return "has to be a tuple of constants by name, for example ({'temperature': 1.0}, {'temperature': 7.0})"
        for key, value in point.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                return f"has {key}={value!r}, which is no number"
            if _section(stage, key) is None:
                known = (*_SWEPT, *_OF_OPTIMIZER, _SPARSITY, *stage.constants, *stage.hints)
                return f"has {key!r}; only constants can be swept over: {', '.join(known)}"
    names = members("", stage)
    return "names one member twice" if len(set(names)) < len(names) else None


def _section(stage: ConfigDict, key: str) -> Any:
    """Where a constant stands in the settings of a stage; None if it is none."""
    if key in _SWEPT:
        return stage
    if key in _OF_OPTIMIZER:
        return stage.optimizer
    if key == _SPARSITY:
        return stage.compress.prune
    if key in stage.constants and key != "class_balanced_beta":
        return stage.constants
    return stage.hints if key in stage.hints else None
