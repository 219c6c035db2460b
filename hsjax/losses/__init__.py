"""Losses as pure functions. Example losses return one value per example and leave masks and means to the step."""

from hsjax.losses.classification import bce, class_balanced_weights, cross_entropy, focal
from hsjax.losses.distillation import (
    dist,
    dkd,
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

__all__ = [
    "bce",
    "class_balanced_weights",
    "cross_entropy",
    "dist",
    "dkd",
    "ensemble_logits",
    "focal",
    "hinton",
    "kl",
    "soft_bce",
    "soft_cross_entropy",
    "standardise",
    "standardised_kl",
    "ttm",
    "wttm",
]
