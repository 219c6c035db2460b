"""Whole recordings to examples. Nothing here is part of the exported graph."""

from hsjax.prepare.condition import Conditioned, Steps, condition
from hsjax.prepare.examples import cut, examples, steps, window_samples

__all__ = ["Conditioned", "Steps", "condition", "cut", "examples", "steps", "window_samples"]
