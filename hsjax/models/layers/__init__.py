"""Layers, in two forms that have equal parameters, values and gradients, with a hook for quantisation."""

from hsjax.models.layers.activation import (
    FUNCTIONS,
    Activation,
    Function,
    hard_sigmoid,
    hard_swish,
    leaky_relu,
    relu,
    relu6,
    sigmoid,
    silu,
    tanh,
)
from hsjax.models.layers.block import ConvNorm, Dropout, SqueezeExcite, as_maps
from hsjax.models.layers.convolution import Conv, convolve
from hsjax.models.layers.dense import Dense
from hsjax.models.layers.execution import EVALUATION, Execution, Form, Phase, Precision, is_frozen
from hsjax.models.layers.fake_quant import FakeQuant, Ranges, fake_quant
from hsjax.models.layers.initial import he_fan_out, torch_uniform
from hsjax.models.layers.norm import BatchNorm
from hsjax.models.layers.padding import Padding, Pair
from hsjax.models.layers.pool import average_pool, global_average_pool, max_pool
from hsjax.models.layers.pooled import ConvReluMaxPool
from hsjax.models.layers.quantiser import IDENTITY, Quantiser, ends_seen

__all__ = [
    "EVALUATION",
    "FUNCTIONS",
    "IDENTITY",
    "Activation",
    "BatchNorm",
    "Conv",
    "ConvNorm",
    "ConvReluMaxPool",
    "Dense",
    "Dropout",
    "Execution",
    "FakeQuant",
    "Form",
    "Function",
    "Padding",
    "Pair",
    "Phase",
    "Precision",
    "Quantiser",
    "Ranges",
    "SqueezeExcite",
    "as_maps",
    "average_pool",
    "convolve",
    "ends_seen",
    "fake_quant",
    "global_average_pool",
    "hard_sigmoid",
    "hard_swish",
    "he_fan_out",
    "is_frozen",
    "leaky_relu",
    "max_pool",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "tanh",
    "torch_uniform",
]
