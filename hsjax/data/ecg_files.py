"""One lead of an electrocardiogram from a file: WFDB records and CSV tables, in NumPy alone, for `predict`."""

import csv
import io
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from hsjax.data import audio, csv_table
from hsjax.data.readers import wfdb_samples
from hsjax.types import UnreadableFile

TABLES = (".csv", ".tsv", ".txt")
"""How the names of tables end; all else is a WFDB record."""

MAX_TABLE_BYTES = 2**30
"""About a day of two leads at 360 Hz."""

# Names of a column of times, and how many of its units a second has.
_TIMES = {
    "time": 1, "t": 1, "seconds": 1, "time (s)": 1, "time_s": 1, "time [s]": 1,
    "milliseconds": 1000, "ms": 1000, "time (ms)": 1000, "time_ms": 1000, "time [ms]": 1000,
}  # fmt: skip
_COUNTERS = ("sample #", "sample", "index", "")  # of samples, which is no lead
_UNEVEN = 0.5  # of a step: times that are further from even ones are not those of even samples
_WHOLE = 1e-3  # relative: how far a rate may be from a whole number, which rounded times are


class UnreadableECG(UnreadableFile):
    """No usable samples of a lead can be had from a file."""


class Lead(NamedTuple):
    """One lead of a record.

    Attributes:
      name: as the file has it; empty where a table has no header.
      samples: (time,), any unit, all finite.
      sample_rate: Hz.
    """

    name: str
    samples: Float[np.ndarray, " time"]
    sample_rate: int


def read(path: pathlib.Path, leads: Sequence[str], sample_rate: int | None = None) -> Lead:
    """Reads the first of some leads that a file has.

    A table has one column a lead, separated by commas, semicolons or tabs; the first line names them, or there is one
    column and no header. A column `time` (seconds) or `milliseconds` tells the rate; samples are evenly spaced. A WFDB
    record is given by its `.hea`, its `.dat` or its bare name, has one segment and is of format 16 or 212.

    Args:
      path: the file; `TABLES` says which are tables.
      leads: names, the first one there is read; letter case does not matter.
      sample_rate: Hz, of a table that does not say so.

    Raises:
      UserError: it cannot be read, has none of the leads, lacks samples, or its rate is unknown or no whole number.
    """
    lead = _of_table(path, leads, sample_rate) if path.suffix.lower() in TABLES else _of_record(path, leads)
    if len(lead.samples) == 0:
        raise UnreadableECG(path, "holds no samples")
    missing = int(np.count_nonzero(~np.isfinite(lead.samples)))
    if missing:
        raise UnreadableECG(path, f"{missing} samples of {lead.name or 'its lead'} are missing, NaN or infinite")
    return lead


def _of_record(path: pathlib.Path, leads: Sequence[str]) -> Lead:
    if not path.name:
        raise UnreadableECG(path, "is a folder: name one of its records")
    header_path = path if path.suffix == ".hea" else path.with_name(path.name.removesuffix(".dat") + ".hea")
    try:
        there = header_path.is_file()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise UnreadableECG(path, f"cannot be opened: {error.strerror}") from error
    if not there:
        known = ", ".join(TABLES)
        raise UnreadableECG(path, f"is no ECG: {header_path.name} is not there, and a table's name ends in {known}")
    header, samples = wfdb_samples.digital(header_path)
    channel = _choose(path, [signal.name for signal in header.signals], leads)
    signal = header.signals[channel]
    with np.errstate(over="ignore"):  # a gain near 0 makes them infinite, and `read` refuses what is
        values = (samples[:, channel].astype(np.float64) - signal.baseline) / signal.gain
    values[samples[:, channel] == header.missing] = np.nan
    return Lead(signal.name, values, _whole(path, header.sample_rate))


