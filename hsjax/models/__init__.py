"""Networks: one family per file. The only room that imports flax."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn

from hsjax.models.layers import IDENTITY, Execution, Form, Quantiser
from hsjax.models.network import Network, Variables, macs, parameter_count
from hsjax.models.song import SongStudent, SongTeacher
from hsjax.types import UserError

__all__ = ["MODELS", "Form", "Network", "Quantiser", "Variables", "build", "macs", "parameter_count"]

MODELS: dict[str, Callable[..., nn.Module]] = {"song-teacher": SongTeacher, "song-student": SongStudent}


def build(
    name: str, *, num_classes: int, form: Form = Form.FAST, quantiser: Quantiser = IDENTITY, **options: Any
) -> Network:
    """The network called `name`.

    Args:
      name: a key of `MODELS`.
      num_classes: width of the logits.
      form: of its layers; equal parameters, values and gradients.
      quantiser: sees every weight and activation.
      **options: the family's own (`channels`, `padding`, ...), the attributes of its class.

    Raises:
      UserError: no such network, or it has no such option.
    """
    if name not in MODELS:
        raise UserError(f"no network is called {name!r}; there are {', '.join(sorted(MODELS))}")
    make = MODELS[name]
    known = _options(make)
    if unknown := sorted(set(options) - set(known)):
        raise UserError(f"{name} has no option {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    return Network(make(num_classes=num_classes, execution=Execution(form, quantiser), **options))


def _options(make: Callable[..., nn.Module]) -> list[str]:
    """Attributes of a network's class that `build` does not set itself."""
    module: Any = make.func if isinstance(make, functools.partial) else make
    fields = (field.name for field in dataclasses.fields(module) if field.init)
    return [name for name in fields if name not in ("num_classes", "execution", "parent", "name")]
