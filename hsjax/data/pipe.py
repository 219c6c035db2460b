"""Sound that comes through a pipe, block by block as it arrives: WAV and RF64 of any length, known or not, and raw PCM.

Programs that write into a pipe cannot go back and enter a length: ffmpeg leaves 0 or all ones, sox and arecord about
2 GiB. Such a stream ends where it ends, however long it is. One that says its length and ends before it is broken.
arecord begins another WAV after 2 GiB, whose header would be taken for samples: what does not end is better sent raw.
"""

import enum
import io
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Float32

from hsjax.data import audio
from hsjax.types import UserError

MAX_CHANNELS = 256

_BLOCK_BYTES = 2**16  # at most that many are waited for; what has come is given on at once
_HEADER_BYTES = 2**24  # of all that may stand before the samples
_UNKNOWN = 0x7F000000  # bytes: from here on lengths of 32 bits are what sox, arecord and ffmpeg write for want of one
_UNKNOWN_64 = 2**63

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


class Encoding(enum.StrEnum):
    """How raw samples are written, little-endian."""

    S16 = "s16le"
    F32 = "f32le"


class Raw(NamedTuple):
    """What nothing says of raw samples.

    Attributes:
      encoding: of a sample.
      sample_rate: Hz.
      channels: interleaved.
    """

    encoding: Encoding
    sample_rate: int
    channels: int = 1


class BrokenStream(UserError):  # noqa: N818, the field's word
    """What comes is no sound, or ends too early."""


class _Layout(NamedTuple):
    rate: int
    channels: int
    width: int  # bytes of a sample
    decode: Callable[[bytes], np.ndarray]  # to float32, full scale 1


def blocks(
    file: BinaryIO | io.BufferedIOBase, raw: Raw | None = None
) -> Iterator[tuple[int, Float32[np.ndarray, " _"]]]:
    """What arrives: the rate in Hz, which is always the same, with each block of samples, the mean of all channels.

    Args:
      file: is read from where it stands; never sought in.
      raw: what the samples are; None where a header of WAV or RF64 says it.

    Raises:
      BrokenStream: no such header, an encoding that is not read (integers of 8, 16, 24 and 32 bits and floating point
        of 32 and 64 are), an end inside of a sample or before the length that the header claims, samples that are
        NaN or infinite, or none at all. It is raised once that is reached, after all samples before it.
    """
    layout, length = (_raw_layout(raw), None) if raw else _header(file)
    frame = layout.width * layout.channels
    held, done = b"", 0
    while length is None or done < length:
        size = _BLOCK_BYTES if length is None else min(_BLOCK_BYTES, length - done)
        part = _read_some(file, size)
        if not part:
            break
        done += len(part)
        held += part
        whole = len(held) // frame * frame
        if whole:
            samples = layout.decode(held[:whole]).reshape(-1, layout.channels)
            held = held[whole:]
            if not np.isfinite(samples).all():
                raise BrokenStream(f"the stream holds samples that are NaN or infinite, within {done} bytes of sound")
            yield layout.rate, audio.mono(samples)
    if length is not None and done < length:
        raise BrokenStream(f"the stream ends after {done} bytes of sound, its header claims {length}")
    if held:
        raise BrokenStream(f"the stream ends after {done} bytes of sound, inside of a sample, which has {frame}")
    if not done:
        raise BrokenStream("the stream holds no samples")


def _read_some(file: BinaryIO | io.BufferedIOBase, size: int) -> bytes:
    """What is there, waiting only where nothing is; empty at the end."""
    try:
        read = getattr(file, "read1", file.read)
        return read(size)
    except OSError as error:
        raise BrokenStream(f"the stream cannot be read on: {error.strerror}") from error


def _exactly(file: BinaryIO | io.BufferedIOBase, size: int) -> bytes:
    parts = []
    while size:
        part = _read_some(file, size)
        if not part:
            raise BrokenStream("the stream ends inside of its header")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _header(file: BinaryIO | io.BufferedIOBase) -> tuple[_Layout, int | None]:
    """Reads up to the samples; how they are written, and how many bytes of them there are, None where nobody knows."""
    kind = _exactly(file, 12)
    if kind[:4] not in (b"RIFF", b"RF64") or kind[8:] != b"WAVE":
        raise BrokenStream("the stream begins with no header of WAV or RF64: say what raw samples are with --raw")
    layout, long, passed = None, None, 0
    while True:
        name, size = struct.unpack("<4sI", _exactly(file, 8))
        if name == b"data":
            break
        passed += size
        if passed > _HEADER_BYTES:
            raise BrokenStream(f"the stream's header is damaged: {passed} bytes and no samples yet")
        content = _exactly(file, size + size % 2)  # chunks are padded to an even length
        if name == b"fmt ":
            layout = _layout(content)
        elif name == b"ds64" and size >= 16:
            long = int.from_bytes(content[8:16], "little")
    if layout is None:
        raise BrokenStream("the stream's header does not say how its samples are written")
    if kind[:4] == b"RF64" and size == 2**32 - 1:
        return layout, long if long and long < _UNKNOWN_64 else None
    return layout, size if 0 < size < _UNKNOWN else None


def _layout(content: bytes) -> _Layout:
    if len(content) < 16:
        raise BrokenStream("the stream's header is damaged: it describes its samples in too few bytes")
    kind, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", content[:16])
    if kind == _EXTENSIBLE and len(content) >= 26:
        kind = int.from_bytes(content[24:26], "little")  # the beginning of the GUID that names the encoding
    decode = _DECODERS.get((kind, bits))
    if decode is None:
        raise BrokenStream(f"the stream's samples are of kind {kind} with {bits} bits: send integers or floating point")
    if not 1 <= channels <= MAX_CHANNELS or frame != channels * bits // 8:
        raise BrokenStream(f"the stream's header is damaged: {channels} channels, {frame} bytes for one sample of each")
    return _Layout(_rate(rate), channels, bits // 8, decode)


def _raw_layout(raw: Raw) -> _Layout:
    kind = (_PCM, 16) if raw.encoding is Encoding.S16 else (_FLOAT, 32)
    return _Layout(_rate(raw.sample_rate), raw.channels, kind[1] // 8, _DECODERS[kind])


def _rate(rate: int) -> int:
    low, high = audio.MIN_RATE, audio.MAX_RATE
    if not low <= rate <= high:
        raise BrokenStream(f"the stream claims a sample rate of {rate} Hz, which is not between {low} and {high} Hz")
    return rate


def _integers(bits: int) -> Callable[[bytes], np.ndarray]:
    scale = np.float32(2.0 ** (1 - bits))
    return lambda content: np.frombuffer(content, f"<i{bits // 8}").astype(np.float32) * scale


def _eight(content: bytes) -> np.ndarray:
    return (np.frombuffer(content, np.uint8).astype(np.float32) - 128) / 128


def _twenty_four(content: bytes) -> np.ndarray:
    upper = np.zeros((len(content) // 3, 4), np.uint8)
    upper[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
    return upper.view("<i4")[:, 0].astype(np.float32) * np.float32(2.0**-31)


def _floats(bits: int) -> Callable[[bytes], np.ndarray]:
    return lambda content: np.frombuffer(content, f"<f{bits // 8}").astype(np.float32)


_DECODERS: dict[tuple[int, int], Callable[[bytes], np.ndarray]] = {
    (_PCM, 8): _eight,
    (_PCM, 16): _integers(16),
    (_PCM, 24): _twenty_four,
    (_PCM, 32): _integers(32),
    (_FLOAT, 32): _floats(32),
    (_FLOAT, 64): _floats(64),
}
