"""Trained networks to files for devices, and the gate they pass."""

from hsjax.export.gate import Check, GateFailed, enforce
from hsjax.export.models import FRONT_END, export

__all__ = ["FRONT_END", "Check", "GateFailed", "enforce", "export"]
