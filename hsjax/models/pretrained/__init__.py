"""Weights that others have trained, for the networks here."""

from hsjax.models.pretrained.carry import Library, carry
from hsjax.models.pretrained.load import Loaded, load

__all__ = ["Library", "Loaded", "carry", "load"]
