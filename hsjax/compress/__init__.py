"""Smaller networks, as functions on trees of parameters, and how small they are.

`magnitude` and `schedule` prune weights, `channels` whole channels, `clustering` gives a kernel few values, `low_rank`
makes one layer two thin ones, `sizes` measures, `sensitivity` tells which layers need more bits; `transforms` are those
that run inside of training. Weights are found by their paths (`leaves`).
"""

from hsjax.compress import sizes
from hsjax.compress.channels import Importance, Narrowed, narrow
from hsjax.compress.clustering import Beginning, Codebook
from hsjax.compress.leaves import Kernels, kernels, replaced
from hsjax.compress.low_rank import factorised
from hsjax.compress.magnitude import Masks
from hsjax.compress.schedule import polynomial_sparsity
from hsjax.compress.sensitivity import Sensitivity, kept_wide, sensitivities
from hsjax.compress.sizes import Sizes
from hsjax.compress.transforms import NONE, Cluster, Compression, KeepZeros, Prune, Scope, Transform

__all__ = [
    "NONE",
    "Beginning",
    "Cluster",
    "Codebook",
    "Compression",
    "Importance",
    "KeepZeros",
    "Kernels",
    "Masks",
    "Narrowed",
    "Prune",
    "Scope",
    "Sensitivity",
    "Sizes",
    "Transform",
    "factorised",
    "kept_wide",
    "kernels",
    "narrow",
    "polynomial_sparsity",
    "replaced",
    "sensitivities",
    "sizes",
]
