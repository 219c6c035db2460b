"""Audio files to samples: decode, resample, cut. `predict` imports this on the device: NumPy and codecs only."""

import contextlib
import pathlib
from collections.abc import Iterator

import numpy as np
import soundfile
from jaxtyping import Float, Float32, Int64

from hsjax.types import Fit, Level, UnreadableFile

MAX_FRAMES = 2**28
"""Longest recording that is decoded: 1 GiB as float32, 37 hours at 2 kHz, 1.7 hours at 44.1 kHz."""

MIN_RATE = 50
"""Hz. No recording of a heart is slower, so a lower rate is damage, which resampling would blow up."""

MAX_RATE = 1_000_000
"""Hz. No converter of heart sounds or ECGs is as fast, so what is claimed beyond is damage."""

_BLOCK_SAMPLES = 2**20
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's SF_COUNT_MAX: a FLAC stream that was written without a length
_UNKNOWN_BYTES = 2**32 - 1  # the size of `data` in a WAV that was written into a pipe


class UnreadableAudio(UnreadableFile):
    """No usable samples can be had from an audio file."""


class _Forward(soundfile.SoundFile):
    """Reads from beginning to end. The base class seeks after each read, which fails if the length is a lie."""

    def seekable(self) -> bool:
        return False


def decode(path: pathlib.Path) -> tuple[Float32[np.ndarray, " time"], int]:
    """Decodes a recording: WAV (8 to 64 bit, integer or float), FLAC, OGG and what else libsndfile reads.

    Memory follows what the file holds, not what its header claims, and never exceeds a few times
    `MAX_FRAMES` samples. A WAV or FLAC that ends before the length in its header is refused; an OGG has no
    such length, so a cut one gives what is left of it.

    Args:
      path: the file.

    Returns:
      Samples, full scale 1, the mean of all channels, and their rate in Hz.

    Raises:
      UnreadableAudio: no such file, not audio, damaged, truncated, too long or slow, without samples, or with
        samples that are NaN or infinite.
    """
    with _open(path) as file:
        return np.concatenate(list(_blocks(path, file, MAX_FRAMES))), file.samplerate


@contextlib.contextmanager
def _open(path: pathlib.Path) -> Iterator[soundfile.SoundFile]:
    """An audio file, whose errors are told as `UnreadableAudio`."""
    try:
        if not path.is_file():
            raise UnreadableAudio(path, "is not a file" if path.exists() else "does not exist")
        if path.stat().st_size == 0:
            raise UnreadableAudio(path, "the file is empty")
        if path.suffix.lower() == ".raw":  # for libsndfile: samples of a rate that the caller knows
            raise UnreadableAudio(path, "has no header: convert it to WAV or FLAC")
        with _Forward(path) as file:
            yield file
    except OSError as error:
        raise UnreadableAudio(path, f"cannot be opened: {error.strerror}") from error
    except soundfile.LibsndfileError as error:
        # Not str(error), which repeats the path: quarantine reports would differ between machines.
        raise UnreadableAudio(path, f"cannot be decoded as audio: {error.error_string}") from error


def stream(path: pathlib.Path) -> Iterator[tuple[int, Float32[np.ndarray, " _"]]]:
    """As `decode`, block by block and of any length: the rate in Hz, which is always the same, with each block.

    Raises:
      UnreadableAudio: as `decode`; what is wrong behind the beginning, once it is reached.
    """
    with _open(path) as file:
        for block in _blocks(path, file, _UNKNOWN_FRAMES):
            yield file.samplerate, block


