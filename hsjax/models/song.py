"""Teacher and student of Song et al., "Cutting Weights of Deep Learning Models for Heart Sound Classification".

The paper gives the layers and the parameter counts (254.6 K and 43.3 K), not the widths and pools. On MFCCs of 13 x 101
the ones below give 254,594 and 43,250.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hsjax.models.layers import Conv3x3, Form, max_pool, torch_uniform
from hsjax.types import Outputs


class SongTeacher(nn.Module):
    """Four 3x3 convolutions of 32, 64, 128 and 128 channels, each with ReLU and max-pool, and one linear layer."""

    num_classes: int
    form: Form = Form.FAST

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames"], train: bool = False) -> Outputs:
        """Logits; embedding is the flattened last map; taps are the maps after each pool."""
        # 13 rows padded to 14 and halved; the last pool keeps the size.
        valid, one_more_row, same = ((0, 0), (0, 0)), ((0, features.shape[1] % 2), (0, 0)), ((1, 1), (1, 1))
        layers = (
            (32, (2, 3), (2, 3), one_more_row),
            (64, (1, 2), (1, 2), valid),
            (128, (1, 2), (1, 2), valid),
            (128, (3, 3), (1, 1), same),
        )
        x, taps = features[..., None], {}
        for layer, (width, window, strides, padding) in enumerate(layers, 1):
            x = nn.relu(Conv3x3(width, self.form, name=f"conv{layer}")(x))
            taps[f"conv{layer}"] = x = max_pool(x, window, strides, padding, self.form)
        embedding = x.reshape(x.shape[0], -1)
        return Outputs(nn.Dense(self.num_classes, kernel_init=torch_uniform, name="logits")(embedding), embedding, taps)


class SongStudent(nn.Module):
    """Two 3x3 convolutions of 16 and 32 channels, each with ReLU and 2x2 max-pool, and two linear layers."""

    num_classes: int
    form: Form = Form.FAST

    @nn.compact
    def __call__(self, features: Float[Array, "batch coeffs frames"], train: bool = False) -> Outputs:
        """Logits; embedding is the 16 hidden units; taps are the maps after each pool."""
        x, taps = features[..., None], {}
        for layer, width in enumerate((16, 32), 1):
            x = nn.relu(Conv3x3(width, self.form, name=f"conv{layer}")(x))
            taps[f"conv{layer}"] = x = max_pool(x, (2, 2), form=self.form)
        embedding = nn.relu(nn.Dense(16, kernel_init=torch_uniform, name="hidden")(jnp.reshape(x, (x.shape[0], -1))))
        return Outputs(nn.Dense(self.num_classes, kernel_init=torch_uniform, name="logits")(embedding), embedding, taps)
