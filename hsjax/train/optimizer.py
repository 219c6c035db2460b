"""Optimisers and learning-rate schedules from optax, with their constants traced."""

import collections
import dataclasses
import enum
import itertools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from hsjax.types import UserError


class Rule(enum.Enum):
    """Update rules, with optax's constants.

    ADAM (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980), NADAM (with Nesterov's momentum, Dozat 2016), RADAM
    (rectified, Liu et al. 2020, https://arxiv.org/abs/1908.03265), SGD with momentum, RMSPROP (Hinton 2012, without
    momentum) and ADAGRAD (Duchi et al. 2011) take weight decay into the gradient, as PyTorch's `weight_decay` does.

    ADAMW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101), LION (Chen et al. 2023,
    https://arxiv.org/abs/2302.06675; learning rates of a tenth of Adam's), LAMB (You et al. 2020,
    https://arxiv.org/abs/1904.00962; for large batches) and ADAFACTOR (Shazeer and Stern 2018,
    https://arxiv.org/abs/1804.04235; moments of large matrices by their rows and columns) decay weights apart from the
    gradient, by learning rate times weight decay in every step.
    """

    ADAM = "adam"
    ADAMW = "adamw"
    SGD = "sgd"
    NADAM = "nadam"
    RADAM = "radam"
    RMSPROP = "rmsprop"
    ADAGRAD = "adagrad"
    LION = "lion"
    LAMB = "lamb"
    ADAFACTOR = "adafactor"


_DECOUPLED = (Rule.ADAMW, Rule.LION, Rule.LAMB, Rule.ADAFACTOR)


class Schedule(enum.Enum):
    """The learning rate over a run. All may begin with a linear warm-up, from whose end on what follows is counted.

    CONSTANT. COSINE: half a cosine down to `final_factor` at the end. LINEAR: a line down to it. EXPONENTIAL: by
    `decay_rate` in every `decay_steps`, smoothly. STEP: the same, at once at the end of each. MULTI_STEP: by
    `decay_rate` at each of `milestones`, which count from the beginning of the run. ONE_CYCLE (Smith and Topin 2018,
    https://arxiv.org/abs/1708.07120, as in PyTorch): half a cosine up from 1/25 over the `warmup_steps`, then half a
    cosine down to 1/250,000. WARM_RESTARTS (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983): `cycles`
    cosines, each `cycle_growth` times as long as the one before, that together fill the run.
    """

    CONSTANT = "constant"
    COSINE = "cosine"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    STEP = "step"
    MULTI_STEP = "multi-step"
    ONE_CYCLE = "one-cycle"
    WARM_RESTARTS = "warm-restarts"


