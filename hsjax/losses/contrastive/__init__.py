"""Contrastive and self-supervised losses of two views of a batch, and what they keep from step to step."""

from hsjax.losses.contrastive.barlow_twins import barlow_twins
from hsjax.losses.contrastive.byol import byol
from hsjax.losses.contrastive.ema import momentum_update, rising_momentum
from hsjax.losses.contrastive.heads import init_mlp, mlp
from hsjax.losses.contrastive.moco import MoCoQueue, enqueue, info_nce, init_queue
from hsjax.losses.contrastive.nt_xent import nt_xent
from hsjax.losses.contrastive.supcon import supcon
from hsjax.losses.contrastive.vicreg import vicreg

__all__ = [
    "MoCoQueue",
    "barlow_twins",
    "byol",
    "enqueue",
    "info_nce",
    "init_mlp",
    "init_queue",
    "mlp",
    "momentum_update",
    "nt_xent",
    "rising_momentum",
    "supcon",
    "vicreg",
]
