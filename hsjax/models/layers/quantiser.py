"""The hook through which quantisation-aware training reaches every weight and activation; by default, nothing."""

import dataclasses
from typing import TYPE_CHECKING

import flax.linen as nn
from jaxtyping import Array, Float

if TYPE_CHECKING:
    from hsjax.models.layers.execution import Phase


@dataclasses.dataclass(frozen=True)
class Quantiser:
    """Sees what an int8 file would round, and may return it rounded. This one leaves everything as it is.

    Subclasses are frozen dataclasses too (networks are static under jit). What they have to remember or learn - ranges,
    scales - they declare in the calling layer's own scope, with `layer.param` or `layer.variable`.
    """

    def weight(self, layer: nn.Module, name: str, value: Float[Array, "..."], axis: int = -1) -> Float[Array, "..."]:
        """A kernel just before it is used.

        Args:
          layer: the layer that holds it.
          name: of the parameter in the layer.
          value: the kernel.
          axis: of the output channels, each of which has a scale of its own in an int8 file.
        """
        del layer, name, axis
        return value

    def activation(
        self, layer: nn.Module, name: str, value: Float[Array, "..."], phase: "Phase"
    ) -> Float[Array, "..."]:
        """What a layer hands on; one scale for all of it in an int8 file.

        Args:
          layer: the layer that made it.
          name: unique in the layer.
          value: the activation.
          phase: ranges are learnt while the layer trains.
        """
        del layer, name, phase
        return value


IDENTITY = Quantiser()
