"""Whole recordings to examples. Nothing here is part of the exported graph."""

from hsjax.prepare.examples import cut, examples, window_samples

__all__ = ["cut", "examples", "window_samples"]
