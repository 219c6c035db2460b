"""CardioXNet: three convolutional paths beside each other, then bidirectional LSTMs with a skip connection.

Shuvo et al. 2021, "CardioXNet: A Novel Lightweight Deep Learning Framework for Cardiovascular Disease Classification
Using Heart Sound Recordings", IEEE Access 9:36955, https://arxiv.org/abs/2010.01392; a comparator of Song's Table III.

Published in the paper: raw samples as input; three parallel paths, two one-dimensional ones of fine and coarse
resolution ("pattern" and "frequency feature extractor") and a two-dimensional one that ends in squeeze-expansion
("adaptive feature extractor"); two bidirectional LSTMs with a skip connection. Published by Song: 0.7 M parameters. In
the authors' code (github.com/samiulshuvo/code_base_CardioXnet), for 2 kHz: first kernels of 1000 and 8000 samples,
widths, other kernels and pools of all paths, dropout of .5, 64 hidden units; there the paths are flattened, so that the
LSTMs see a single step, and what they put out goes nowhere.

Ours: every path hands on a step per half second, so that the LSTMs walk along the recording, whose length is free;
hence strides of 125 and 250 samples, rows of 25 samples where theirs have 27, and no second pool in the fine path.
Batch norm behind every convolution of the two-dimensional path, in place of a bias and before ReLU, where int8 files
absorb it. LSTMs with tanh, of 45 units in each direction, which gives the published 0.7 M; the skip as a sum; the mean
over steps.
"""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers import (
    EVALUATION,
    Activation,
    BatchNorm,
    Conv,
    ConvNorm,
    Dense,
    Dropout,
    Execution,
    Phase,
    max_pool,
    relu,
    torch_uniform,
)
from hsjax.models.layers.recurrent import LSTM
from hsjax.types import Outputs, UserError

Samples = Float[Array, "batch time coeffs"]
Steps = Float[Array, "batch steps dims"]

_ROWS = 40  # of the two-dimensional path, in one step


@dataclasses.dataclass(frozen=True)
class Resolution:
    """How a one-dimensional path sees the samples.

    Attributes:
      blocks: in one step. The samples of a block become channels and kernels span whole blocks: the same products as of
        a convolution with strides, and fast everywhere.
      wide: kernel of the first convolution, in blocks.
      narrow: kernel of the others, in what the first pool leaves.
      pools: windows behind the first and the last convolution; together they cover the blocks of a step.
    """

    blocks: int
    wide: int
    narrow: int
    pools: tuple[int, int]


_FINE = Resolution(blocks=8, wide=8, narrow=8, pools=(8, 1))
_COARSE = Resolution(blocks=4, wide=32, narrow=6, pools=(2, 2))


