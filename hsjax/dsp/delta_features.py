"""Local derivatives of features over time."""

import enum

import jax
import jax.numpy as jnp
import scipy.signal
from jaxtyping import Array, Float

from hsjax.dsp.inputs import floating


class Edges(enum.Enum):
    """What stands in for the frames before the first and behind the last.

    INTERP: the polynomial through the first or last `width` frames goes on (librosa's default). NEAREST: the first or
    last frame is repeated.
    """

    INTERP = "interp"
    NEAREST = "nearest"


def deltas(
    features: Float[Array, "..."], width: int = 9, order: int = 1, axis: int = -1, edges: Edges = Edges.INTERP
) -> Float[Array, "..."]:
    """Derivatives of features over time by a Savitzky-Golay filter, as `librosa.feature.delta`.

    The derivative, per frame, of the polynomial of degree `order` that fits the `width` frames around each one best.

    Args:
      features: time along one of its axes. A NaN spreads over the frames within `width // 2`, with INTERP over those
        whose polynomial it is in.
      width: frames of the fit, odd.
      order: which derivative; the degree of the polynomial too.
      axis: which axis is time.
      edges: what stands in for frames that are not there.

    Returns:
      The shape of `features`; its unit per frame to the power of `order`.

    Raises:
      ValueError: `width` is not odd and at least 3, not `1 <= order < width`, or there are fewer frames than `width`
        with INTERP, or none.
    """
    features = floating(features)
    if width < 3 or width % 2 == 0:
        raise ValueError(f"want an odd width of at least 3 frames, got {width}")
    if not 1 <= order < width:
        raise ValueError(f"want an order between 1 and width - 1 = {width - 1}, got {order}")
    frames = features.shape[axis]
    if frames < (width if edges is Edges.INTERP else 1):
        raise ValueError(f"want at least {width} frames for Edges.INTERP and one for Edges.NEAREST, got {frames}")
    if edges is Edges.NEAREST:
        features = _repeat_ends(features, width // 2, axis)
    weights = scipy.signal.savgol_coeffs(width, order, deriv=order, use="dot")
    inner = features.shape[axis] - width + 1
    terms = [
        weight * jax.lax.slice_in_dim(features, k, k + inner, axis=axis) for k, weight in enumerate(weights.tolist())
    ]
    slopes = sum(terms[1:], start=terms[0])
    # The derivative of as high an order as the polynomial's degree is the same everywhere on it.
    return _repeat_ends(slopes, width // 2, axis) if edges is Edges.INTERP else slopes


def _repeat_ends(series: Float[Array, "..."], count: int, axis: int) -> Float[Array, "..."]:
    """As `jnp.pad(mode="edge")`, but of slices: a broadcast would fix the batch of an exported graph."""
    first = jax.lax.slice_in_dim(series, 0, 1, axis=axis)
    last = jax.lax.slice_in_dim(series, series.shape[axis] - 1, None, axis=axis)
    return jnp.concatenate([first] * count + [series] + [last] * count, axis=axis)
