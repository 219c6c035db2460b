"""How layers compute, and in which phase of a network's life: what every layer is told beside its own sizes."""

import dataclasses
import enum
import fnmatch
from typing import NamedTuple

from jaxtyping import Array, Float

from hsjax.models.layers.quantiser import IDENTITY, Quantiser


class Form(enum.Enum):
    """How a layer computes what it computes: equal parameters, values and gradients.

    PLAIN is the textbook operation and what export traces. FAST is what trains fast on CPU, where XLA is slow at things
    that small convolutional networks do all the time; `convolution` and `pool` say which.
    """

    PLAIN = "plain"
    FAST = "fast"


class Precision(enum.Enum):
    """What a network computes in while its parameters, their gradients and its running statistics stay float32.

    BFLOAT16 has float32's range with 8 bits of mantissa, so that losses need no scaling (Kalamkar et al. 2019,
    https://arxiv.org/abs/1905.12322).
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@dataclasses.dataclass(frozen=True)
class Execution:
    """What all layers of a network share. Hashable; decides nothing about the parameters of the layers themselves.

    Attributes:
      form: of every layer.
      quantiser: sees every weight and every activation that an int8 file would round.
    """

    form: Form = Form.FAST
    quantiser: Quantiser = IDENTITY


class Phase(NamedTuple):
    """What one call of a network is for.

    Attributes:
      train: dropout is active, and batch norm normalises by the batch and updates its running statistics.
      mask: float32 (batch,), 0 for padding, which batch statistics leave out; None where every example counts.
      frozen: patterns of paths (`stem/*`) whose layers behave as without `train`.
    """

    train: bool = False
    mask: Float[Array, " batch"] | None = None
    frozen: tuple[str, ...] = ()

    def trains(self, path: tuple[str, ...]) -> bool:
        """Whether the layer at `path` is being trained."""
        # The empty name: `norm/*` means all that the layer `norm` has, its statistics too.
        return self.train and not is_frozen((*path, ""), self.frozen)


EVALUATION = Phase()


def is_frozen(path: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    """Whether a pattern matches the path or one above it: `stem` freezes all of the stem, `stage[12]` two stages.

    A pattern after `!` exempts what it matches: `*` and `!logits` freeze all but the last layer.
    """
    prefixes = ["/".join(path[: depth + 1]) for depth in range(len(path))]

    def matches(pattern: str) -> bool:
        return any(fnmatch.fnmatchcase(prefix, pattern) for prefix in prefixes)

    if any(matches(pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(matches(pattern) for pattern in patterns if not pattern.startswith("!"))
