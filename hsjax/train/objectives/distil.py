"""Distillation: a student learns from teachers that are trained already, from itself, or from a peer."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.losses.contrastive import momentum_update
from hsjax.models import Network
from hsjax.train.objectives.base import Aside, Fixed, HParams, Parts, Start, collections, shapes
from hsjax.train.objectives.hints import Hint
from hsjax.train.objectives.soft import Soft
from hsjax.train.objectives.supervised import Seen, Supervised, evaluated
from hsjax.types import Batch, Outputs, UserError

TEACHERS = "teachers"
"""Name in `fixed` of the variables of teachers that run in the step, a tuple."""
_TEACHER, _PEER, _PEERS_DROPOUT = "teacher", "peer", 7


@dataclasses.dataclass(frozen=True)
class Distil(Supervised):
    """Offline distillation: alpha labels + (1 - alpha) soft + the sum of weight x hint.

    `hparams` holds `temperature`, `alpha` and the weight of each hint by its `Hint.name`.

    Attributes:
      soft: loss against the teacher's logits; None leaves alpha labels + hints.
      scale_by_t2: multiply it by T^2, which keeps its gradient's size independent of T. Hinton et al. (2015) advise it;
        Song et al. do not write it. Losses that have the factor already (`Soft.has_t2`) are refused.
      hints: losses on what is inside; the first teacher is the one that is looked into.
      teachers: run in the step, their variables in `fixed[TEACHERS]`; of several the probabilities are averaged. None:
        the batch carries logits that were computed before, of the examples as they are, so that `views` and `mix` have
        to leave these alone.
    """

    soft: Soft | None = Soft.KD
    scale_by_t2: bool = False
    hints: tuple[Hint, ...] = ()
    teachers: tuple[Network, ...] = ()

    def init(self, network: Network, key: Array, inputs: jax.ShapeDtypeStruct, start: Start) -> tuple[Any, Any]:
        """See `Objective`."""
        if not self.hints:
            return {}, {}
        student = shapes(network, start.variables, inputs)
        teacher = shapes(self.teachers[0], start.fixed[TEACHERS][0], inputs)
        heads, memory = {}, {}
        for number, hint in enumerate(self.hints):
            made = hint.init(jax.random.fold_in(key, number), student, teacher, start.examples)
            heads[hint.name], memory[hint.name] = made
        return heads, memory

    def __call__(self, network: Network, parts: Parts, batch: Batch, hparams: HParams, key: Array):
        """See `Objective`."""
        seen = self.mixed(batch, parts, hparams, key)
        outputs, updated = network.apply(parts.variables, seen.inputs, True, {"dropout": key}, batch.mask)
        teachers = self.taught(parts, seen)
        labels = self.against_labels(outputs.logits, batch, seen, hparams)
        loss, terms = hparams["alpha"] * labels, {"labels": labels}
        if self.soft is not None:
            if teachers:
                each = [one.logits for one in teachers]
                teacher = each[0] if len(each) == 1 else self.soft.together(jnp.stack(each))
            else:
                teacher = batch.teacher_logits
            soft = self.against(outputs.logits, teacher, batch, hparams)
            loss, terms = loss + (1 - hparams["alpha"]) * soft, terms | {"soft": soft}
        memory = dict(parts.memory)
        for number, hint in enumerate(self.hints):
            its_key = jax.random.fold_in(key, 100 + number)
            held = parts.heads[hint.name], parts.memory[hint.name]
            value, memory[hint.name] = hint(*held, outputs, teachers[0], batch, its_key)
            loss, terms = loss + hparams[hint.name] * value, terms | {hint.name: value}
        return loss, Aside(updated, memory, terms)

    def taught(self, parts: Parts, seen: Seen) -> list[Outputs]:
        """Outputs of the teachers that run in the step."""
        return evaluated(self.teachers, parts.fixed[TEACHERS], seen.inputs) if self.teachers else []

    def __post_init__(self) -> None:
        """See `scale_by_t2`."""
        if self.scale_by_t2 and self.soft is not None and self.soft.has_t2:
            raise UserError(f"soft={self.soft.value} is multiplied by T^2 already; leave scale_by_t2 out")

    def against(self, logits: Array, teacher: Array, batch: Batch, hparams: HParams) -> Float[Array, ""]:
        """The loss against a teacher's logits."""
        soft = Soft.KD if self.soft is None else self.soft
        value = soft(logits, teacher, batch, hparams)
        return value * hparams["temperature"] ** 2 if self.scale_by_t2 else value


