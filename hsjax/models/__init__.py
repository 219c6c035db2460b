"""Networks: one family per file. The only room that imports flax."""

import flax.linen as nn

from hsjax.models.layers import Form
from hsjax.models.network import Network, Variables, macs, parameter_count
from hsjax.models.song import SongStudent, SongTeacher
from hsjax.types import UserError

__all__ = ["MODELS", "Form", "Network", "Variables", "build", "macs", "parameter_count"]

MODELS: dict[str, type[nn.Module]] = {"song-teacher": SongTeacher, "song-student": SongStudent}


def build(name: str, *, num_classes: int, form: Form = Form.FAST) -> Network:
    """The network called `name`.

    Args:
      name: a key of `MODELS`.
      num_classes: width of the logits.
      form: of its layers; equal parameters, values and gradients.

    Raises:
      UserError: no such network.
    """
    if name not in MODELS:
        raise UserError(f"no network is called {name!r}; there are {', '.join(sorted(MODELS))}")
    return Network(MODELS[name](num_classes=num_classes, form=form))
