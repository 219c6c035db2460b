"""Optimisers and learning-rate schedules from optax, with their constants traced."""

import dataclasses
import enum
from collections.abc import Mapping

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


class Rule(enum.Enum):
    """Update rules. ADAMW decays weights apart from the gradient (Loshchilov & Hutter 2019)."""

    ADAM = "adam"
    ADAMW = "adamw"
    SGD = "sgd"


class Schedule(enum.Enum):
    """The learning rate over a run: constant, or a half cosine down to zero. Both may begin with a linear warm-up."""

    CONSTANT = "constant"
    COSINE = "cosine"


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """What is static about an optimiser; `learning_rate` and `weight_decay` come traced in `hparams`.

    Attributes:
      rule: update rule.
      schedule: of the learning rate.
      total_steps: length of the run the schedule is made for.
      warmup_steps: of linear rise from zero.
      momentum: of SGD.
      clip_norm: bound of the gradient's global norm; 0 for none.
    """

    rule: Rule
    schedule: Schedule
    total_steps: int
    warmup_steps: int = 0
    momentum: float = 0.9
    clip_norm: float = 0.0

    def factor(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """Learning rate at `step` over the base learning rate."""
        warm = jnp.minimum(1.0, (step + 1) / (self.warmup_steps + 1))
        if self.schedule is Schedule.CONSTANT:
            return warm
        done = jnp.clip((step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1), 0.0, 1.0)
        return warm * 0.5 * (1.0 + jnp.cos(jnp.pi * done))

    def transformation(self, hparams: Mapping[str, Array], step: Int[Array, ""]) -> optax.GradientTransformation:
        """The optax transformation for this step. The structure of its state depends on no traced value."""
        rate = hparams["learning_rate"] * self.factor(step)
        decay = hparams["weight_decay"]
        clip = optax.clip_by_global_norm(self.clip_norm) if self.clip_norm else optax.identity()
        if self.rule is Rule.ADAMW:
            return optax.chain(clip, optax.adamw(rate, weight_decay=decay))
        # Plain L2: the decay goes through the rule's own scaling, as PyTorch's `weight_decay` does.
        rule = optax.adam(rate) if self.rule is Rule.ADAM else optax.sgd(rate, self.momentum)
        return optax.chain(clip, optax.add_decayed_weights(decay), rule)
