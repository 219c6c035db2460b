"""Filters of which only every hop-th output is wanted, as matrix products."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Outputs of about this many inputs are computed together: matrix products below it are dominated by their overhead.
_BLOCK = 64


def correlate(
    samples: Float[Array, "*batch time"], kernels: Float[np.ndarray, "taps kernels"], hop_length: int, frames: int
) -> Float[Array, "*batch {frames} kernels"]:
    """Inner products of kernels with the signal at every hop: `out[f, k] = sum_j kernels[j, k] samples[f hop + j]`.

    Blocks of outputs are one product with a banded matrix: a few times the multiplications a convolution needs,
    but at the speed of matrix products (one-channel convolutions are slow in XLA on CPU).

    Args:
      samples: `(..., time)`; counts as zero behind its end.
      kernels: `(taps, kernels)`, host array.
      hop_length: samples between neighbouring frames.
      frames: number of frames computed.

    Returns:
      `(..., frames, kernels)`.
    """
    taps, count = kernels.shape
    per_block = max(1, -(-max(taps, _BLOCK) // hop_length))
    step = per_block * hop_length
    blocks = -(-frames // per_block)
    width = max(step, (per_block - 1) * hop_length + taps)  # inputs that a block of outputs sees
    spans = -(-width // step)
    banded = np.zeros((width, per_block, count))
    for row in range(per_block):
        banded[row * hop_length : row * hop_length + taps, row] = kernels
    needed = (blocks + spans - 1) * step
    samples = samples[..., :needed]
    batch = samples.shape[:-1]
    padded = jnp.pad(samples, [(0, 0)] * len(batch) + [(0, needed - samples.shape[-1])])
    rows = padded.reshape(*batch, blocks + spans - 1, step)
    seen = [rows[..., k : k + blocks, : min(step, width - k * step)] for k in range(spans)]
    matrix = jnp.asarray(banded.reshape(width, per_block * count), samples.dtype)
    out = jnp.matmul(jnp.concatenate(seen, axis=-1), matrix, precision=jax.lax.Precision.HIGHEST)
    return out.reshape(*batch, blocks * per_block, count)[..., :frames, :]
