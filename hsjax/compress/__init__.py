"""Smaller networks, as functions on trees of parameters, and how small they are.

`magnitude` and `schedule` prune weights, `channels` whole channels, `clustering` gives a kernel few values, `low_rank`
makes one layer two thin ones, `sizes` measures. Weights are found by their paths (`leaves`).
"""

from hsjax.compress.channels import Importance, Narrowed, narrow
from hsjax.compress.clustering import Beginning, Codebook
from hsjax.compress.leaves import Kernels, kernels, replaced
from hsjax.compress.low_rank import factorised
from hsjax.compress.magnitude import Masks
from hsjax.compress.schedule import polynomial_sparsity
from hsjax.compress.sizes import Sizes

__all__ = [
    "Beginning",
    "Codebook",
    "Importance",
    "Kernels",
    "Masks",
    "Narrowed",
    "Sizes",
    "factorised",
    "kernels",
    "narrow",
    "polynomial_sparsity",
    "replaced",
]
