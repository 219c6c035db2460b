"""Cutting a signal into overlapping frames, and adding frames up to a signal."""

import enum

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hsjax.dsp.inputs import floating


class Padding(enum.Enum):
    """What stands before and behind the signal.

    With a frame of L samples and a hop of H:

    NONE: nothing; only whole frames (`librosa.util.frame`, `scipy.signal.spectrogram`, `tf.signal.frame`).
    CENTER: L // 2 zeros on both sides, so that frame t is centred on sample t * H
      (`librosa.stft(center=True, pad_mode="constant")`).
    CENTER_REFLECT: as CENTER with the signal mirrored about its first and last sample instead of zeros
      (`librosa.stft(pad_mode="reflect")`, `torch.stft`).
    END: zeros behind the signal, so that every frame that starts inside it is there: ceil(time / H) frames
      (`tf.signal.frame(pad_end=True)`).
    SCIPY: as CENTER with more zeros at the end, so that no padded sample is left out
      (`scipy.signal.stft(boundary="zeros", padded=True)`).
    """

    NONE = "none"
    CENTER = "center"
    CENTER_REFLECT = "center_reflect"
    END = "end"
    SCIPY = "scipy"


def left_padding(frame_length: int, padding: Padding) -> int:
    """Number of samples that stand before the signal."""
    return 0 if padding in (Padding.NONE, Padding.END) else frame_length // 2