def _of_table(path: pathlib.Path, leads: Sequence[str], sample_rate: int | None) -> Lead:
    names, columns = _columns(path)
    if sample_rate is not None:
        _whole(path, sample_rate)
    times = next((place for place, name in enumerate(names) if name.casefold() in _TIMES), None)
    if times is not None:
        found = _rate(path, columns[:, times] / _TIMES[names[times].casefold()])
        if sample_rate not in (None, found):
            raise UnreadableECG(path, f"its times are those of {found} Hz, not of {sample_rate} Hz")
        sample_rate = found
    if sample_rate is None:
        raise UnreadableECG(path, "has no column of times (`time`, in seconds): give --sample-rate")
    places = [
        place
        for place, name in enumerate(names)
        if place != times and (name.casefold() not in _COUNTERS or columns.shape[1] == 1)
    ]
    if not any(names) and len(names) == 1:
        return Lead("", columns[:, 0], sample_rate)
    if not any(names):
        raise UnreadableECG(path, f"has {len(names)} columns without names: put those of the leads into the first line")
    chosen = _choose(path, [names[place] for place in places], leads)
    return Lead(names[places[chosen]], columns[:, places[chosen]], sample_rate)


def _choose(path: pathlib.Path, there: Sequence[str], wanted: Sequence[str]) -> int:
    """Which of the leads that are there is wanted first."""
    folded = [name.casefold() for name in there]
    for name in wanted:
        if name.casefold() in folded:
            return folded.index(name.casefold())
    known = ", ".join(there) or "none"
    raise UnreadableECG(path, f"has no lead {' or '.join(wanted)}, its leads are: {known}; choose one with --lead")


def _columns(path: pathlib.Path) -> tuple[list[str], Float64[np.ndarray, "time columns"]]:
    """Names, empty where the first line is one of numbers, and values."""
    text = _text(path)
    first = text.partition("\n")[0].strip()
    delimiter = next((one for one in ("\t", ";", ",") if one in first), ",")
    try:
        fields = [field.strip(" \t'\"") for field in next(csv.reader([first], delimiter=delimiter), [])]
    except csv.Error as error:
        raise UnreadableECG(path, f"is no table: {error}") from error
    if not fields or len(fields) > csv_table.MAX_COLUMNS:
        raise UnreadableECG(path, "is no table of samples: its first line is empty or has too many columns")
    header = not all(map(_number, fields))
    if header and not text.partition("\n")[2].strip():
        return fields, np.zeros((0, len(fields)))
    try:
        values = np.loadtxt(io.StringIO(text), delimiter=delimiter, skiprows=int(header), ndmin=2, comments=None)
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise UnreadableECG(path, f"is no table of numbers below its first line: {reason}") from error
    if values.size and values.shape[1] != len(fields):
        raise UnreadableECG(path, f"its first line has {len(fields)} columns, the others {values.shape[1]}")
    return fields if header else [""] * len(fields), values.reshape(-1, len(fields))


def _text(path: pathlib.Path) -> str:
    try:
        if not path.is_file():
            raise UnreadableECG(path, "is not a file" if path.exists() else "does not exist")
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise UnreadableECG(path, f"has more than {MAX_TABLE_BYTES} bytes: cut it into parts")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UnreadableECG(path, f"cannot be opened: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnreadableECG(path, "is not a text table in UTF-8") from error


def _number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _rate(path: pathlib.Path, seconds: Float[np.ndarray, " time"]) -> int:
    """Hz, of times that must be even."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is no finite time is refused below
        span = float(seconds[-1] - seconds[0]) if len(seconds) > 1 else 0.0
    if not (math.isfinite(span) and span > 0):
        raise UnreadableECG(path, "its times do not go forward")
    even = np.linspace(seconds[0], seconds[-1], len(seconds))
    step = span / (len(seconds) - 1)
    worst = float(np.abs(seconds - even).max())
    if not worst <= _UNEVEN * step:
        raise UnreadableECG(
            path, f"its times are not even: one is {worst:g} s off, and the samples are {step:g} s apart"
        )
    return _whole(path, (len(seconds) - 1) / span)


def _whole(path: pathlib.Path, rate: float | int) -> int:
    if not 0.5 < rate < audio.MAX_RATE:
        raise UnreadableECG(path, f"is said to have a rate of {rate} Hz, which no ECG has")
    whole = round(rate)
    if abs(rate - whole) > _WHOLE * rate:
        raise UnreadableECG(path, f"has a rate of {rate:g} Hz, and only whole numbers are taken: resample it")
    return whole
