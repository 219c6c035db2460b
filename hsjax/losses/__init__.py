"""Losses as pure functions. Example losses return one value per example and leave masks and means to the step."""

from hsjax.losses.classification import cross_entropy
from hsjax.losses.distillation import hinton, soft_cross_entropy

__all__ = ["cross_entropy", "hinton", "soft_cross_entropy"]
