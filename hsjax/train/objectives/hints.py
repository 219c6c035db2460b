"""Losses on what is inside of student and teacher, chosen by name, with what they train and remember."""

import dataclasses
import enum
from typing import Any

import jax
from jaxtyping import Array, Float

from hsjax.losses import distillation
from hsjax.train.objectives.base import weighted_mean
from hsjax.types import Batch, Outputs, UserError


class HintLoss(enum.Enum):
    """See `losses.distillation`. The first three compare maps, the last four embeddings, SIMILARITY maps."""

    FITNET = "fitnet"
    ATTENTION = "attention"
    VID = "vid"
    SIMILARITY = "similarity"
    RKD_DISTANCE = "rkd-distance"
    RKD_ANGLE = "rkd-angle"
    PKT = "pkt"
    CRD = "crd"

    @property
    def of_maps(self) -> bool:
        """Whether maps are compared, and not embeddings."""
        return self in (HintLoss.FITNET, HintLoss.ATTENTION, HintLoss.VID, HintLoss.SIMILARITY)


@dataclasses.dataclass(frozen=True)
class Hint:
    """One such loss, summed over pairs of places.

    Attributes:
      loss: which.
      pairs: taps of student and teacher; an empty name is the last one. Embeddings have one place.
    """

    loss: HintLoss
    pairs: tuple[tuple[str, str], ...] = (("", ""),)

    @property
    def name(self) -> str:
        """In `hparams`, where its weight is, and among heads and memory."""
        return f"hint_{self.loss.value}"

    def init(self, key: Array, student: Outputs, teacher: Outputs, examples: int) -> tuple[Any, Any]:
        """Heads and memory; shapes of outputs in.

        Raises:
          UserError: a tap that a network does not have.
        """
        places = self._places(student, teacher)
        keys = [key] if len(places) == 1 else list(jax.random.split(key, len(places)))
        made = [self._init(one, *pair, examples) for one, pair in zip(keys, places, strict=True)]
        return tuple(head for head, _ in made), tuple(memory for _, memory in made)

    def _init(self, key: Array, ours: Any, theirs: Any, examples: int) -> tuple[Any, Any]:
        if self.loss is HintLoss.FITNET:
            return distillation.init_fitnet(key, ours.shape[-1], theirs.shape[-1], ours.dtype), {}
        if self.loss is HintLoss.VID:
            return distillation.init_vid(key, ours.shape[-1], theirs.shape[-1], ours.dtype), {}
        if self.loss is HintLoss.CRD:
            return distillation.init_crd(key, ours.shape[-1], theirs.shape[-1], examples, dtype=ours.dtype)
        return {}, {}

    def __call__(
        self, head: Any, memory: Any, student: Outputs, teacher: Outputs, batch: Batch, key: Array
    ) -> tuple[Float[Array, ""], Any]:
        """The loss, and the memory afterwards."""
        places = self._places(student, teacher)
        each = [self._of(*parts, batch, key) for parts in zip(head, memory, places, strict=True)]
        return sum((value for value, _ in each[1:]), each[0][0]), tuple(held for _, held in each)

    def _of(
        self, head: Any, memory: Any, places: tuple[Any, Any], batch: Batch, key: Array
    ) -> tuple[Float[Array, ""], Any]:
        ours, theirs = places
        if self.loss is HintLoss.FITNET:
            return weighted_mean(distillation.fitnet(head, ours, theirs), batch), memory
        if self.loss is HintLoss.VID:
            return weighted_mean(distillation.vid(head, ours, theirs), batch), memory
        if self.loss is HintLoss.ATTENTION:
            return weighted_mean(distillation.attention_transfer(ours, theirs), batch), memory
        if self.loss is HintLoss.CRD:
            return distillation.crd(head, memory, ours, theirs, batch.index, batch.label, batch.mask, key)
        function = {
            HintLoss.SIMILARITY: distillation.similarity_preserving,
            HintLoss.RKD_DISTANCE: distillation.rkd_distance,
            HintLoss.RKD_ANGLE: distillation.rkd_angle,
            HintLoss.PKT: distillation.pkt,
        }[self.loss]
        return function(ours, theirs, batch.mask), memory

    def _places(self, student: Outputs, teacher: Outputs) -> list[tuple[Any, Any]]:
        if not self.loss.of_maps:
            return [(student.embedding, teacher.embedding)]
        return [(_tap(student, ours, "student"), _tap(teacher, theirs, "teacher")) for ours, theirs in self.pairs]


def _tap(outputs: Outputs, name: str, whose: str) -> Any:
    if name and name not in outputs.taps:
        raise UserError(f"the {whose} has no tap {name!r}; it has {', '.join(outputs.taps)}")
    return outputs.taps[name or list(outputs.taps)[-1]]
