"""Objectives by what they learn from: true classes, teachers, peers, or two views of one example."""

from hsjax.train.objectives.base import FRONT_END, Aside, Fixed, HParams, Objective, Parts, Start, weighted_mean
from hsjax.train.objectives.contrast import Contrast, Contrastive
from hsjax.train.objectives.distil import TEACHERS, Distil, Mutual, SelfDistil
from hsjax.train.objectives.grouped import GROUPS, Grouped, Groups, Membership, membership
from hsjax.train.objectives.hints import Hint, HintLoss
from hsjax.train.objectives.labels import Labels
from hsjax.train.objectives.soft import Soft
from hsjax.train.objectives.supervised import Supervised

__all__ = [
    "FRONT_END",
    "GROUPS",
    "TEACHERS",
    "Aside",
    "Contrast",
    "Contrastive",
    "Distil",
    "Fixed",
    "Grouped",
    "Groups",
    "HParams",
    "Hint",
    "HintLoss",
    "Labels",
    "Membership",
    "Mutual",
    "Objective",
    "Parts",
    "SelfDistil",
    "Soft",
    "Start",
    "Supervised",
    "membership",
    "weighted_mean",
]