_ONE_CYCLE_START, _ONE_CYCLE_END = 1 / 25, 1 / 25e4  # of the peak; PyTorch's `div_factor` and `final_div_factor`


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """What is static about an optimiser; `learning_rate` and `weight_decay` come traced in `hparams`.

    Attributes:
      rule: update rule.
      schedule: of the learning rate.
      total_steps: length of the run the schedule is made for.
      warmup_steps: of linear rise from zero; of ONE_CYCLE its rising part, at least 1.
      momentum: of SGD.
      clip_norm: bound of the gradient's global norm; 0 for none.
      clip_value: bound of each value of the gradient, applied before that of the norm; 0 for none.
      nesterov: whether SGD's momentum is Nesterov's.
      decay_matrices_only: whether biases, scales of norms and whatever else has fewer than two axes is not decayed.
      final_factor: where COSINE, LINEAR and each cycle of WARM_RESTARTS end.
      decay_rate: factor of EXPONENTIAL, STEP and MULTI_STEP.
      decay_steps: of EXPONENTIAL and STEP.
      milestones: steps of MULTI_STEP, ascending.
      cycles: of WARM_RESTARTS.
      cycle_growth: of WARM_RESTARTS.

    Raises:
      UserError: constants that make no schedule.
    """

    rule: Rule
    schedule: Schedule
    total_steps: int
    warmup_steps: int = 0
    momentum: float = 0.9
    clip_norm: float = 0.0
    clip_value: float = 0.0
    nesterov: bool = False
    decay_matrices_only: bool = False
    final_factor: float = 0.0
    decay_rate: float = 0.1
    decay_steps: int = 0
    milestones: tuple[int, ...] = ()
    cycles: int = 1
    cycle_growth: float = 2.0

    def __post_init__(self) -> None:
        """See `Raises` above."""
        schedule = self.schedule
        if self.nesterov and (self.rule is not Rule.SGD or self.momentum <= 0):
            raise UserError("Leave nesterov to the rule sgd with a momentum above 0; the rule nadam has its own.")
        if not 0 <= self.final_factor <= 1:
            raise UserError(f"Set the schedule's final_factor to a number from 0 to 1, not {self.final_factor:g}.")
        if not 0 < self.decay_rate <= 1:
            raise UserError(f"Set the schedule's decay_rate above 0 and at most to 1, not to {self.decay_rate:g}.")
        if schedule in (Schedule.EXPONENTIAL, Schedule.STEP) and self.decay_steps < 1:
            raise UserError(f"The schedule {schedule.value} needs decay_steps of at least 1, not {self.decay_steps}.")
        if schedule is Schedule.MULTI_STEP and (
            not self.milestones or any(b < a for a, b in itertools.pairwise((0, *self.milestones)))
        ):
            raise UserError(
                f"The schedule multi-step needs milestones, ascending and from 0 on, not {self.milestones or 'none'}."
            )
        if schedule is Schedule.ONE_CYCLE and not 0 < self.warmup_steps < self.total_steps:
            raise UserError(
                "The schedule one-cycle rises during the warm-up: set that to at least one step and to less than the "
                "run (Smith and Topin take 0.3 to 0.45 of it)."
            )
        if schedule is Schedule.WARM_RESTARTS and (self.cycles < 1 or self.cycle_growth < 1):
            raise UserError(
                f"The schedule warm-restarts needs at least one of cycles and a cycle_growth of at least 1, not "
                f"{self.cycles} and {self.cycle_growth:g}."
            )

    def factor(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """Learning rate at `step` over the base learning rate."""
        if self.schedule is Schedule.ONE_CYCLE:
            return self._one_cycle(step)
        warm = jnp.minimum(1.0, (step + 1) / (self.warmup_steps + 1))
        since = step if self.schedule is Schedule.MULTI_STEP else jnp.maximum(step - self.warmup_steps, 0)
        return warm * self._decay(since)

    def _decay(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """The schedule without warm-up, `step` counted as the schedule does."""
        length, end = max(self.total_steps - self.warmup_steps, 1), self.final_factor
        match self.schedule:
            case Schedule.COSINE:
                made = optax.cosine_decay_schedule(1.0, length, end)
            case Schedule.LINEAR:
                made = optax.linear_schedule(1.0, end, length)
            case Schedule.EXPONENTIAL | Schedule.STEP:
                stairs = self.schedule is Schedule.STEP
                made = optax.exponential_decay(1.0, self.decay_steps, self.decay_rate, staircase=stairs)
            case Schedule.MULTI_STEP:
                # In a short run several may fall on one step.
                at_once = collections.Counter(self.milestones)
                made = optax.piecewise_constant_schedule(1.0, {at: self.decay_rate**n for at, n in at_once.items()})
            case Schedule.WARM_RESTARTS:
                ends = _cycle_ends(length, self.cycles, self.cycle_growth)
                lengths = [after - before for before, after in itertools.pairwise((0, *ends))]
                cosines = [optax.cosine_decay_schedule(1.0, max(each, 1), end) for each in lengths]
                made = optax.join_schedules(cosines, ends[:-1])
            case _:
                made = optax.constant_schedule(1.0)
        return jnp.asarray(made(step))

    def _one_cycle(self, step: Int[Array, ""]) -> Float[Array, ""]:
        # Not optax's `cosine_onecycle_schedule`: it takes a fraction of the steps, which may round down to one too few,
        # and computes a product of matrices, which on TPUs has 8 bits.
        rise = 1.0 + _ONE_CYCLE_START - optax.cosine_decay_schedule(1.0, self.warmup_steps, _ONE_CYCLE_START)(step)
        falling = optax.cosine_decay_schedule(1.0, self.total_steps - self.warmup_steps, _ONE_CYCLE_END)
        return jnp.where(step < self.warmup_steps, rise, falling(jnp.maximum(step - self.warmup_steps, 0)))

    def transformation(self, hparams: Mapping[str, Array], step: Int[Array, ""]) -> optax.GradientTransformation:
        """The optax transformation for this step. The structure of its state depends on no traced value."""
        decay = _decayed(hparams["weight_decay"], self.decay_matrices_only)
        apart = self.rule in _DECOUPLED
        return optax.chain(
            optax.clip(self.clip_value) if self.clip_value else optax.identity(),
            optax.clip_by_global_norm(self.clip_norm) if self.clip_norm else optax.identity(),
            optax.identity() if apart else decay,
            self._scaling(),
            decay if apart else optax.identity(),
            optax.scale_by_trust_ratio() if self.rule is Rule.LAMB else optax.identity(),
            _scaled(-hparams["learning_rate"] * self.factor(step)),
        )

    def _scaling(self) -> optax.GradientTransformation:
        """The rule without its learning rate and decay."""
        match self.rule:
            case Rule.SGD:
                return optax.trace(self.momentum, self.nesterov)
            case Rule.NADAM:
                return optax.scale_by_adam(nesterov=True)
            case Rule.RADAM:
                return optax.scale_by_radam()
            case Rule.RMSPROP:
                return optax.scale_by_rms()
            case Rule.ADAGRAD:
                return optax.scale_by_rss()
            case Rule.LION:
                return optax.scale_by_lion()
            case Rule.LAMB:
                return optax.scale_by_adam(eps=1e-6)
            case Rule.ADAFACTOR:
                return optax.chain(
                    optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0), optax.scale_by_param_block_rms()
                )
            case _:
                return optax.scale_by_adam()


def _decayed(weight_decay: Array, matrices_only: bool) -> optax.GradientTransformation:
    """Adds weights times decay, in their own dtype: moments must not change theirs from the first step to the next."""

    def add(update: Array, param: Array) -> Array:
        return update if matrices_only and param.ndim < 2 else update + jnp.asarray(weight_decay, param.dtype) * param

    return optax.stateless(lambda updates, params: jax.tree.map(add, updates, params))


def _scaled(factor: Array) -> optax.GradientTransformation:
    """Multiplies updates, in their own dtype."""

    def scale(update: Array) -> Array:
        return jnp.asarray(factor, update.dtype) * update

    return optax.stateless(lambda updates, _: jax.tree.map(scale, updates))


def _cycle_ends(length: int, cycles: int, growth: float) -> list[int]:
    """Where each of some cycles ends of which every next is `growth` times as long, of a run of `length` steps."""
    sizes = [growth**cycle for cycle in range(cycles)]
    return [round(length * total / sum(sizes)) for total in itertools.accumulate(sizes)]