def _blocks(path: pathlib.Path, file: soundfile.SoundFile, limit: int) -> Iterator[Float32[np.ndarray, " _"]]:
    claimed = file.frames
    if limit < claimed < _UNKNOWN_FRAMES:
        raise UnreadableAudio(path, f"too long or damaged: its header claims {claimed} samples per channel")
    if file.samplerate < MIN_RATE:
        raise UnreadableAudio(path, f"its header claims a sample rate of {file.samplerate} Hz, below {MIN_RATE} Hz")
    lacking = _lacking_bytes(path)
    if lacking:
        raise UnreadableAudio(path, f"truncated: {lacking} bytes of sound fewer than its header claims")
    # No more than there is, and one to see the end: the system clears memory before it hands it out.
    block_frames, frames = max(1, min(_BLOCK_SAMPLES // file.channels, claimed + 1)), 0
    while True:
        block = file.read(block_frames, dtype="float32", always_2d=True)
        if not len(block):
            break
        if not np.isfinite(block).all():
            raise UnreadableAudio(path, "holds samples that are NaN or infinite")
        yield mono(block)
        frames += len(block)
        if frames > limit:
            raise UnreadableAudio(path, f"too long: more than {limit} samples per channel")
    if frames < claimed < _UNKNOWN_FRAMES:
        raise UnreadableAudio(path, f"truncated: {frames} samples per channel, its header claims {claimed}")
    if not frames:
        raise UnreadableAudio(path, "holds no samples")


def mono(block: Float[np.ndarray, "time channels"]) -> Float[np.ndarray, " time"]:
    """The mean of all channels."""
    # float64, because the sum of two large float32 can overflow although their mean cannot.
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float64).astype(np.float32)


def _lacking_bytes(path: pathlib.Path) -> int:
    """Returns by how many bytes a WAV's `data` chunk is shorter than it claims; libsndfile hides that."""
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return 0
        file.seek(12)
        while len(header := file.read(8)) == 8:
            size = int.from_bytes(header[4:], "little")
            if header[:4] == b"data":
                held = path.stat().st_size - file.tell()
                return 0 if size == _UNKNOWN_BYTES else max(0, size - held)
            file.seek(size + size % 2, 1)  # chunks are padded to an even length
    return 0


def resample(samples: Float[np.ndarray, " time"], from_rate: int, to_rate: int) -> Float32[np.ndarray, " resampled"]:
    """Resamples with soxr's HQ recipe: linear phase, pass-band to 91 % of the lower Nyquist frequency.

    Args:
      samples: any unit.
      from_rate: their rate, Hz.
      to_rate: the wanted rate, Hz.

    Returns:
      About `time * to_rate / from_rate` samples; the very same ones if the rates are equal.
    """
    samples = samples.astype(np.float32, copy=False)
    if from_rate == to_rate:
        return samples
    import soxr  # here, because a recording at the model's own rate needs no resampler on the device

    return soxr.resample(samples, from_rate, to_rate, quality="HQ")


def levelled(samples: Float[np.ndarray, " time"], level: Level) -> Float32[np.ndarray, " time"]:
    """A recording at the level that all are brought to; see `Level`."""
    samples = samples.astype(np.float32, copy=False)
    if level is Level.NONE or not len(samples):
        return samples
    # float64: the sum of an hour of squares is not one of float32's.
    centre = samples.mean(dtype=np.float64) if level is Level.STANDARD else 0.0
    centred = samples - np.float32(centre)
    scale = np.abs(centred).max() if level is Level.PEAK else np.sqrt(np.square(centred).mean(dtype=np.float64))
    return centred / np.float32(scale) if scale > 0 else centred


def first_window(
    samples: Float[np.ndarray, " time"], window: int, fit: Fit = Fit.END
) -> tuple[Float32[np.ndarray, "1 {window}"], Int64[np.ndarray, "1"]]:
    """The beginning of a recording, with zeros as `Fit` says where it is shorter, and where it begins: at 0.

    Raises:
      ValueError: no samples, or `window` below 1.
    """
    return windows(samples[:window], window, window, fit)


def windows(
    samples: Float[np.ndarray, " time"], window: int, hop: int, fit: Fit = Fit.END
) -> tuple[Float32[np.ndarray, "n {window}"], Int64[np.ndarray, " n"]]:
    """Cuts a recording into windows of equal length.

    Windows start at 0, `hop`, `2 * hop` and so on as long as they fit. What is left behind the last of them
    is covered by one more, flush with the end, if it is at least half a window long, and dropped otherwise.
    A recording shorter than one window becomes one window with zeros behind, or as `fit` says.

    Args:
      samples: at least one.
      window: length of a window, samples.
      hop: distance of starts, samples.
      fit: where the zeros go.

    Returns:
      The windows and the index of the first sample of each.

    Raises:
      ValueError: no samples, or `window` or `hop` below 1.
    """
    if not len(samples):
        raise ValueError("a recording without samples has no windows")
    if window < 1 or hop < 1:
        raise ValueError(f"window and hop must be at least 1 sample, got {window} and {hop}")
    samples = samples.astype(np.float32, copy=False)
    if len(samples) < window:
        missing = window - len(samples)
        before = missing // 2 if fit is Fit.BOTH else 0
        samples = np.pad(samples, (before, missing - before))
    last = len(samples) - window
    starts = np.arange(0, last + 1, hop, dtype=np.int64)
    uncovered = last - starts[-1]
    if 2 * uncovered >= window:
        starts = np.append(starts, np.int64(last))
    return np.lib.stride_tricks.sliding_window_view(samples, window)[starts], starts
