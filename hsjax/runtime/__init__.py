"""Exported models at work: what describes them and what runs them. No jax, flax or tensorflow."""

from hsjax.runtime.session import Kernels, Session, library, load
from hsjax.runtime.sidecar import Aggregation, BeatCut, Description, Input, Sidecar, Variant

__all__ = [
    "Aggregation",
    "BeatCut",
    "Description",
    "Input",
    "Kernels",
    "Session",
    "Sidecar",
    "Variant",
    "library",
    "load",
]
