"""Teachers and student for Sarkhel, "Efficient Heart Sound Classification using Contrastive Learning based KD".

The report names Conv1D, Conv2D, LSTM and RNN teachers and a student distilled from them, and gives no layer, width or
count. All below is ours: teachers of 80 K to 300 K parameters on 13 MFCCs, as deep as PASCAL's few hundred recordings
bear, batch norm behind every convolution; the student is the two-dimensional network with widths of (8, 16, 32), 6 K.
Pools are TensorFlow's SAME and all end in a mean over positions or frames, so the input may have any size.

Networks along time read frames as time and coefficients as channels; a one-dimensional convolution is a
two-dimensional one over maps of height 1, which is what TFLite makes of it, too.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers import (
    EVALUATION,
    Activation,
    BatchNorm,
    ConvNorm,
    Dense,
    Dropout,
    Execution,
    Padding,
    Pair,
    Phase,
    as_maps,
    global_average_pool,
    max_pool,
    torch_uniform,
)
from hsjax.models.layers.recurrent import LSTM, SimpleRNN
from hsjax.types import Outputs


class SarkhelConv2D(nn.Module):
    """3x3 convolutions with batch norm, ReLU and 2x2 max-pool; mean of every map; a linear layer.

    Attributes:
      num_classes: width of the logits.
      widths: channels out of each convolution. The defaults are the teacher's, (8, 16, 32) the student's.
      dropout: rate before the linear layer.
      execution: see there.
    """

    num_classes: int
    widths: tuple[int, ...] = (32, 64, 128, 128)
    dropout: float = 0.3
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the mean of each of the last maps; taps are the maps after each pool."""
        return _convolutions(self, as_maps(features), (3, 3), (2, 2), phase)


class SarkhelConv1D(nn.Module):
    """Convolutions along time with batch norm, ReLU and max-pool; mean over frames; a linear layer.

    Attributes:
      num_classes: width of the logits.
      widths: channels out of each convolution.
      kernel: of the convolutions, in frames.
      dropout: rate before the linear layer.
      execution: see there.
    """

    num_classes: int
    widths: tuple[int, ...] = (64, 128, 128, 256)
    kernel: int = 5
    dropout: float = 0.3
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the mean over frames; taps are the maps of height 1 after each pool."""
        return _convolutions(self, _sequence(features)[:, None], (1, self.kernel), (1, 2), phase)


class SarkhelLSTM(nn.Module):
    """LSTM layers, the mean over frames, a linear layer.

    Attributes:
      num_classes: width of the logits.
      units: of each layer.
      dropout: rate before the linear layer.
      execution: see there.
    """

    num_classes: int
    units: tuple[int, ...] = (128, 128)
    dropout: float = 0.3
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the mean over frames; taps are the sequences after each layer."""
        x, taps = _sequence(features), {}
        for layer, units in enumerate(self.units, 1):
            taps[f"lstm{layer}"] = x = LSTM(units, execution=self.execution, name=f"lstm{layer}")(x, phase)
        return _head(self, jnp.mean(x, 1), taps, phase)


class SarkhelRNN(nn.Module):
    """Elman layers, the mean over frames, a linear layer.

    Attributes:
      num_classes: width of the logits.
      units: of each layer.
      dropout: rate before the linear layer.
      execution: see there.
    """

    num_classes: int
    units: tuple[int, ...] = (160, 160)
    dropout: float = 0.3
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames *channels"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the mean over frames; taps are the sequences after each layer."""
        x, taps = _sequence(features), {}
        for layer, units in enumerate(self.units, 1):
            taps[f"rnn{layer}"] = x = SimpleRNN(units, execution=self.execution, name=f"rnn{layer}")(x, phase)
        return _head(self, jnp.mean(x, 1), taps, phase)


def _convolutions(
    network: SarkhelConv1D | SarkhelConv2D,
    x: Float[Array, "batch height width channels"],
    kernel: Pair,
    window: Pair,
    phase: Phase,
) -> Outputs:
    """The body that both convolutional networks share."""
    taps = {}
    for layer, width in enumerate(network.widths, 1):
        x = ConvNorm(
            width, kernel, kernel_init=torch_uniform, norm=BatchNorm(parent=None), execution=network.execution,
            name=f"conv{layer}",
        )(x, phase)  # fmt: skip
        taps[f"conv{layer}"] = x = max_pool(x, window, padding=Padding.SAME, form=network.execution.form)
    return _head(network, global_average_pool(x), taps, phase)


def _head(
    network: SarkhelConv1D | SarkhelConv2D | SarkhelLSTM | SarkhelRNN,
    embedding: Float[Array, "batch dims"],
    taps: dict[str, Array],
    phase: Phase,
) -> Outputs:
    """Dropout and the linear layer."""
    embedding = Activation(None, network.execution, name="pooled")(embedding, phase)
    seen = Dropout(network.dropout, name="dropout")(embedding, phase)
    logits = Dense(network.num_classes, execution=network.execution, name="logits")(seen)
    return Outputs(logits, embedding, taps)


def _sequence(features: Float[Array, "batch coeffs frames *channels"]) -> Float[Array, "batch frames dims"]:
    """Frames as time, coefficients (of all channels) as dims."""
    return jnp.swapaxes(as_maps(features), 1, 2).reshape(features.shape[0], features.shape[2], -1)
