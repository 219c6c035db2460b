"""Linear layers."""

import flax.linen as nn
from jaxtyping import Array, Float

from hsjax.models.layers.execution import Execution
from hsjax.models.layers.initial import torch_uniform


class Dense(nn.Module):
    """Linear layer. Parameters `kernel` (dims, features) and, unless left out, `bias`.

    Attributes:
      features: dims out.
      use_bias: whether there is a bias.
      kernel_init: distribution of the kernel; the bias begins at 0.
      execution: see there.
    """

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = torch_uniform
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, x: Float[Array, "*batch dims"]) -> Float[Array, "*batch features"]:
        """Multiply and add."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        y = x @ self.execution.quantiser.weight(self, "kernel", kernel)
        return y + self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else y
