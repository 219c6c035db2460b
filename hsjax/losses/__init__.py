"""Losses as pure functions.

Example losses return one value per example and leave masks and means to the objective. Batch losses, of which a value
depends on several examples, take the mask and return one value: masked examples are in no pair and no statistic. Losses
that learn are a pair `init_x`, `x`; those that remember return their memory beside the value. A batch is the whole one,
whatever devices it lies on.

Here are those of logits; `distillation` has these and the ones of what is inside of networks, `contrastive` those of
two views.
"""

from hsjax.losses import contrastive, distillation
from hsjax.losses.classification import bce, class_balanced_weights, cross_entropy, focal
from hsjax.losses.distillation import (
    dist,
    dkd,
    ensemble_binary_logits,
    ensemble_logits,
    hinton,
    kl,
    soft_bce,
    soft_cross_entropy,
    standardise,
    standardised_kl,
    ttm,
    wttm,
)
from hsjax.losses.groups import Risks, group_dro, risks, v_rex
from hsjax.losses.logits import binary

__all__ = [
    "Risks",
    "bce",
    "binary",
    "class_balanced_weights",
    "contrastive",
    "cross_entropy",
    "dist",
    "distillation",
    "dkd",
    "ensemble_binary_logits",
    "ensemble_logits",
    "focal",
    "group_dro",
    "hinton",
    "kl",
    "risks",
    "soft_bce",
    "soft_cross_entropy",
    "standardise",
    "standardised_kl",
    "ttm",
    "v_rex",
    "wttm",
]