@dataclasses.dataclass(frozen=True)
class SelfDistil(Distil):
    """Self-distillation: the teacher is the moving average of the student's own weights.

    Mean teachers (Tarvainen and Valpola 2017, https://arxiv.org/abs/1703.01780). `hparams["ema_decay"]` is the decay,
    below 1 - 1 / (step + 1) at the beginning, as there. (Born-again networks are `Distil` from an earlier stage with
    the same network.)
    """

    def init(self, network: Network, key: Array, inputs: jax.ShapeDtypeStruct, start: Start) -> tuple[Any, Any]:
        """See `Objective`."""
        return {}, {_TEACHER: jax.tree.map(jnp.copy, start.variables)}

    def __call__(self, network: Network, parts: Parts, batch: Batch, hparams: HParams, key: Array):
        """See `Objective`."""
        seen = self.mixed(batch, parts, hparams, key)
        teacher = network.apply(parts.memory[_TEACHER], seen.inputs)[0]
        outputs, updated = network.apply(parts.variables, seen.inputs, True, {"dropout": key}, batch.mask)
        labels = self.against_labels(outputs.logits, batch, seen, hparams)
        soft = self.against(outputs.logits, jax.lax.stop_gradient(teacher.logits), batch, hparams)
        loss = hparams["alpha"] * labels + (1 - hparams["alpha"]) * soft
        return loss, Aside(updated, parts.memory, {"labels": labels, "soft": soft})

    def after(self, parts: Parts, hparams: HParams, step: Array) -> Any:
        """The teacher follows."""
        decay = jnp.minimum(hparams["ema_decay"], 1 - 1 / (step + 1))
        return {_TEACHER: momentum_update(parts.memory[_TEACHER], parts.variables, decay)}


@dataclasses.dataclass(frozen=True)
class Mutual(Distil):
    """Online distillation: two networks are trained at once, each also on the other's predictions.

    Deep mutual learning (Zhang et al. 2018, https://arxiv.org/abs/1706.00384). Both see the same batch; the loss of
    each is alpha labels + (1 - alpha) soft, and the sum is minimised. The peer is thrown away afterwards.

    Attributes:
      peer: the other network.
    """

    peer: Network | None = None

    def init(self, network: Network, key: Array, inputs: jax.ShapeDtypeStruct, start: Start) -> tuple[Any, Any]:
        """See `Objective`."""
        variables = self._other.init(key, inputs)
        return {_PEER: variables["params"]}, {_PEER: collections(variables)}

    def __call__(self, network: Network, parts: Parts, batch: Batch, hparams: HParams, key: Array):
        """See `Objective`."""
        seen = self.mixed(batch, parts, hparams, key)
        other = parts.memory[_PEER] | {"params": parts.heads[_PEER]}
        its_key = jax.random.fold_in(key, _PEERS_DROPOUT)
        ours, updated = network.apply(parts.variables, seen.inputs, True, {"dropout": key}, batch.mask)
        theirs, others = self._other.apply(other, seen.inputs, True, {"dropout": its_key}, batch.mask)
        loss, terms = jnp.zeros((), ours.logits.dtype), {}
        for name, one, teacher in (("", ours, theirs), ("peer_", theirs, ours)):
            labels = self.against_labels(one.logits, batch, seen, hparams)
            soft = self.against(one.logits, jax.lax.stop_gradient(teacher.logits), batch, hparams)
            loss += hparams["alpha"] * labels + (1 - hparams["alpha"]) * soft
            terms |= {f"{name}labels": labels, f"{name}soft": soft}
        return loss, Aside(updated, {_PEER: others}, terms)

    @property
    def _other(self) -> Network:
        if self.peer is None:
            raise ValueError("mutual learning needs a peer")
        return self.peer


def held(teachers: tuple[Any, ...]) -> Fixed:
    """`fixed` for teachers that run in the step, from their variables."""
    return {TEACHERS: teachers}
