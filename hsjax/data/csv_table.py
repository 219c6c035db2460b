"""Tables that describe recordings: small text files of which nobody knows who saved them last, and with what."""

import csv
import io
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from hsjax.types import UserError

MAX_BYTES = 2**26
MAX_ROWS = 2**20
MAX_COLUMNS = 1000
"""What exceeds these is no table of recordings, and would only cost memory."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read(
    path: pathlib.Path, columns: Sequence[str], *, mend: str, delimiters: str = ","
) -> Mapping[int, Mapping[str, str]]:
    """The rows of a table with a header, by their line's number.

    Each line is one row: an unclosed quote is found where it is. Empty lines do not count, and values are without the
    white space around them.

    Args:
      path: UTF-8, or UTF-16 with a byte order mark.
      columns: those it must have; letter case does not matter. Every row has them, named as given here, and of the
        other columns, named as in the header, those that are not empty.
      mend: what the user can do about a bad table; ends every error.
      delimiters: the first that makes a header with all `columns` is the table's.

    Raises:
      UserError: it cannot be read, is no such table, lacks columns, or has a row with more values than columns.
    """
    lines = iter(_lines(path, mend))
    header = next(lines, "")
    names = [_fields(header, delimiter, path, 1, mend) for delimiter in delimiters]
    delimiter, names = min(
        zip(delimiters, names, strict=True), key=lambda candidate: len(_missing(columns, candidate[1]))
    )
    if missing := _missing(columns, names):
        raise UserError(f"{path} lacks the columns {', '.join(missing)}: {mend}")
    asked = {column.casefold(): column for column in columns}
    names = [asked.get(name.casefold(), name) for name in names]
    if repeated := sorted({name for name in names if name and names.count(name) > 1}):
        raise UserError(f"{path} has more than one column {repeated[0][:100]}: {mend}")
    rows = {}
    for number, line in enumerate(lines, 2):
        values = _fields(line, delimiter, path, number, mend)
        if any(values[len(names) :]):
            raise UserError(f"line {number} of {path} has more values than the header has columns: {mend}")
        if any(values):
            if len(rows) == MAX_ROWS:
                raise UserError(f"{path} has more than {MAX_ROWS} rows: {mend}")
            present = {name: value for name, value in zip(names, values, strict=False) if value}
            rows[number] = dict.fromkeys(columns, "") | present
    return rows


def rows(path: pathlib.Path, *, mend: str, delimiter: str = ",") -> Iterator[list[str]]:
    """The rows of a table without a header, of any number of values; otherwise as `read`."""
    for number, line in enumerate(_lines(path, mend), 1):
        if number > MAX_ROWS:
            raise UserError(f"{path} has more than {MAX_ROWS} rows: {mend}")
        values = _fields(line, delimiter, path, number, mend)
        if any(values):
            yield values


def _lines(path: pathlib.Path, mend: str) -> Iterator[str]:
    """Decoded lines, without their ends."""
    try:
        if not path.is_file():
            raise UserError(f"{path} does not exist: {mend}")
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than any table of recordings ({MAX_BYTES} bytes): {mend}")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {mend}") from error
    try:
        text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"line {line} of {path} is not text in UTF-8: {mend}") from error
    if "\0" in text:
        raise UserError(f"{path} is not a text table: {mend}")
    # Not splitlines(), which also splits at form feeds and other rarities inside a line.
    for line in io.StringIO(text, newline=None):
        yield line.removesuffix("\n")


def _fields(line: str, delimiter: str, path: pathlib.Path, number: int, mend: str) -> list[str]:
    try:
        rows = list(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise UserError(f"line {number} of {path} is damaged ({error}): {mend}") from error
    if rows and len(rows[0]) > MAX_COLUMNS:
        raise UserError(f"line {number} of {path} has more than {MAX_COLUMNS} columns: {mend}")
    return [field.strip() for field in rows[0]] if rows else []


def _missing(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    present = {name.casefold() for name in names}
    return [column for column in columns if column.casefold() not in present]
