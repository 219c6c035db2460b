"""The networks there are, by name."""

import dataclasses
import enum
import functools
import numbers
from collections.abc import Callable
from typing import Any

import flax.linen as nn

from hsjax.models.cardioxnet import CardioXNet
from hsjax.models.densenet import DenseNet
from hsjax.models.dscnn import DSCNN
from hsjax.models.efficientnet import EfficientNet
from hsjax.models.efficientnet_v2 import EfficientNetV2
from hsjax.models.layers import FUNCTIONS, IDENTITY, Execution, Form, Quantiser
from hsjax.models.li2021 import LiCNN
from hsjax.models.mobilenet_v2 import MobileNetV2
from hsjax.models.mobilenet_v3 import LARGE, MobileNetV3
from hsjax.models.network import Network
from hsjax.models.resnet import ResNet, Variant
from hsjax.models.sarkhel import SarkhelConv1D, SarkhelConv2D, SarkhelLSTM, SarkhelRNN
from hsjax.models.song import SongStudent, SongTeacher
from hsjax.models.squeezenet import SqueezeNet
from hsjax.models.sriram import DistillCNN, SriramTeacher
from hsjax.types import UserError

_Make = Callable[..., nn.Module]

MODELS: dict[str, _Make] = {
    "song-teacher": SongTeacher,
    "song-student": SongStudent,
    "sriram-teacher": SriramTeacher,
    "sriram-student": DistillCNN,
    "mobilenetv2": MobileNetV2,
    "mobilenetv3-small": MobileNetV3,
    "mobilenetv3-large": functools.partial(MobileNetV3, blocks=LARGE, hidden=1280),
    "squeezenet": SqueezeNet,
    "efficientnetb0": EfficientNet,
    "efficientnetv2-s": EfficientNetV2,
    "resnet18": functools.partial(ResNet, blocks=(2, 2, 2, 2), bottleneck=False, variant=Variant.TORCHVISION),
    "resnet50": ResNet,
    "resnet101": functools.partial(ResNet, blocks=(3, 4, 23, 3)),
    "densenet201": DenseNet,
    "sarkhel-conv1d": SarkhelConv1D,
    "sarkhel-conv2d": SarkhelConv2D,
    "sarkhel-lstm": SarkhelLSTM,
    "sarkhel-rnn": SarkhelRNN,
    "sarkhel-student": functools.partial(SarkhelConv2D, widths=(8, 16, 32)),
    "li2021": LiCNN,
    "cardioxnet": CardioXNet,
    "dscnn": DSCNN,
}


def build(
    name: str, *, num_classes: int, form: Form = Form.FAST, quantiser: Quantiser = IDENTITY, **chosen: Any
) -> Network:
    """The network called `name`.

    Args:
      name: a key of `MODELS`.
      num_classes: width of the logits.
      form: of its layers; equal parameters, values and gradients.
      quantiser: sees every weight and activation.
      **chosen: the family's own options (`channels`, `padding`, ...), the attributes of its class. What is a choice may
        be given by its name, as configs and flags do.

    Raises:
      UserError: no such network, or it has no such option or choice.
    """
    known = options(name)
    for option, value in chosen.items():
        if option not in known:
            raise UserError(f"{name} has no option {option!r}; it has {', '.join(known) or 'none'}")
        chosen[option] = _typed(f"{option} of {name}", value, known[option])
    return Network(MODELS[name](num_classes=num_classes, execution=Execution(form, quantiser), **chosen))


def options(name: str) -> dict[str, Any]:
    """Options of a network and their defaults.

    Raises:
      UserError: no such network.
    """
    if name not in MODELS:
        raise UserError(f"no network is called {name!r}; there are {', '.join(sorted(MODELS))}")
    make: Any = MODELS[name]
    family: Any = make.func if isinstance(make, functools.partial) else make
    preset = make.keywords if isinstance(make, functools.partial) else {}
    fields = (field for field in dataclasses.fields(family) if field.init and field.default is not dataclasses.MISSING)
    return {
        field.name: preset.get(field.name, field.default)
        for field in fields
        if field.name not in ("execution", "parent", "name")
    }


def _typed(what: str, value: Any, like: Any) -> Any:
    """A value of its default's type: choices and functions by name, lists as tuples or as rows of a table."""
    if isinstance(like, enum.Enum):
        names = [choice.value for choice in type(like)]
        if value not in (*type(like), *names):
            raise UserError(f"{what} is {value!r}; it must be one of {', '.join(names)}")
        return type(like)(value)
    if callable(like):
        if value not in (*FUNCTIONS, *FUNCTIONS.values()):
            raise UserError(f"{what} is {value!r}; it must be one of {', '.join(FUNCTIONS)}")
        return FUNCTIONS.get(value, value)
    if isinstance(like, tuple):
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{what} is {value!r}; it must be a list such as {like}")
        columns: Any = getattr(like, "_fields", None)
        if columns and len(value) != len(columns):
            raise UserError(f"{what} has a row {tuple(value)}; each row has {', '.join(columns)}")
        # There may be more than by default; they are like the last, and whole numbers where there is none.
        kinds = like or (0,)
        items = [_typed(what, item, kinds[min(place, len(kinds) - 1)]) for place, item in enumerate(value)]
        return type(like)(*items) if columns else tuple(items)
    for kind, accepted, wanted in _SCALARS:
        if isinstance(like, kind):
            if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
                raise UserError(f"{what} is {value!r}; it must be {wanted}")
            return kind(value)
    return value


_SCALARS: tuple[tuple[type, type, str], ...] = (
    (bool, bool, "True or False"),
    (int, numbers.Integral, "a whole number"),
    (float, numbers.Real, "a number"),
)
