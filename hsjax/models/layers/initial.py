"""Distributions that kernels are drawn from."""

import flax.linen as nn

# PyTorch's default, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), which the papers' networks start from. He's, with six times the
# variance, kills all units of a narrow ReLU layer now and then.
torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")

# He et al. 2015 for ReLU, N(0, 2 / fan_out): what torchvision's networks with batch norm are trained from.
he_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