class CardioXNet(nn.Module):
    """Raw samples to logits: input is `(batch, 1, time)`, one coefficient whose frames are samples.

    Where there are more coefficients, each is a channel of all three paths.

    Attributes:
      num_classes: width of the logits.
      step: samples of one step of the LSTMs, a multiple of 40 and at least 160; half a second at the authors' 2 kHz.
      fine: channels out of the convolutions of the path of fine resolution.
      coarse: of that of coarse resolution.
      maps: of the two-dimensional path, the last of which is squeezed to a quarter and expanded again.
      units: of each LSTM in each direction.
      hidden: units of the layer before the logits.
      dropout: rate in each one-dimensional path, behind the three paths and before the logits.
      execution: see there.
    """

    num_classes: int
    step: int = 1000
    fine: tuple[int, ...] = (32, 32, 64, 64)
    coarse: tuple[int, ...] = (16, 16, 32, 32)
    maps: tuple[int, int, int, int] = (32, 32, 16, 16)
    units: int = 45
    hidden: int = 64
    dropout: float = 0.5
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs time"], phase: Phase = EVALUATION) -> Outputs:
        """Logits; embedding is the hidden units; taps are the steps of each path and after the LSTMs.

        The end of the recording is filled up with zeros to a whole step.

        Raises:
          UserError: there is less than one step, or a step does not divide into blocks, rows and pools.
        """
        if self.step % _ROWS or self.step < 4 * _ROWS:
            raise UserError(
                f"a step of CardioXNet is a multiple of {_ROWS} samples and at least {4 * _ROWS}: {self.step} is not"
            )
        if features.shape[2] < self.step:
            raise UserError(
                f"CardioXNet reads raw samples and needs {self.step} of them, got {features.shape[2]}: give it samples "
                "in place of features, longer windows or a smaller `step`"
            )
        samples = jnp.swapaxes(features, 1, 2)
        samples = jnp.pad(samples, [(0, 0), (0, -samples.shape[1] % self.step), (0, 0)])
        taps = {
            "fine": self._along_time("fine", samples, self.fine, _FINE, phase),
            "coarse": self._along_time("coarse", samples, self.coarse, _COARSE, phase),
            "squeezed": self._over_rows(samples, phase),
        }
        x = jnp.concatenate(list(taps.values()), -1)
        x = Activation(None, self.execution, name="paths")(x, phase)
        x = Dropout(self.dropout, name="paths_dropout")(x, phase)
        first = self._both_ways("lstm1", x, phase)
        second = self._both_ways("lstm2", first, phase)
        taps["lstm"] = x = Activation(None, self.execution, name="skip")(first + second, phase)
        pooled = Activation(None, self.execution, name="pooled")(jnp.mean(x, 1), phase)
        x = Dense(self.hidden, execution=self.execution, name="hidden")(pooled)
        embedding = Activation(relu, self.execution, name="hidden_act")(x, phase)
        seen = Dropout(self.dropout, name="hidden_dropout")(embedding, phase)
        return Outputs(Dense(self.num_classes, execution=self.execution, name="logits")(seen), embedding, taps)

    def _along_time(self, path: str, x: Samples, widths: tuple[int, ...], how: Resolution, phase: Phase) -> Steps:
        """A wide convolution, pool and dropout, then narrow convolutions and another pool."""
        block = self.step // how.blocks
        x = x.reshape(x.shape[0], 1, x.shape[1] // block, block * x.shape[2])
        for layer, width in enumerate(widths, 1):
            kernel = (1, how.wide if layer == 1 else how.narrow)
            x = Conv(width, kernel, execution=self.execution, name=f"{path}_conv{layer}")(x)
            x = Activation(relu, self.execution, name=f"{path}_act{layer}")(x, phase)
            if layer == 1:
                x = max_pool(x, (1, how.pools[0]), form=self.execution.form)
                x = Dropout(self.dropout, name=f"{path}_dropout")(x, phase)
        return max_pool(x, (1, how.pools[1]), form=self.execution.form)[:, 0]

    def _over_rows(self, x: Samples, phase: Phase) -> Steps:
        """Samples as rows of an image: convolutions and pools, then squeeze-expansion (Iandola et al. 2016)."""
        batch, time, coeffs = x.shape

        def conv(name: str, width: int, size: int, maps: Array) -> Array:
            return ConvNorm(
                width, (size, size), kernel_init=torch_uniform, norm=BatchNorm(parent=None), execution=self.execution,
                name=name,
            )(maps, phase)  # fmt: skip

        x = x.reshape(batch, time * _ROWS // self.step, self.step // _ROWS, coeffs)
        for layer, width in enumerate(self.maps[:3], 1):
            x = conv(f"rows_conv{layer}", width, 3, x)
        x = conv("rows_conv4", self.maps[3], 3, max_pool(x, (2, 2), form=self.execution.form))
        x = max_pool(x, (2, 2), form=self.execution.form)
        half = self.maps[3] // 2
        x = conv("squeeze", half // 2, 1, x)
        x = jnp.concatenate([conv("expand1x1", half, 1, x), conv("expand3x3", half, 3, x)], -1)
        return x.reshape(batch, time // self.step, -1)

    def _both_ways(self, name: str, x: Steps, phase: Phase) -> Float[Array, "batch steps dims2"]:
        """An LSTM from the beginning and one from the end, side by side."""
        both = [
            LSTM(self.units, reverse, execution=self.execution, name=f"{name}_{way}")(x, phase)
            for way, reverse in (("forward", False), ("backward", True))
        ]
        return jnp.concatenate(both, -1)
