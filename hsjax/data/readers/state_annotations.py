"""Hand-corrected heart states of PhysioNet/CinC Challenge 2016 (`*_StateAns.mat`).

A file holds a cell array of (1-based sample index at 2 kHz, name); a name holds from its index until the next one. The
marks began as the output of Springer's segmenter and were corrected by hand where they were wrong (Liu et al. 2016), so
all but few lie on its grid of 20 ms.
"""

import pathlib
import warnings

import numpy as np
from jaxtyping import Int8

from hsjax.data.readers import mat_cells
from hsjax.types import HeartState

NAMES = {
    "S1": HeartState.S1,
    "systole": HeartState.SYSTOLE,
    "S2": HeartState.S2,
    "diastole": HeartState.DIASTOLE,
    # Noise, from its begin to its end: what the heart does in it, and behind it up to the next mark, is not said.
    "(N": HeartState.UNKNOWN,
    "N)": HeartState.UNKNOWN,
}

_VARIABLE = "state_ans"


def path(folder: pathlib.Path, subset: str, record: str) -> pathlib.Path:
    """Where the official layout keeps the states of a record.

    Args:
      folder: `physionet2016/`.
      subset: `training-a` to `training-f`.
      record: its id.
    """
    return folder / "annotations" / "hand_corrected" / f"{subset}_StateAns" / f"{record}_StateAns.mat"


def read(path: pathlib.Path, num_samples: int) -> Int8[np.ndarray, " {num_samples}"]:
    """The true `HeartState` of every sample of a record, at 2 kHz.

    UNKNOWN stands before the first mark and in noise; the last mark holds until the end. A file that cannot be read
    gives UNKNOWN throughout and a warning that names it: such a record is neither trained on nor scored.

    Args:
      path: the file.
      num_samples: length of the record at 2 kHz.
    """
    states = np.full(num_samples, HeartState.UNKNOWN, np.int8)
    try:
        marks = _marks(path)
    except (OSError, ValueError) as error:
        warnings.warn(f"{path} is no list of heart states ({error}): its states are unknown", stacklevel=2)
        return states
    ends = [begin for begin, _ in marks[1:]] + [num_samples]
    for (begin, state), end in zip(marks, ends, strict=True):
        states[begin:end] = state
    return states


def _marks(path: pathlib.Path) -> list[tuple[int, HeartState]]:
    """0-based begin and state of every mark, in order of time."""
    cells = mat_cells.read(path, _VARIABLE)
    if not isinstance(cells, mat_cells.Cells) or len(cells.shape) != 2 or cells.shape[1] != 2:
        raise ValueError("it holds no array of (marks, 2)")
    marks = []
    for index, name in zip(cells.values[: cells.shape[0]], cells.values[cells.shape[0] :], strict=True):
        begin, name = _index(_inner(index)), _inner(name)
        if begin < 0 or (marks and begin <= marks[-1][0]):
            raise ValueError(f"a mark at {begin + 1} is not behind the one before it")
        if not isinstance(name, str) or name.strip() not in NAMES:
            raise ValueError(f"it has a state {str(name)[:20]!r}")
        marks.append((begin, NAMES[name.strip()]))
    return marks


def _index(value: mat_cells.Value) -> int:
    """A mark's place, 0-based."""
    if not isinstance(value, tuple) or len(value) != 1 or not float(value[0]).is_integer():
        raise ValueError("it has a mark that is no sample index")
    return int(value[0]) - 1


def _inner(value: mat_cells.Value) -> mat_cells.Value:
    """What cells of one element, nested in any depth, hold."""
    while isinstance(value, mat_cells.Cells) and len(value.values) == 1:
        (value,) = value.values
    return value
