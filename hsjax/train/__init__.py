"""One functional train step for every objective, and the loop that drives it."""

from hsjax.train.device_memory import check_fits
from hsjax.train.host_memory import keep_freed_memory
from hsjax.train.log import read as read_log
from hsjax.train.loop import Dispatch, Fitted, fit, logits
from hsjax.train.objectives import OBJECTIVES, Distil, Supervised
from hsjax.train.optimizer import Optimizer, Rule, Schedule
from hsjax.train.sources import OnDevice, Streamed, WindowFeatures
from hsjax.train.state import TrainState
from hsjax.train.step import Learner, step
from hsjax.train.weighting import Weighting, class_weights

__all__ = [
    "OBJECTIVES",
    "Dispatch",
    "Distil",
    "Fitted",
    "Learner",
    "OnDevice",
    "Optimizer",
    "Rule",
    "Schedule",
    "Streamed",
    "Supervised",
    "TrainState",
    "Weighting",
    "WindowFeatures",
    "check_fits",
    "class_weights",
    "fit",
    "keep_freed_memory",
    "logits",
    "read_log",
    "step",
]
