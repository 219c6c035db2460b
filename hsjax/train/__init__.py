"""One functional train step for every objective, and the loops that drive it.

`step(learner, state, batch, hparams, key)` is pure; `fit` takes it through epochs, `sweep` many members of it at once.
What is random in a step derives from the run's key and the step's number, so that no key is saved and an interrupted
run goes on with the same numbers.

How far these are the same numbers: on one CPU with one number of cores, bit for bit, resumed or not, whatever else the
machine does. On another CPU, JAX version, number of cores or devices, or beside other members of a sweep (which compute
on one core each), to rounding: sums have another order. On a GPU XLA adds gradients with atomic operations unless told
otherwise (XLA_FLAGS=--xla_gpu_deterministic_ops=true, slower): to rounding without, bit for bit with it on the same
kind of GPU. On a TPU bit for bit with the same number of chips.
"""

from hsjax.train.device_memory import check_fits
from hsjax.train.dispatch import Dispatch, Threads
from hsjax.train.host_memory import keep_freed_memory
from hsjax.train.hparams import DEFAULTS, hparams
from hsjax.train.inference import embeddings, logits
from hsjax.train.layout import Layout
from hsjax.train.log import read as read_log
from hsjax.train.loop import LAST, Fitted, fit
from hsjax.train.objectives import (
    FRONT_END,
    GROUPS,
    TEACHERS,
    Contrast,
    Contrastive,
    Distil,
    Grouped,
    Groups,
    Hint,
    HintLoss,
    Labels,
    Membership,
    Mutual,
    Objective,
    SelfDistil,
    Soft,
    Supervised,
    membership,
)
from hsjax.train.optimizer import Optimizer, Rule, Schedule
from hsjax.train.sources import OnDevice, Streamed, WindowFeatures
from hsjax.train.state import TrainState
from hsjax.train.step import Learner, step
from hsjax.train.sweep import side_by_side, sweep
from hsjax.train.together import Member
from hsjax.train.views import Views
from hsjax.train.weighting import Weighting, class_weights

__all__ = [
    "DEFAULTS",
    "FRONT_END",
    "GROUPS",
    "LAST",
    "TEACHERS",
    "Contrast",
    "Contrastive",
    "Dispatch",
    "Distil",
    "Fitted",
    "Grouped",
    "Groups",
    "Hint",
    "HintLoss",
    "Labels",
    "Layout",
    "Learner",
    "Member",
    "Membership",
    "Mutual",
    "Objective",
    "OnDevice",
    "Optimizer",
    "Rule",
    "Schedule",
    "SelfDistil",
    "Soft",
    "Streamed",
    "Supervised",
    "Threads",
    "TrainState",
    "Views",
    "Weighting",
    "WindowFeatures",
    "check_fits",
    "class_weights",
    "embeddings",
    "fit",
    "hparams",
    "keep_freed_memory",
    "logits",
    "membership",
    "read_log",
    "side_by_side",
    "step",
    "sweep",
]
