"""Cell arrays in MATLAB files of version 5 (`.mat`), read strictly.

Grammar: MathWorks, MAT-File Format, chapter 1, Level 5; of its classes, cells, text and real numbers. SciPy's reader,
which the tests compare with, ends the process on some damaged files, and takes the memory that their sizes claim.
"""

import dataclasses
import math
import pathlib
import struct
import zlib
from collections.abc import Iterator
from typing import TypeAlias

MAX_BYTES = 2**22
"""Of a file and of what is packed in it; those of two minutes of sound have 114 kB."""

MAX_DEPTH = 8
"""Of cells in cells."""

_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHAR = 1, 4
_NUMERIC = range(6, 16)
_NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
_SIZES = {kind: struct.calcsize(f"<{code}") for kind, code in _NUMBERS.items()}
_TAGS = {order: struct.Struct(f"{order}2I") for order in "<>"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_COMPLEX = 0x800
_NOTHING = (1, memoryview(b""))


class DamagedMat(ValueError):  # noqa: N818, it says what is wrong with the file
    """A file is no MAT file of version 5, or holds what this reader does not understand."""


@dataclasses.dataclass(frozen=True)
class Cells:
    """A cell array.

    Attributes:
      shape: of any rank from 2.
      values: in MATLAB's order, the first index fastest; text as str, numbers as tuples, also in that order.
    """

    shape: tuple[int, ...]
    values: tuple["Value", ...]


Value: TypeAlias = Cells | str | tuple[int | float, ...]


def read(path: pathlib.Path, variable: str) -> Value:
    """Reads one variable.

    Args:
      path: the file.
      variable: its name.

    Raises:
      OSError: the file cannot be opened.
      DamagedMat: it is too large, damaged, or has no such variable.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DamagedMat("it is too large")
    content = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or struct.unpack_from(f"{order}H", content, 124)[0] != 0x0100:
        raise DamagedMat("it is no MAT file of version 5")
    for kind, element in _elements(memoryview(content)[128:], order):
        if kind == _COMPRESSED:
            kind, element = next(_elements(memoryview(_unpack(element)), order), (0, element))
        if kind == _MATRIX:
            name, value = _matrix(element, order, 0, variable)
            if name == variable and value is not None:
                return value
    raise DamagedMat(f"it has no variable {variable}")


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and bytes of each data element of a stretch."""
    place, length, tag = 0, len(content), _TAGS[order].unpack_from
    while place < length:
        if length - place < 8:
            raise DamagedMat("it ends within a tag")
        kind, size = tag(content, place)
        begin = place + 8
        if kind >> 16:  # a small element has type, size and data in 8 bytes
            kind, size, begin, end = kind & 0xFFFF, kind >> 16, place + 4, place + 8
        else:
            end = begin + size + (0 if kind == _COMPRESSED else -size % 8)
        if begin + size > min(end, length):
            raise DamagedMat("it ends within an element")
        yield kind, content[begin : begin + size]
        place = end


def _unpack(element: memoryview) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(element, MAX_BYTES)
    except zlib.error as error:
        raise DamagedMat("what is packed in it is damaged") from error
    if not unpacker.eof:
        raise DamagedMat("what is packed in it is too large or has no end")
    return content


def _matrix(content: memoryview, order: str, depth: int, wanted: str | None = None) -> tuple[str, Value | None]:
    """Name and value of an array; None as value if another name is wanted."""
    if depth > MAX_DEPTH:
        raise DamagedMat(f"it has cells in cells, more than {MAX_DEPTH} deep")
    elements = _elements(content, order)
    flags, shape = (_sizes(*element, order) for element in (next(elements, _NOTHING), next(elements, _NOTHING)))
    name = next(elements, None)
    if name is None or len(flags) != 2 or len(shape) < 2:
        raise DamagedMat("it has an array without a shape")
    text = bytes(name[1]).decode("latin-1")
    if wanted not in (None, text):
        return text, None
    if flags[0] & _COMPLEX:
        raise DamagedMat("it has complex numbers")
    kind = flags[0] & 0xFF
    if kind == _CELL:
        values = tuple(_cells(elements, order, depth))
        value, found = Cells(shape, values), len(values)
    elif kind == _CHAR:
        value = "".join(_text(*element, order) for element in elements)
        found = len(value)
    elif kind in _NUMERIC:
        value = tuple(number for element in elements for number in _numbers(*element, order))
        found = len(value)
    else:
        raise DamagedMat(f"it has an array of class {kind}")
    if found != math.prod(shape):
        raise DamagedMat(f"it has an array of {found} values that claims another number")
    return text, value


def _cells(elements: Iterator[tuple[int, memoryview]], order: str, depth: int) -> Iterator[Value]:
    for kind, content in elements:
        if kind != _MATRIX:
            raise DamagedMat(f"it has a cell of type {kind}")
        _, value = _matrix(content, order, depth + 1) if content else ("", ())  # [] is written as nothing
        assert value is not None
        yield value


def _numbers(kind: int, content: memoryview, order: str) -> tuple[int | float, ...]:
    size = _SIZES.get(kind)
    if size is None or len(content) % size:
        raise DamagedMat(f"it has numbers of type {kind}")
    return struct.unpack(f"{order}{len(content) // size}{_NUMBERS[kind]}", content)


def _sizes(kind: int, content: memoryview, order: str) -> tuple[int, ...]:
    """Flags and shapes: few, whole and not below 0."""
    numbers = _numbers(kind, content, order) if len(content) <= 8 * MAX_DEPTH else ()
    return tuple(int(number) for number in numbers if isinstance(number, int) and number >= 0)


def _text(kind: int, content: memoryview, order: str) -> str:
    if kind not in _TEXTS:
        raise DamagedMat(f"it has text of type {kind}")
    encoding = _TEXTS[kind]
    if encoding == "utf-16":
        encoding += "-le" if order == "<" else "-be"
    try:
        return bytes(content).decode(encoding)
    except UnicodeDecodeError as error:
        raise DamagedMat("it has text that is none") from error
