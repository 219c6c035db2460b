"""Losses of a student against a teacher, each in the file of its name."""

from hsjax.losses.distillation.attention import attention_transfer
from hsjax.losses.distillation.crd import CRDMemory, crd, init_crd
from hsjax.losses.distillation.dist import dist
from hsjax.losses.distillation.dkd import dkd
from hsjax.losses.distillation.ensemble import ensemble_binary_logits, ensemble_logits
from hsjax.losses.distillation.fitnet import fitnet, init_fitnet
from hsjax.losses.distillation.kd import hinton, kl, soft_cross_entropy
from hsjax.losses.distillation.pkt import pkt
from hsjax.losses.distillation.rkd import rkd_angle, rkd_distance
from hsjax.losses.distillation.similarity import similarity_preserving
from hsjax.losses.distillation.soft_bce import soft_bce
from hsjax.losses.distillation.standardised import standardise, standardised_kl
from hsjax.losses.distillation.ttm import ttm, wttm
from hsjax.losses.distillation.vid import init_vid, vid

__all__ = [
    "CRDMemory",
    "attention_transfer",
    "crd",
    "dist",
    "dkd",
    "ensemble_binary_logits",
    "ensemble_logits",
    "fitnet",
    "hinton",
    "init_crd",
    "init_fitnet",
    "init_vid",
    "kl",
    "pkt",
    "rkd_angle",
    "rkd_distance",
    "similarity_preserving",
    "soft_bce",
    "soft_cross_entropy",
    "standardise",
    "standardised_kl",
    "ttm",
    "vid",
    "wttm",
]
