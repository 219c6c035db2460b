import io
import struct

import numpy as np
import pytest
import soundfile

from hsjax.data import pipe
from hsjax.data.pipe import Encoding, Raw


class Trickle(io.BufferedIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, content: bytes, size: int):
        self.content, self.size = content, size

    def read1(self, size: int = -1) -> bytes:
        part = self.content[: min(self.size, size)]
        self.content = self.content[len(part) :]
        return part


def read(content: bytes, raw: Raw | None = None, size: int = 1000):
    found = list(pipe.blocks(Trickle(content, size), raw))
    (rate,) = {rate for rate, _ in found}
    return rate, np.concatenate([block for _, block in found])


def wav(samples, rate, subtype, format="WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype=subtype, format=format)
    return file.getvalue()


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("format", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("size", [1, 999, 10**6])
def test_as_libsndfile_reads_it(rng, subtype, format, size):
    content = wav(rng.uniform(-1, 1, (500, 3)), 8000, subtype, format)
    want, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    rate, samples = read(content, size=size)
    assert rate == 8000
    np.testing.assert_allclose(samples, want.mean(axis=1, dtype=np.float64), atol=1e-7)


def with_length(content: bytes, length: int) -> bytes:
    place = content.index(b"data") + 4
    return content[:4] + struct.pack("<I", length) + content[8:place] + struct.pack("<I", length) + content[place + 4 :]


@pytest.mark.parametrize("length", [0, 2**32 - 1, 0x7FFFF000, 2**31 - 1, 2**31])
def test_of_unknown_length(length):
    """As ffmpeg, sox and arecord write into a pipe."""
    samples = np.linspace(-0.5, 0.5, 1000)
    content = wav(samples, 2000, "PCM_16")
    np.testing.assert_allclose(read(with_length(content, length))[1], samples, atol=1e-4)


@pytest.mark.parametrize("length", [0x7F000000, 0x7FFFF000, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1])
def test_what_nobody_knows_is_no_end(length):
    content = wav(np.zeros(10), 2000, "PCM_16")
    assert pipe._header(io.BytesIO(with_length(content, length)))[1] is None
    assert pipe._header(io.BytesIO(with_length(content, 0x7F000000 - 2)))[1] == 0x7F000000 - 2


def test_a_stream_goes_on_behind_an_unknown_length(monkeypatch):
    """As after 2 GiB: a stream of 2000 bytes whose header says 1500, where 1000 and more mean that nobody knows."""
    samples = np.linspace(-0.5, 0.5, 1000)
    content = with_length(wav(samples, 2000, "PCM_16"), 1500)
    assert len(read(content)[1]) == 750
    monkeypatch.setattr(pipe, "_UNKNOWN", 1000)
    np.testing.assert_allclose(read(content)[1], samples, atol=1e-4)


@pytest.mark.parametrize("length", [0, 2**64 - 1, 2000])
def test_rf64_says_its_length_elsewhere(length):
    samples = np.linspace(-0.5, 0.5, 1000)
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 2**64 - 1, length, 0, 0)
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 2000, 4000, 2, 16)
    data = b"data" + struct.pack("<I", 2**32 - 1) + np.rint(samples * 32767).astype("<i2").tobytes()
    content = b"RF64" + struct.pack("<I", 2**32 - 1) + b"WAVE" + ds64 + b"LIST" + struct.pack("<I", 3) + b"abc\0" + fmt
    np.testing.assert_allclose(read(content + data)[1], samples, atol=1e-4)
    if length == 2000:  # what follows is no sound
        np.testing.assert_allclose(read(content + data + b"LIST" + b"\0" * 40)[1], samples, atol=1e-4)
        with pytest.raises(pipe.BrokenStream, match="ends after 1990 bytes of sound, its header claims 2000"):
            read((content + data)[:-10])


def test_raw():
    samples = np.array([[0.5, -0.5], [1, 0.5]], "<f4")
    assert read(samples.tobytes(), Raw(Encoding.F32, 500, 2), 3)[1].tolist() == [0, 0.75]
    rate, found = read(np.array([-32768, 16384], "<i2").tobytes(), Raw(Encoding.S16, 500))
    assert (rate, found.tolist()) == (500, [-1, 0.5])


def changed(content: bytes, at: int, form: str, value: int) -> bytes:
    return content[:at] + struct.pack(form, value) + content[at + struct.calcsize(form) :]


def test_what_is_refused():
    content = wav(np.zeros(100), 2000, "PCM_16")
    for damaged, message in (
        (b"", "ends inside of its header"),
        (content[:30], "ends inside of its header"),
        (b"OggS" + content[4:], "no header of WAV or RF64"),
        (content[:12] + content[36:], "does not say how its samples are written"),
        (changed(content, 20, "<H", 7), "of kind 7 with 16 bits"),
        (changed(content, 22, "<H", 0), "0 channels"),
        (changed(content, 32, "<H", 3), "3 bytes for one sample of each"),
        (changed(content, 24, "<I", 10), "sample rate of 10 Hz"),
        (changed(content, 24, "<I", 2**31), "sample rate of 2147483648 Hz"),
        (content[:12] + b"junk" + struct.pack("<I", 2**31) + content[12:], "header is damaged: 2147483648 bytes"),
        (content[:-1], "ends after 199 bytes of sound, its header claims 200"),
        (with_length(content, 0)[:-1], "inside of a sample, which has 2"),
        (with_length(content, 0)[:44], "holds no samples"),
    ):
        with pytest.raises(pipe.BrokenStream, match=message):
            read(damaged)
    with pytest.raises(pipe.BrokenStream, match="NaN or infinite"):
        read(np.array([0, np.inf], "<f4").tobytes(), Raw(Encoding.F32, 500))


def test_what_is_sound_before_the_break_is_given():
    blocks = pipe.blocks(Trickle(wav(np.ones(100) / 2, 2000, "PCM_16")[:-50], 64))
    assert len(next(blocks)[1]) > 0