def frame_count(time: int, frame_length: int, hop_length: int, padding: Padding = Padding.CENTER) -> int:
    """Number of frames of a signal.

    Args:
      time: samples of the signal.
      frame_length: samples per frame.
      hop_length: samples between the beginnings of neighbouring frames.
      padding: what stands before and behind the signal.

    Returns:
      How many frames `frame` cuts.

    Raises:
      ValueError: a length is not positive, the (padded) signal is shorter than one frame, or it is too short to be
        mirrored.
    """
    if frame_length < 1 or hop_length < 1:
        raise ValueError(f"frame_length and hop_length must be positive, got {frame_length}, {hop_length}")
    if time < 1:
        raise ValueError("want at least one sample, got none")
    left = left_padding(frame_length, padding)
    if padding is Padding.CENTER_REFLECT and time <= left:
        raise ValueError(f"mirroring {left} samples on both sides takes more than {left} samples, got {time}")
    if padding is Padding.END:
        return -(-time // hop_length)
    padded = time + 2 * left
    if padded < frame_length:
        raise ValueError(f"{padded} samples are fewer than one frame of {frame_length}")
    rest = padded - frame_length
    return 1 + (-(-rest // hop_length) if padding is Padding.SCIPY else rest // hop_length)


def frame(
    samples: Float[Array, "*batch time"], frame_length: int, hop_length: int, padding: Padding = Padding.CENTER
) -> Float[Array, "*batch frames {frame_length}"]:
    """Overlapping frames of a signal.

    Built from one reshape into hops and `ceil(frame_length / hop_length)` slices instead of a gather: the same
    values as a strided view, and it exports to builtin operators.

    Args:
      samples: `(..., time)`, any unit and dtype, which the frames keep. A NaN stays in the frames that hold its sample,
        but one that CENTER_REFLECT mirrors spreads to all mirrored samples.
      frame_length: samples per frame.
      hop_length: samples between the beginnings of neighbouring frames; may exceed `frame_length`.
      padding: what stands before and behind the signal.

    Returns:
      `(..., frames, frame_length)` with `frame_count(time, frame_length, hop_length, padding)` frames.

    Raises:
      ValueError: as `frame_count`.
    """
    blocks = hops(samples, frame_length, hop_length, padding)
    hops_per_frame = -(-frame_length // hop_length)
    frames = blocks.shape[-2] - hops_per_frame + 1
    pieces = [
        blocks[..., k : k + frames, : min(hop_length, frame_length - k * hop_length)] for k in range(hops_per_frame)
    ]
    return jnp.concatenate(pieces, axis=-1)


def hops(
    samples: Float[Array, "*batch time"], frame_length: int, hop_length: int, padding: Padding = Padding.CENTER
) -> Float[Array, "*batch hops {hop_length}"]:
    """The padded signal cut into hops that do not overlap; frame t of `frame` begins with hop t.

    Args:
      samples: as for `frame`.
      frame_length: as for `frame`.
      hop_length: as for `frame`.
      padding: as for `frame`.

    Returns:
      `(..., frames + ceil(frame_length / hop_length) - 1, hop_length)`. Where the last hop reaches beyond the last
      frame, it holds further samples or zeros there.

    Raises:
      ValueError: as `frame_count`.
    """
    time = samples.shape[-1]
    frames = frame_count(time, frame_length, hop_length, padding)
    left = left_padding(frame_length, padding)
    if padding is Padding.CENTER_REFLECT:
        before, behind = _reversed(samples[..., 1 : left + 1]), _reversed(samples[..., time - left - 1 : time - 1])
        samples, left = jnp.concatenate([before, samples, behind], axis=-1), 0
    count = frames + -(-frame_length // hop_length) - 1
    batch = samples.shape[:-1]
    right = count * hop_length - left - samples.shape[-1]
    samples = samples[..., : samples.shape[-1] + min(right, 0)]
    padded = jnp.pad(samples, [(0, 0)] * len(batch) + [(left, max(right, 0))])
    return padded.reshape(*batch, count, hop_length)


def overlap_add(frames: Float[Array, "*batch frames frame_length"], hop_length: int) -> Float[Array, "*batch time"]:
    """The sum of frames, each `hop_length` samples behind the one before; the transpose of unpadded `frame`.

    Built from one reshape and `ceil(frame_length / hop_length)` padded sums instead of a scatter.

    Args:
      frames: `(..., frames, frame_length)`. A NaN stays at its sample.
      hop_length: samples between the beginnings of neighbouring frames; gaps between frames are zero.

    Returns:
      `(..., (frames - 1) * hop_length + frame_length)`.

    Raises:
      ValueError: no frames, empty frames or a hop that is not positive.
    """
    frames = floating(frames)
    *batch, count, frame_length = frames.shape
    if min(count, frame_length, hop_length) < 1:
        raise ValueError(
            f"want at least one frame of at least one sample and a positive hop_length, "
            f"got {count} of {frame_length}, {hop_length}"
        )
    hops_per_frame = -(-frame_length // hop_length)
    keep = [(0, 0)] * len(batch)
    whole = jnp.pad(frames, [*keep, (0, 0), (0, hops_per_frame * hop_length - frame_length)])
    pieces = [
        jnp.pad(whole[..., k * hop_length : (k + 1) * hop_length], [*keep, (k, hops_per_frame - 1 - k), (0, 0)])
        for k in range(hops_per_frame)
    ]
    blocks = sum(pieces[1:], start=pieces[0])
    samples = blocks.reshape(*batch, (count + hops_per_frame - 1) * hop_length)
    return samples[..., : (count - 1) * hop_length + frame_length]


def _reversed(samples: Float[Array, "*batch time"]) -> Float[Array, "*batch time"]:
    """Backwards, as a product with a permutation: ONNX has no operator that reverses an axis of any batch."""
    backwards = jnp.asarray(np.eye(samples.shape[-1])[::-1], samples.dtype)
    return jnp.matmul(samples, backwards, precision=jax.lax.Precision.HIGHEST)


def copied_frames(
    samples: Float[Array, "*batch time"], frame_length: int, hop_length: int, padding: Padding
) -> Float[Array, "*batch frames {frame_length}"]:
    """`frame`, each frame copied in one piece: on a CPU ten times as fast, but runtimes have no such operator.

    Args:
      samples: as for `frame`.
      frame_length: as for `frame`.
      hop_length: as for `frame`.
      padding: as for `frame`.

    Returns:
      As `frame`.

    Raises:
      ValueError: as `frame`.
    """
    samples = floating(samples)
    if padding is Padding.CENTER_REFLECT:
        return frame(samples, frame_length, hop_length, padding)
    *batch, time = samples.shape
    frames = frame_count(time, frame_length, hop_length, padding)
    left = left_padding(frame_length, padding)
    right = max((frames - 1) * hop_length + frame_length - left - time, 0)
    padded = jnp.pad(samples.reshape(-1, time), [(0, 0), (left, right)])
    starts = np.arange(frames) * hop_length

    def cut(signal: Array) -> Array:
        return jax.vmap(lambda start: jax.lax.dynamic_slice(signal, (start,), (frame_length,)))(starts)

    return jax.vmap(cut)(padded).reshape(*batch, frames, frame_length)
