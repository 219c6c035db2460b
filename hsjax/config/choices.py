"""Values of a config that name one of a few things."""

import enum
from typing import TypeVar

from hsjax.types import UserError


class StageKind(enum.Enum):
    """What a stage does. The first three predict, and run for every protocol, seed and fold; the others run once.

    TRAIN: a network. CLASSICAL: a model of scikit-learn. CLUSTER: classes from clusters of a network's embeddings.
    EXPLAIN: SHAP values of networks.
    """

    TRAIN = "train"
    CLASSICAL = "classical"
    CLUSTER = "cluster"
    EXPLAIN = "explain"
    EXPORT = "export"
    REPORT = "report"


class LearnsFrom(enum.Enum):
    """What a train stage learns from, which is its `objective`.

    CLASSES: the true ones. TEACHER: an earlier stage. ITSELF: the average of its own weights. PEER: a network that is
    trained at the same time. VIEWS: two random changes of every example, without classes.
    """

    CLASSES = "supervised"
    TEACHER = "distil"
    ITSELF = "self-distil"
    PEER = "mutual"
    VIEWS = "contrastive"


class WholeFilter(enum.Enum):
    """Filter over whole recordings."""

    NONE = "none"
    ZERO_PHASE = "zero-phase"


class Placement(enum.Enum):
    """Where training features lie."""

    DEVICE = "device"
    STREAM = "stream"


class UnknownGroups(enum.Enum):
    """What is done about recordings of which nothing says whose they are.

    TWINS: clusters of near-copies are their groups (see `data.audit`).
    REFUSE: they have none, and protocols that keep groups whole are refused.
    """

    TWINS = "twins"
    REFUSE = "refuse"


class Viewer(enum.Enum):
    """Who is told of training curves, beside metrics.jsonl."""

    TENSORBOARD = "tensorboard"
    WANDB = "wandb"


class Cut(enum.Enum):
    """How recordings become examples. FIRST: the first window of each, and nothing of what is behind it."""

    WINDOWS = "windows"
    FIRST = "first"
    CYCLES = "cycles"
    BEATS = "beats"


Choice = TypeVar("Choice", bound=enum.Enum)


def choice(kind: type[Choice], value: str, key: str) -> Choice:
    """The member of an enum that a config value names.

    Raises:
      UserError: it names none.
    """
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise UserError(f"config.{key} is {value!r}; it must be one of {known}") from None
