"""Members of sweeps: the constants in their names, how readers see them, and what they are held against."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from hsjax.config import AT, LearnsFrom

# The field's signs for constants that have one.
_SIGNS = {"temperature": "T"}
# A stage is held against one that begins with the same network.
_BEGINS_WITH = ("model", "options", "begin", "pretrained")


def sweep_of(name: str) -> str | None:
    """The stage that a member belongs to; None for a stage that is no member."""
    stage, at, _ = name.partition(AT)
    return stage if at else None


def constants(name: str) -> dict[str, float]:
    """The constants in a member's name; none in that of a plain stage."""
    _, _, written = name.partition(AT)
    return {key: float(value) for key, _, value in (part.partition("=") for part in written.split(",") if part)}


def sign(constant: str) -> str:
    """What readers see for a constant: `T` for `temperature`, `learning rate` for `learning_rate`."""
    return _SIGNS.get(constant, constant.replace("_", " "))


def point(of: Mapping[str, float]) -> str:
    """Constants as words: `T = 7, alpha = 0.1`."""
    return ", ".join(f"{sign(constant)} = {value:g}" for constant, value in of.items())


def short(name: str) -> str:
    """A member's name as it fits a narrow column, `grid@T=7,alpha=0.1`; that of a plain stage as it is."""
    if AT not in name:
        return name
    for constant, written in _SIGNS.items():
        name = name.replace(f"{constant}=", f"{written}=")
    return name


def expanded(pipeline: Iterable[str], found: Collection[str]) -> list[str]:
    """The stages of a pipeline that are among `found`, each sweep as its members by ascending constants."""
    members: dict[str, list[str]] = {}
    for name in found:
        stage = sweep_of(name)
        if stage is not None:
            members.setdefault(stage, []).append(name)
    names = []
    for stage in pipeline:
        names += [stage] if stage in found else []
        names += sorted(members.get(stage, ()), key=lambda name: tuple(constants(name).values()))
    return names


def plain(stages: Mapping[str, Any], names: Iterable[str], sweep: str) -> str | None:
    """The first stage that learns the classes alone, with the network of a sweep; None where there is none.

    Args:
      stages: settings of every stage, as in the config.
      names: the stages that may be chosen, none of them a member.
      sweep: a stage.
    """
    its = stages[sweep]
    for name in names:
        of = stages[name]
        learns = of["objective"] == LearnsFrom.CLASSES.value
        if learns and name != sweep and all(of[key] == its[key] for key in _BEGINS_WITH):
            return name
    return None
