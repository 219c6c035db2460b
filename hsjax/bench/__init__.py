"""What exported files cost: size, latency, memory, multiply-accumulates, and which devices they fit.

`measurement.measure` times one file in a fresh process, `macs.count` counts, `tiers` knows devices, `profile.profile`
does it all. Imports neither jax nor TensorFlow.
"""

from hsjax.bench.macs import Count, Layer, count
from hsjax.bench.measurement import Batching, Measurement, measure, measure_here
from hsjax.bench.profile import Profile, profile
from hsjax.bench.tiers import TIERS, Fit, Tier

__all__ = [
    "TIERS",
    "Batching",
    "Count",
    "Fit",
    "Layer",
    "Measurement",
    "Profile",
    "Tier",
    "count",
    "measure",
    "measure_here",
    "profile",
]
