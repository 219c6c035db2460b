"""The hook through which quantisation-aware training reaches every weight and activation; by default, nothing."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

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


@contextlib.contextmanager
def ends_seen(quantiser: Quantiser, phase: "Phase") -> Iterator[None]:
    """While this is entered, a quantiser sees what the outermost module is given, `input`, and its logits, `output`."""

    def call(method: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        module = context.module
        if module.path or context.method_name != "__call__":
            return method(*args, **kwargs)
        inputs, *others = args
        outputs = method(quantiser.activation(module, "input", inputs, phase), *others, **kwargs)
        return outputs._replace(logits=quantiser.activation(module, "output", outputs.logits, phase))

    with contextlib.nullcontext() if quantiser is IDENTITY else nn.intercept_methods(call):
        yield
