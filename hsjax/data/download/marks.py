"""The marks of PASCAL CHSC 2011 (Bentley et al. 2011) in the form that the reader takes.

The organisers publish where S1 and S2 are in recordings of set A as `Atraining_normal_seg.csv`, a row per recording.
The usual form, `set_a_timing.csv`, has a row per mark.
"""

import csv
import pathlib
import posixpath

from hsjax.types import UserError

TABLE = "set_a_timing.csv"
_COLUMNS = ("fname", "cycle", "sound", "location")
_MOST_DIGITS = 9


def read(table: pathlib.Path) -> list[tuple[str, int, str, int]]:
    """S1 and S2 of each recording: path, number of the heart cycle, sound, sample index at 44.1 kHz.

    The columns are called S1, S2, S1, S2, ...; a row that begins with an S2 leaves its first cell empty.

    Raises:
      UserError: it is not that table.
    """
    with table.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        try:
            header, *rows = csv.reader(stream)
        except (ValueError, csv.Error):
            raise UserError(f"{table.name} is no table: report it") from None
    sounds = [cell.strip() for cell in header[1:]]
    if not sounds or any(sound not in ("S1", "S2") for sound in sounds):
        raise UserError(f"{table.name} has other columns than S1 and S2: report it")
    marks = []
    for row in rows:
        stem = posixpath.splitext(row[0].strip())[0] if row else ""
        for column, cell in enumerate(cell.strip() for cell in row[1:]):
            if not cell:
                continue
            if (
                not stem
                or column >= len(sounds)
                or not (cell.isascii() and cell.isdigit() and len(cell) <= _MOST_DIGITS)
            ):
                raise UserError(f"{table.name} has {cell[:50]!r} where a sample index should be: report it")
            marks.append((f"set_a/normal__{stem}.wav", column // 2 + 1, sounds[column], int(cell)))
    return marks


def write(marks: list[tuple[str, int, str, int]], path: pathlib.Path) -> None:
    """Writes them, a row per mark."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(marks)
