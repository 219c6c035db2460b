"""MIT-BIH Arrhythmia Database: half-hour ECG records of two leads at 360 Hz, every beat annotated.

Moody and Mark, The impact of the MIT-BIH Arrhythmia Database, IEEE Eng. Med. Biol. 20(3):45-50, 2001. Official layout:
`mit-bih-arrhythmia-database-1.0.0/` with `<record>.hea`, `.dat` and `.atr`. Read through wfdb, the extra `ecg`.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from hsjax.types import UserError

NAME: str = "mitdb"
FOLDER: str = "mit-bih-arrhythmia-database-1.0.0"
SOURCE: str = "https://physionet.org/content/mitdb/1.0.0/"
LICENCE: str = "Open Data Commons Attribution License 1.0"
CITATION: str = "Moody & Mark 2001, IEEE Eng. Med. Biol. Mag. 20(3):45-50"

SAMPLE_RATE = 360
"""Hz, of every record."""

BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")
"""PhysioNet's annotation codes of beats. All others mark rhythm, noise and waves ('!' is one of flutter)."""

_SUFFIXES = (".hea", ".dat", ".atr")


class Lead(NamedTuple):
    """One channel of a record.

    Attributes:
      name: of the electrode position, as the header says: MLII, V1, V5, ...
      samples: millivolts, (time,).
      sample_rate: Hz.
    """

    name: str
    samples: Float[np.ndarray, " time"]
    sample_rate: int


@dataclasses.dataclass(frozen=True)
class Beats:
    """The annotation of a record.

    Attributes:
      index: sample of each beat, ascending.
      symbol: its annotation code, one of `BEAT_SYMBOLS`.
      flutter: first and last sample of each stretch of ventricular flutter, `[` to `]`, where no beats are annotated.
    """

    index: Int64[np.ndarray, " beats"]
    symbol: np.ndarray
    flutter: Int64[np.ndarray, "episodes 2"]


def records(root: pathlib.Path) -> tuple[str, ...]:
    """The names of the records of which header, signals and annotation are there, sorted.

    Args:
      root: the folder that holds the distribution's.

    Raises:
      UserError: the folder is missing or holds no record.
    """
    folder = root / FOLDER
    names = [
        header.stem
        for header in folder.glob("*.hea")
        if all(header.with_suffix(suffix).is_file() for suffix in _SUFFIXES)
    ]
    if not names:
        raise UserError(
            f"{folder} holds no record: set --config.data.root or HSJAX_DATA to the folder that holds {FOLDER}/, "
            f"which is to be had from {SOURCE}"
        )
    return tuple(sorted(names))


def lead(root: pathlib.Path, record: str, names: Sequence[str] = ("MLII",)) -> Lead:
    """Reads one lead.

    Args:
      root: the folder that holds the distribution's.
      record: one of `records`.
      names: the first of these that the record has is read; without any of them the record's first lead, whose name is
        returned with it (102 and 104 have no MLII).

    Raises:
      UserError: wfdb is not installed or the record cannot be read.
    """
    wfdb = _wfdb()
    path = _path(root, record)
    available = wfdb.rdheader(path).sig_name
    channel = next((available.index(name) for name in names if name in available), 0)
    read = wfdb.rdrecord(path, channels=[channel])
    return Lead(available[channel], np.ascontiguousarray(read.p_signal[:, 0]), int(read.fs))


def beats(root: pathlib.Path, record: str) -> Beats:
    """Reads where the beats are and what they are.

    Args:
      root: the folder that holds the distribution's.
      record: one of `records`.

    Raises:
      UserError: wfdb is not installed or the record cannot be read.
    """
    annotation = _wfdb().rdann(_path(root, record), "atr")
    index = np.asarray(annotation.sample, np.int64)
    symbol = np.asarray(annotation.symbol, dtype="<U1")
    true_beat = np.isin(symbol, sorted(BEAT_SYMBOLS))
    begins, ends = index[symbol == "["], index[symbol == "]"]
    # An episode that the end of the record cuts has no closing mark.
    ends = np.concatenate([ends, np.full(len(begins) - len(ends), np.iinfo(np.int64).max)])
    return Beats(index[true_beat], symbol[true_beat], np.stack([begins, ends], axis=1))


def _path(root: pathlib.Path, record: str) -> str:
    missing = [suffix for suffix in _SUFFIXES if not (root / FOLDER / f"{record}{suffix}").is_file()]
    if missing:
        raise UserError(f"{root / FOLDER} lacks {record}{missing[0]}: complete it from {SOURCE}")
    return str(root / FOLDER / record)


def _wfdb() -> ModuleType:
    # By name, so that the reader is there without the extra until a record is opened.
    try:
        return importlib.import_module("wfdb")
    except ImportError as error:
        raise UserError('reading WFDB records needs wfdb: pip install "hsjax[ecg]"') from error
