"""One functional train step for every objective, and the loops that drive it."""

from hsjax.train.device_memory import check_fits
from hsjax.train.dispatch import Dispatch, Threads
from hsjax.train.host_memory import keep_freed_memory
from hsjax.train.hparams import DEFAULTS, hparams
from hsjax.train.inference import logits
from hsjax.train.layout import Layout
from hsjax.train.log import read as read_log
from hsjax.train.loop import LAST, Fitted, fit
from hsjax.train.objectives import (
    FRONT_END,
    TEACHERS,
    Contrast,
    Contrastive,
    Distil,
    Hint,
    HintLoss,
    Labels,
    Mutual,
    Objective,
    SelfDistil,
    Soft,
    Supervised,
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
    "LAST",
    "TEACHERS",
    "Contrast",
    "Contrastive",
    "Dispatch",
    "Distil",
    "Fitted",
    "Hint",
    "HintLoss",
    "Labels",
    "Layout",
    "Learner",
    "Member",
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
    "fit",
    "hparams",
    "keep_freed_memory",
    "logits",
    "read_log",
    "side_by_side",
    "step",
    "sweep",
]
