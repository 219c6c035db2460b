"""Contrastive teacher and distilled student of Sriram et al., on spectrograms of 50 x 2805.

The paper gives the counts (11,827,905 and 5,838,465) and the student's figure. One output unit decides: its logit z is
positive for abnormal. Here two classes have the logits [0, z], whose softmax is [1 - sigmoid(z), sigmoid(z)], so that
cross-entropy is the paper's binary cross-entropy. Any other number of classes has as many units.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers import (
    EVALUATION,
    Activation,
    Conv,
    ConvNorm,
    Dense,
    Dropout,
    Execution,
    Padding,
    Phase,
    as_maps,
    global_average_pool,
    leaky_relu,
    max_pool,
    relu,
    torch_uniform,
)
from hsjax.models.resnet import Variant, residual_maps
from hsjax.types import Outputs


class SriramTeacher(nn.Module):
    """ResNet-18 with two heads on its mean maps: a projection for contrastive learning, an evaluator for the classes.

    The projection is two linear layers with ReLU between. The evaluator is a linear layer without bias, batch norm,
    ReLU and a linear layer.

    Attributes:
      num_classes: width of the logits.
      blocks: how many residual blocks each stage has.
      width: channels of the stem; the last stage, and the embedding, have `2 ** (len(blocks) - 1)` times as many.
      projection: dims of the projection.
      dropout: before each of the evaluator's linear layers.
      channels: what the stem's kernel is for.
      padding: see `ResNet`.
      execution: see there.
    """

    num_classes: int
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    width: int = 64
    projection: int = 256
    dropout: float = 0.0
    channels: int = 1
    padding: Padding = Padding.SYMMETRIC
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the mean of the last maps, which both heads see.

        Taps are the maps after the stem's pool and each stage, and `projection` `(batch, projection)`.

        Raises:
          UserError: `padding` is a rule that shrinks maps.
        """
        taps = residual_maps(
            features, phase, self.blocks, False, self.width, self.channels, Variant.TORCHVISION, self.padding,
            self.execution,
        )  # fmt: skip
        embedding = global_average_pool(taps[f"stage{len(self.blocks)}"])
        embedding = Activation(None, self.execution, name="pooled")(embedding, phase)
        dims = embedding.shape[-1]
        hidden = Dense(dims, execution=self.execution, name="projection1")(embedding)
        hidden = Activation(relu, self.execution, name="projection_act")(hidden, phase)
        projection = Dense(self.projection, execution=self.execution, name="projection2")(hidden)
        x = Dropout(self.dropout, name="dropout1")(embedding, phase)
        # A linear layer as a 1x1 convolution, so that its batch norm folds into it as all others do.
        x = ConvNorm(
            dims, (1, 1), norm=Variant.TORCHVISION.norm, kernel_init=torch_uniform, execution=self.execution,
            name="evaluator",
        )(x[:, None, None, :], phase)[:, 0, 0]  # fmt: skip
        x = Dropout(self.dropout, name="dropout2")(x, phase)
        logits = _logits(Dense(_units(self.num_classes), execution=self.execution, name="logits")(x), self.num_classes)
        return Outputs(logits, embedding, {**taps, "projection": projection})


class DistillCNN(nn.Module):
    """Three convolutions (9x9 with stride 2, 3x3, 1x1), each with LeakyReLU and 2x2 max-pool, and three linear layers.

    A pool leaves out an odd last row or column: of 50 x 2805 so remain 128 maps of 2 x 175, the paper's 44,800.

    Attributes:
      num_classes: width of the logits.
      widths: channels of the three convolutions.
      hidden: units of the two hidden linear layers.
      dropout: after the first hidden layer.
      channels: what the first kernel is for.
      execution: see there.
    """

    num_classes: int
    widths: tuple[int, int, int] = (64, 128, 128)
    hidden: tuple[int, int] = (128, 64)
    dropout: float = 0.5
    channels: int = 1
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the second hidden layer; taps are the maps after each pool.

        Raises:
          UserError: the input is too small.
        """
        x, taps = as_maps(features), {}
        shapes = ((9, 2, 1), (3, 1, 1), (1, 1, 0))
        for layer, (width, (size, stride, pad)) in enumerate(zip(self.widths, shapes, strict=True), 1):
            x = Conv(
                width, (size, size), (stride, stride), ((pad, pad), (pad, pad)), execution=self.execution,
                channels=self.channels if layer == 1 else None, name=f"conv{layer}",
            )(x)  # fmt: skip
            x = Activation(leaky_relu, self.execution, name=f"act{layer}")(x, phase)
            taps[f"conv{layer}"] = x = max_pool(x, (2, 2), form=self.execution.form, where=f"pool {layer}")
        x = Dense(self.hidden[0], execution=self.execution, name="hidden1")(x.reshape(x.shape[0], -1))
        x = Activation(relu, self.execution, name="hidden1_act")(x, phase)
        x = Dropout(self.dropout, name="dropout")(x, phase)
        x = Dense(self.hidden[1], execution=self.execution, name="hidden2")(x)
        embedding = Activation(relu, self.execution, name="hidden2_act")(x, phase)
        units = Dense(_units(self.num_classes), execution=self.execution, name="logits")(embedding)
        return Outputs(_logits(units, self.num_classes), embedding, taps)


def _units(num_classes: int) -> int:
    """How many output units there are for so many classes."""
    return 1 if num_classes == 2 else num_classes


def _logits(units: Float[Array, "batch units"], num_classes: int) -> Float[Array, "batch num_classes"]:
    """[0, z] of the one unit z for two classes, otherwise the units."""
    return jnp.pad(units, ((0, 0), (1, 0))) if num_classes == 2 else units
