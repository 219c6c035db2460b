"""Whole recordings to examples. Nothing here is part of the exported graph."""

from hsjax.prepare.cache import beats_digest
from hsjax.prepare.condition import Conditioned, Steps, condition
from hsjax.prepare.examples import examples, key, steps, window_samples

__all__ = ["Conditioned", "Steps", "beats_digest", "condition", "examples", "key", "steps", "window_samples"]
