"""What can happen to a file: random damage, and lies where its format keeps lengths, rates and names."""

import random
import struct
import zlib
from collections.abc import Callable

MAX_BYTES = 2**20
"""Of a mutant: what a few bytes claim is what is tested, not how fast large files are read."""

_NUMBERS = [0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1]
_NUMBERS += [2**32 - 8, 2**36, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
_FLOATS = [float("nan"), float("inf"), float("-inf"), 1e38, -1e38, 1e-45, 1e308, -0.0]
_CELLS = "nan|NaN|-1|0|1|-0|1e308|-1e308|inf|1e-400|100000000000000000000|99999999999999999999999999|2.5|0x10|1_0|٣|"
_CELLS += (
    '|"|""|\'|\0|\ufeff|../../etc/passwd|/etc/passwd|~root|http://x/a|a\nb|\r|\t|,|;|=1+1|\x1b[2J|é|\u202e|-|.|..|#'
)
_LINE_ENDS = ("\n", "\r\n", "\r", "\n\n", "\x0b", "\u2028")
_ENCODINGS = ("utf-16", "utf-8-sig", "utf-16-le", "utf-32", "latin-1")

Operation = Callable[[bytes, random.Random], bytes]


def mutate(content: bytes, kind: str, rng: random.Random) -> bytes:
    """One mutant of a file of a format: one to four things happen to it, or to what a model's graph says."""
    if kind in _GRAPHS and rng.random() < 0.7:
        return _GRAPHS[kind](content, rng)
    operations = _ANY + _OF.get(kind, [])
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        # Of a format's own kinds of damage there are few, so they are chosen as often as all others together.
        own = _OF.get(kind, _ANY)
        content = rng.choice(own if rng.random() < 0.5 else operations)(content, rng)[:MAX_BYTES]
    return content


def _tflite_graph(content: bytes, rng: random.Random) -> bytes:
    import models_mutations  # needs more than the other formats do

    return models_mutations.tflite(content, rng)


def _onnx_graph(content: bytes, rng: random.Random) -> bytes:
    import models_mutations

    return models_mutations.onnx(content, rng)


_GRAPHS: dict[str, Operation] = {"tflite": _tflite_graph, "onnx": _onnx_graph}


def _place(content: bytes, rng: random.Random) -> int:
    """An index, half of them among the first 128, where headers are."""
    if not content:
        return 0
    return rng.randrange(min(128, len(content)) if rng.random() < 0.5 else len(content))


def _flip_bits(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 64)) if content else 0):
        changed[_place(content, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite_run(content: bytes, rng: random.Random) -> bytes:
    start, length = _place(content, rng), rng.choice((1, 2, 4, 16, 256))
    run = rng.choice((b"\0" * length, b"\xff" * length, rng.randbytes(length)))
    return content[:start] + run[: max(0, len(content) - start)] + content[start + length :]


def _truncate(content: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)]


def _cut_front(content: bytes, rng: random.Random) -> bytes:
    return content[_place(content, rng) :]


def _remove(content: bytes, rng: random.Random) -> bytes:
    start = _place(content, rng)
    return content[:start] + content[start + rng.choice((1, 2, 4, 8, 100, 1000)) :]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    start = _place(content, rng)
    chunk = content[start : start + rng.choice((1, 4, 8, 44, 100, 1000))]
    return content[:start] + chunk * rng.choice((2, 3, 200)) + content[start + len(chunk) :]


def _insert(content: bytes, rng: random.Random) -> bytes:
    start = _place(content, rng)
    return content[:start] + rng.randbytes(rng.choice((1, 2, 3, 8, 100))) + content[start:]


def _empty(content: bytes, rng: random.Random) -> bytes:
    return rng.choice((b"", b"\0", b"\0" * 4096, rng.randbytes(64), content + content, content[::-1]))


def _number(content: bytes, rng: random.Random) -> bytes:
    """A telling number in 1, 2, 4 or 8 bytes, somewhere."""
    return _put_number(content, _place(content, rng), rng.choice((1, 2, 4, 8)), rng)


def _aligned_number(content: bytes, rng: random.Random) -> bytes:
    return _put_number(content, _place(content, rng) // 4 * 4, rng.choice((2, 4, 8)), rng)


def _put_number(content: bytes, start: int, size: int, rng: random.Random) -> bytes:
    number = rng.choice(_NUMBERS) % 256**size
    written = number.to_bytes(size, rng.choice(("little", "big")))
    return content[:start] + written + content[start + size :]


def _float(content: bytes, rng: random.Random) -> bytes:
    """NaN, infinity or a huge number among the samples."""
    layout, size = rng.choice((("<f", 4), (">f", 4), ("<d", 8)))
    value = rng.choice(_FLOATS)
    try:
        written = struct.pack(layout, value)
    except OverflowError:
        written = struct.pack(layout, float("inf"))
    start = _place(content, rng) // 4 * 4
    return content[:start] + written * rng.choice((1, 1, 100)) + content[start + size :]


def _swap_order(content: bytes, rng: random.Random) -> bytes:
    start = _place(content, rng) // 4 * 4
    if rng.random() < 0.5:
        return content.replace(b"RIFF", b"RIFX", 1).replace(b"IM", b"MI", 1)
    return content[:start] + content[start : start + 4][::-1] + content[start + 4 :]


def _wav_header(content: bytes, rng: random.Random) -> bytes:
    """Sizes of chunks, code, channels, rate, bytes a second, bytes a frame, bits."""
    start, size = rng.choice(((4, 4), (16, 4), (20, 2), (22, 2), (24, 4), (28, 4), (32, 2), (34, 2), (40, 4)))
    return _put_number(content, start, size, rng)


def _wav_chunk(content: bytes, rng: random.Random) -> bytes:
    """A chunk where none belongs, of a size that it has not."""
    name = rng.choice(
        (b"LIST", b"data", b"fmt ", b"fact", b"cue ", b"smpl", b"bext", b"ds64", b"PEAK", b"JUNK", b"id3 ")
    )
    chunk = name + struct.pack("<I", rng.choice(_NUMBERS) % 2**32) + rng.randbytes(rng.choice((0, 3, 40)))
    start = rng.choice((12, 36, len(content)))
    return content[:start] + chunk + content[start:]


def _flac_stream(content: bytes, rng: random.Random) -> bytes:
    """The stream's facts: block and frame sizes, rate, channels, bits, number of samples, MD5."""
    return _put_number(
        content, rng.choice((4, 5, 8, 10, 12, 15, 18, 20, 21, 22, 24, 26)), rng.choice((1, 2, 3, 4)), rng
    )


def _mat_inside(content: bytes, rng: random.Random) -> bytes:
    """Damage below the compression, which its checksum would betray."""
    try:
        inside = zlib.decompress(content[136:])
    except zlib.error:
        return _aligned_number(content, rng)
    packed = zlib.compress(rng.choice((_aligned_number, _flip_bits, _truncate, _repeat, _bomb))(inside, rng))
    return content[:128] + struct.pack("<II", 15, len(packed)) + packed


def _bomb(content: bytes, rng: random.Random) -> bytes:
    return content + b"\0" * rng.choice((2**16, 2**24))


def _text(edit: Callable[[list[str], random.Random], list[str]]) -> Operation:
    """Damage to lines of text."""

    def operation(content: bytes, rng: random.Random) -> bytes:
        lines = content.decode("utf-8", "surrogateescape").split("\n")
        return "\n".join(edit(lines, rng)).encode("utf-8", "surrogatepass")

    return operation


def _drop_line(lines: list[str], rng: random.Random) -> list[str]:
    gone = rng.randrange(len(lines))
    return lines[:gone] + lines[gone + 1 :]


def _repeat_line(lines: list[str], rng: random.Random) -> list[str]:
    again = rng.randrange(len(lines))
    # What is beyond the longest mutant is cut off in the end: it need not be made.
    times = min(rng.choice((2, 3, 500)), MAX_BYTES // (len(lines[again]) + 1) + 1)
    return lines[:again] + lines[again : again + 1] * times + lines[again + 1 :]


def _shuffle_lines(lines: list[str], rng: random.Random) -> list[str]:
    return rng.sample(lines, len(lines))


def _change_cell(lines: list[str], rng: random.Random) -> list[str]:
    index = rng.randrange(len(lines))
    separator = next((mark for mark in ("\t", ",", " ") if mark in lines[index]), ",")
    cells = lines[index].split(separator)
    cell = rng.randrange(len(cells))
    action = rng.random()
    if action < 0.6:
        cells[cell] = rng.choice(_CELLS.split("|"))
    elif action < 0.7:
        cells[cell] = rng.choice(("9", "a", "\x85", '"')) * rng.choice((300, 5000, 200_000))
    elif action < 0.8:
        cells[cell] += rng.choice(("0", "9", ".", "-", "x2", ":1", "+1", "(0)", "/mV", " ", '"'))
    elif action < 0.9:
        del cells[cell]
    else:
        cells[cell:cell] = [rng.choice(_CELLS.split("|"))] * rng.choice((1, 2, 2000))
    lines[index] = separator.join(cells)
    return lines


def _lower_cells(lines: list[str], rng: random.Random) -> list[str]:
    return [rng.choice((line, line.upper(), line.lower(), line + " ")) for line in lines]


def _encoding(content: bytes, rng: random.Random) -> bytes:
    text = content.decode("utf-8", "replace")
    if rng.random() < 0.5:
        return text.replace("\n", rng.choice(_LINE_ENDS)).encode()
    return text.encode(rng.choice(_ENCODINGS), "replace")


_ANY: list[Operation] = [
    _flip_bits,
    _overwrite_run,
    _truncate,
    _cut_front,
    _remove,
    _repeat,
    _insert,
    _empty,
    _number,
]
_LINES: list[Operation] = [
    _text(_drop_line),
    _text(_repeat_line),
    _text(_shuffle_lines),
    _text(_lower_cells),
    _encoding,
]
_LINES += [_text(_change_cell)] * 5
_OF: dict[str, list[Operation]] = {
    "wav": [_wav_header, _wav_header, _wav_header, _wav_chunk, _float, _swap_order],
    "flac": [_flac_stream, _flac_stream, _aligned_number, _swap_order],
    "mat": [_aligned_number, _mat_inside, _mat_inside, _swap_order],
    "dat": [_aligned_number, _truncate],
    "atr": [_aligned_number, _number, _repeat],
    "hea": _LINES,
    "csv": _LINES,
    "tsv": _LINES,
}
