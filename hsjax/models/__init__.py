"""Networks: one family per file. The only room that imports flax."""

from hsjax.models.layers import IDENTITY, Form, Precision, Quantiser
from hsjax.models.network import Network, Variables, factorisable, macs, parameter_count
from hsjax.models.registry import MODELS, build, options

__all__ = [
    "IDENTITY",
    "MODELS",
    "Form",
    "Network",
    "Precision",
    "Quantiser",
    "Variables",
    "build",
    "factorisable",
    "macs",
    "options",
    "parameter_count",
]
