"""Per-channel energy normalisation (Wang et al. 2017, https://arxiv.org/abs/1607.05666): loudness that adapts."""

import enum
from typing import TypedDict, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.dsp.inputs import floating


class Smoother(enum.Enum):
    """How the first-order recursion along frames is computed; the results agree to rounding.

    MATRIX: one product with a triangular matrix, for windows and for export. A NaN spreads over all frames of its band.
    SCAN: a parallel prefix sum, for long signals. A NaN spreads over the frames behind it.
    """

    MATRIX = "matrix"
    SCAN = "scan"


class PcenArguments(TypedDict, total=False):
    """What `pcen_chunk` takes as `pcen` does, which says what each means."""

    gain: float | int
    bias: float | int
    power: float | int
    time_constant: float | int
    eps: float | int
    b: float | int | None
    smoother: Smoother


def pcen(
    energies: Float[Array, "*batch frames bands"],
    sample_rate: float | int,
    hop_length: int,
    gain: float | int = 0.98,
    bias: float | int = 2.0,
    power: float | int = 0.5,
    time_constant: float | int = 0.4,
    eps: float | int = 1e-6,
    b: float | int | None = None,
    smoother: Smoother = Smoother.SCAN,
) -> Float[Array, "*batch frames bands"]:
    """`(energies / (eps + M)**gain + bias)**power - bias**power`, M a running mean: `librosa.pcen` along frames.

    M starts from 1 before the first frame, as librosa's does: scale the energies so that 1 is loud (librosa
    recommends full scale 2**31).

    Args:
      energies: `(..., frames, bands)`, not negative.
      sample_rate: Hz.
      hop_length: samples between frames.
      gain: exponent of the automatic gain, 1 to remove loudness altogether.
      bias: offset of the compression.
      power: exponent of the compression; 0 for a logarithm.
      time_constant: of the running mean, seconds.
      eps: floor of the running mean.
      b: weight of the newest frame in the running mean; from `time_constant` where None.
      smoother: how the running mean is computed.

    Returns:
      Same shape. Silence is zero.

    Raises:
      ValueError: gain, bias or power is negative, eps or the time constant is not positive, or not `0 <= b <= 1`.
    """
    energies = floating(energies)
    start = jnp.ones((*energies.shape[:-2], energies.shape[-1]), energies.dtype)
    return pcen_chunk(
        start,
        energies,
        sample_rate,
        hop_length,
        gain=gain,
        bias=bias,
        power=power,
        time_constant=time_constant,
        eps=eps,
        b=b,
        smoother=smoother,
    )[0]


def pcen_chunk(
    state: Float[Array, "*batch bands"],
    energies: Float[Array, "*batch frames bands"],
    sample_rate: float | int,
    hop_length: int,
    **arguments: Unpack[PcenArguments],
) -> tuple[Float[Array, "*batch frames bands"], Float[Array, "*batch bands"]]:
    """`pcen` of the next frames of a stream.

    Args:
      state: running mean before the first of these frames; ones at the beginning of a stream.
      energies: `(..., frames, bands)`, at least one frame.
      sample_rate: Hz.
      hop_length: samples between frames.
      **arguments: the others of `pcen`.

    Returns:
      What `pcen` makes of these frames, and the state for the next ones.

    Raises:
      ValueError: as `pcen`.
    """
    return _pcen(state, floating(energies), sample_rate / hop_length, **arguments)


def smoothing_weight(time_constant: float | int, frame_rate: float | int) -> float:
    """The weight of the newest frame, for which the recursion falls off over `time_constant` seconds (librosa's b)."""
    frames = time_constant * frame_rate
    return float((np.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2))


def _pcen(
    state: Array,
    energies: Array,
    frame_rate: float,
    gain: float | int = 0.98,
    bias: float | int = 2.0,
    power: float | int = 0.5,
    time_constant: float | int = 0.4,
    eps: float | int = 1e-6,
    b: float | int | None = None,
    smoother: Smoother = Smoother.MATRIX,
) -> tuple[Array, Array]:
    if min(gain, bias, power) < 0 or min(eps, time_constant) <= 0:
        raise ValueError(
            f"want gain, bias and power from 0 on and a positive eps and time_constant, "
            f"got {gain}, {bias}, {power}, {eps}, {time_constant}"
        )
    b = smoothing_weight(time_constant, frame_rate) if b is None else float(b)
    if not 0 <= b <= 1:
        raise ValueError(f"want b between 0 and 1, got {b}")
    mean = _MEANS[smoother](state, energies, b)
    level = energies * jnp.exp(-gain * jnp.log(eps + mean))
    # log(1 + x) and exp(x) - 1 spelt out: runtimes have no log1p or expm1, and an absolute 1e-7 is enough here.
    if power == 0:
        out = jnp.log(1.0 + level)
    elif bias == 0:
        positive = level > 0  # where the root has a finite gradient
        out = jnp.where(positive, jnp.exp(power * jnp.log(jnp.where(positive, level, 1.0))), level)
    else:
        out = bias**power * (jnp.exp(power * jnp.log(1.0 + level * (1.0 / bias))) - 1.0)
    return out, mean[..., -1, :]


def _matrix_mean(state: Array, energies: Array, b: float) -> Array:
    frames = energies.shape[-2]
    age = np.arange(frames)[:, None] - np.arange(frames)
    kernel = np.where(age >= 0, b * (1 - b) ** np.maximum(age, 0), 0.0)
    fading = ((1 - b) ** np.arange(1, frames + 1))[:, None]
    kernel, fading = jnp.asarray(kernel, energies.dtype), jnp.asarray(fading, energies.dtype)
    # Frames last: a matrix product with constants on the right is what every runtime has.
    recent = jnp.matmul(jnp.swapaxes(energies, -1, -2), kernel.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.swapaxes(recent, -1, -2) + fading * state[..., None, :]


def _scan_mean(state: Array, energies: Array, b: float) -> Array:
    def then(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        return first[0] * second[0], second[0] * first[1] + second[1]

    kept = jnp.full_like(energies, 1 - b)
    fading, recent = jax.lax.associative_scan(then, (kept, b * energies), axis=energies.ndim - 2)
    return recent + fading * state[..., None, :]


_MEANS = {Smoother.MATRIX: _matrix_mean, Smoother.SCAN: _scan_mean}
