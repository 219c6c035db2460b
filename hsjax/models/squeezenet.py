"""SqueezeNet 1.1 (Iandola et al. 2016, https://arxiv.org/abs/1602.07360; version 1.1 as its authors released it).

Layers, padding and initial values are torchvision's, whose ImageNet weights fit. With 5 classes 725,061 parameters.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers import (
    EVALUATION,
    Activation,
    Conv,
    Dropout,
    Execution,
    Padding,
    Phase,
    as_maps,
    global_average_pool,
    max_pool,
    relu,
)
from hsjax.types import Outputs

# He et al. 2015, uniform, over the inputs; and Krizhevsky's narrow normal for the classifier.
_HE = nn.initializers.variance_scaling(2.0, "fan_in", "uniform")
_CLASSIFIER = nn.initializers.normal(0.01)

_STAGES = (((16, 64), (16, 64)), ((32, 128), (32, 128)), ((48, 192), (48, 192), (64, 256), (64, 256)))


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1: three stages of fire modules, each behind a max-pool, and a convolution as classifier.

    Attributes:
      num_classes: width of the logits.
      channels: what the stem's kernel is for; features of one channel stand for that many equal ones.
      dropout: rate before the classifier.
      stem: channels out of the first convolution.
      stages: for each fire module of each stage, the channels it squeezes to and those of each of its two expansions.
      execution: see there.
    """

    num_classes: int
    channels: int = 3
    dropout: float = 0.5
    stem: int = 64
    stages: tuple[tuple[tuple[int, int], ...], ...] = _STAGES
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits are means over positions of ReLUs, so never negative.

        The embedding is the mean over positions of the maps that the classifier, the last linear layer, sees; taps are
        the maps after the stem and each stage.

        Raises:
          UserError: the features are smaller than 25 x 25.
        """
        how = {"execution": self.execution}
        x = as_maps(features)
        x = Conv(self.stem, (3, 3), (2, 2), Padding.VALID, kernel_init=_HE, channels=self.channels, name="stem", **how)(
            x
        )
        x = Activation(relu, self.execution, name="stem_act")(x, phase)
        taps = {"stem": x}
        for stage, fires in enumerate(self.stages, 1):
            x = max_pool(x, (3, 3), (2, 2), Padding.CEIL, self.execution.form, f"pool {stage}")
            for index, (squeezed, expanded) in enumerate(fires, 1):
                x = Fire(squeezed, expanded, name=f"stage{stage}_fire{index}", **how)(x, phase)
            taps[f"stage{stage}"] = x
        x = Dropout(self.dropout, name="dropout")(x, phase)
        embedding = global_average_pool(x)
        x = Conv(self.num_classes, (1, 1), kernel_init=_CLASSIFIER, name="logits", **how)(x)
        x = Activation(relu, self.execution, name="logits_act")(x, phase)
        return Outputs(global_average_pool(x), embedding, taps)


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then 1x1 and 3x3 convolutions beside each other, concatenated in that order.

    Attributes:
      squeezed: channels between.
      expanded: channels of each of the two.
      execution: see there.
    """

    squeezed: int
    expanded: int
    execution: Execution = Execution()

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], phase: Phase = EVALUATION
    ) -> Float[Array, "batch height width features"]:
        """Squeeze and expand; ReLU after each convolution."""

        def conv(name: str, features: int, size: int, maps: Array) -> Array:
            y = Conv(features, (size, size), kernel_init=_HE, execution=self.execution, name=name)(maps)
            return Activation(relu, self.execution, name=f"{name}_act")(y, phase)

        x = conv("squeeze", self.squeezed, 1, x)
        both = [conv("expand1x1", self.expanded, 1, x), conv("expand3x3", self.expanded, 3, x)]
        return Activation(None, self.execution, name="concatenated")(jnp.concatenate(both, -1), phase)
