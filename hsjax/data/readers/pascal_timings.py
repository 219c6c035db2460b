"""Where S1 and S2 lie in some recordings of PASCAL CHSC 2011, set A (`set_a_timing.csv`).

Bentley, Nordehn, Coimbra & Mannor, The PASCAL Classifying Heart Sounds Challenge 2011. A `location` is a sample index
at 44.1 kHz in the middle of a sound, not at its onset: over all marks, the mean Hilbert envelope is largest 5 ms behind
them, for S1 and S2 alike. Marks may begin late and end early: what lies outside them is not said.
"""

import collections
import os
import pathlib
import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from hsjax.data import csv_table
from hsjax.types import UserError

SAMPLE_RATE = 44100
"""Hz, of the locations."""

_TABLE = "set_a_timing.csv"
_COLUMNS = ("fname", "sound", "location")
_LOCATION = re.compile(r"\d{1,9}", re.ASCII)


class Timing(NamedTuple):
    """Marks of one recording.

    Attributes:
      path: its file.
      s1: middles of S1, ascending, s.
      s2: middles of S2, ascending, s.
    """

    path: pathlib.Path
    s1: Float[np.ndarray, " s1"]
    s2: Float[np.ndarray, " s2"]


def read(root: pathlib.Path) -> tuple[Timing, ...]:
    """All recordings of the table whose files are there, by name.

    Args:
      root: the folder that holds `pascal/`.

    Raises:
      UserError: the table is missing or not what it should be.
    """
    table = root / "pascal" / _TABLE
    mend = "it is part of the PASCAL CHSC 2011 distribution, restore it from there"
    marks: dict[str, dict[str, list[int]]] = collections.defaultdict(lambda: {"S1": [], "S2": []})
    for line, row in csv_table.read(table, _COLUMNS, mend=mend).items():
        name, sound, location = (row[column] for column in _COLUMNS)
        if not name or sound not in ("S1", "S2") or not _LOCATION.fullmatch(location):
            raise UserError(f"line {line} of {table} is not a file, S1 or S2, and a sample index: restore the file")
        marks[name][sound].append(int(location))
    files = {name: root / "pascal" / name for name in sorted(marks)}
    return tuple(
        Timing(path, *(np.sort(np.array(marks[name][sound], float)) / SAMPLE_RATE for sound in ("S1", "S2")))
        for name, path in files.items()
        if os.path.isfile(path)  # not Path.is_file, which raises OSError for a name that is too long
    )
