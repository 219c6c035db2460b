"""MIT-BIH Arrhythmia Database: half-hour ECG records of two leads at 360 Hz, every beat annotated.

Moody and Mark, The impact of the MIT-BIH Arrhythmia Database, IEEE Eng. Med. Biol. 20(3):45-50, 2001. Official layout:
`mit-bih-arrhythmia-database-1.0.0/` with `<record>.hea`, `.dat` and `.atr`. Read through wfdb, the extra `ecg`, after
`wfdb_header` has found that the header tells the truth about the samples: wfdb allocates what it claims.
"""

import dataclasses
import functools
import hashlib
import importlib
import pathlib
import re
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int16, Int64

from hsjax import types
from hsjax.data import quarantine
from hsjax.data.readers import beat_labels, wfdb_header
from hsjax.data.readers.beat_labels import BEAT_SYMBOLS, Labels
from hsjax.data.readers.wfdb_header import UnreadableRecord
from hsjax.types import Dataset, Finding, Recording, UserError

NAME: str = "mitdb"
FOLDER: str = "mit-bih-arrhythmia-database-1.0.0"
SOURCE: str = "https://physionet.org/content/mitdb/1.0.0/"
LICENCE: str = "Open Data Commons Attribution License 1.0"
CITATION: str = "Moody & Mark 2001, IEEE Eng. Med. Biol. Mag. 20(3):45-50"

SAMPLE_RATE = 360
"""Hz, of every record."""

MAX_ANNOTATION_BYTES = 2**24
"""Of an `.atr` file; the longest of MIT-BIH has 12 KiB."""

_SUFFIXES = (".hea", ".dat", ".atr")
_RECORDS = "RECORDS"
_ONE_PERSON = {"201": "201", "202": "201"}
_PERSON = re.compile(r"(?P<age>-1|\d{1,3})\s+(?P<sex>[MF])\b")
_GROUPING = "Groups are people: every record is of another person, except 201 and 202, which are of one."


class Lead(NamedTuple):
    """One channel of a record.

    Attributes:
      name: of the electrode position, as the header says: MLII, V1, V5, ...
      samples: millivolts, (time,); NaN where the record has none.
      sample_rate: Hz.
    """

    name: str
    samples: Float[np.ndarray, " time"]
    sample_rate: int


@dataclasses.dataclass(frozen=True)
class Annotation:
    """The annotation of a record.

    Attributes:
      index: sample of each beat, ascending.
      symbol: its annotation code, one of `BEAT_SYMBOLS`.
      flutter: first and last sample of each stretch of ventricular flutter, `[` to `]`, where no beats are annotated.
    """

    index: Int64[np.ndarray, " beats"]
    symbol: np.ndarray
    flutter: Int64[np.ndarray, "episodes 2"]


def dataset(
    root: pathlib.Path,
    cache_dir: pathlib.Path | None = None,
    *,
    lead: Sequence[str] = ("MLII",),
    labels: Labels | str = Labels.AAMI_NSV,
) -> Dataset:
    """Describes every record, after its samples and beats have been read once.

    A recording's samples are millivolts; its beats carry the labels.

    Args:
      root: the folder that holds the distribution's.
      cache_dir: where to keep what the files' content was found to be, see `quarantine.inspect_each`.
      lead: as `lead`; records that have none of these are used with their first lead and noted.
      labels: how beats are labelled.

    Returns:
      The usable records; all others that are listed in RECORDS or present are quarantined with a reason.

    Raises:
      UserError: the folder is missing or holds no record, `labels` is unknown, or wfdb is not installed.
    """
    if labels not in list(Labels):
        raise UserError(f"there are no beat labels {labels!r}: set --config.data.mitdb.labels to {', '.join(Labels)}")
    leads = (lead,) if isinstance(lead, str) else tuple(lead)
    records(root)  # or there is nothing to read
    _wfdb()
    folder = root / FOLDER
    names = sorted({path.stem for suffix in _SUFFIXES for path in folder.glob(f"*{suffix}")} | _listed(folder))
    keys = {name: _key(folder, name, leads) for name in names}
    inspections = quarantine.inspect_each(keys, functools.partial(_inspect, root, leads), cache_dir)
    recordings, quarantined, noted = [], [], []
    for name, inspection in inspections.items():
        path = f"{FOLDER}/{name}.dat"
        if inspection.reason is not None:
            quarantined.append(Finding(name, path, inspection.reason))
            continue
        if inspection.note is not None:
            noted.append(Finding(name, path, inspection.note))
        recordings.append(_recording(root, name, leads, Labels(labels), inspection))
    return Dataset(
        name=NAME,
        classes=beat_labels.CLASSES[Labels(labels)],
        positive=None,
        synthetic=False,
        recordings=tuple(sorted(recordings, key=lambda recording: recording.id)),
        quarantined=tuple(sorted(quarantined, key=lambda finding: finding.path)),
        noted=tuple(sorted(noted, key=lambda finding: finding.path)),
        grouping=_GROUPING,
    )


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
    header, samples = digital(root, record)
    channel = _channel(header, names)
    return Lead(header.signals[channel].name, _millivolts(header, samples, channel), int(header.sample_rate))


def beats(root: pathlib.Path, record: str) -> Annotation:
    """Reads where the beats are and what they are.

    Args:
      root: the folder that holds the distribution's.
      record: one of `records`.

    Raises:
      UserError: wfdb is not installed or the record cannot be read.
    """
    path = _path(root, record).with_suffix(".atr")
    if path.stat().st_size > MAX_ANNOTATION_BYTES:
        raise UnreadableRecord(path, f"its annotation has more than {MAX_ANNOTATION_BYTES} bytes")
    wfdb = _wfdb()
    try:
        annotation = wfdb.rdann(str(path.with_suffix("")), "atr")
        index = np.asarray(annotation.sample, np.int64)
        symbol = np.asarray(annotation.symbol, dtype="<U1")
    except Exception as error:  # of many kinds: wfdb lets a damaged file raise what its parser stumbles over
        raise UnreadableRecord(path, f"cannot be read as an annotation ({type(error).__name__})") from error
    if index.shape != symbol.shape or (np.diff(index) < 0).any() or (index < 0).any():
        raise UnreadableRecord(path, "its annotation does not go forward in time")
    true_beat = np.isin(symbol, sorted(BEAT_SYMBOLS))
    begins, ends = index[symbol == "["], index[symbol == "]"]
    # An episode that the end of the record cuts has no closing mark.
    ends = np.append(ends, np.iinfo(np.int64).max)[np.searchsorted(ends, begins)]
    return Annotation(index[true_beat], symbol[true_beat], np.stack([begins, ends], axis=1))


def digital(root: pathlib.Path, record: str) -> tuple[wfdb_header.Header, Int16[np.ndarray, "time leads"]]:
    """Reads all leads as the converter gave them.

    Args:
      root: the folder that holds the distribution's.
      record: one of `records`.

    Raises:
      UserError: wfdb is not installed, the record cannot be read, or a lead does not have its header's checksum.
    """
    path = _path(root, record)
    header = wfdb_header.read(path)
    wfdb = _wfdb()
    try:
        samples = np.asarray(wfdb.rdrecord(str(path.with_suffix("")), physical=False).d_signal)
    except Exception as error:  # of many kinds, as in `beats`
        raise UnreadableRecord(path, f"cannot be read as a record ({type(error).__name__})") from error
    if samples.shape != (header.num_samples, len(header.signals)):
        raise UnreadableRecord(path, f"holds {samples.shape} samples and leads, which its header does not claim")
    for signal, total in zip(header.signals, samples.sum(axis=0, dtype=np.int64).tolist(), strict=True):
        if total % 2**16 != signal.checksum:
            raise UnreadableRecord(
                path.with_suffix(".dat"), f"damaged: {signal.name} has another checksum in its header"
            )
    return header, samples.astype(np.int16)


def _inspect(root: pathlib.Path, leads: Sequence[str], record: str) -> quarantine.Inspection:
    """Reads a record to its end and judges what it holds."""
    try:
        header, samples = digital(root, record)
        annotated = beats(root, record)
    except UnreadableRecord as error:
        return quarantine.Inspection(0, 0, error.reason)
    channel = _channel(header, leads)
    values = _millivolts(header, samples, channel).astype(np.float32)
    reason = _fault(header, values, annotated)
    name = header.signals[channel].name
    return quarantine.Inspection(
        # A rate that is no whole number is none of this database, and is named in the reason.
        int(header.sample_rate),
        header.num_samples,
        reason,
        hashlib.sha256(np.ascontiguousarray(values, "<f4").data).hexdigest(),
        None if name in leads else f"no lead {' or '.join(leads)}: {name} is read",
    )


def _fault(header: wfdb_header.Header, values: Float32[np.ndarray, " time"], annotated: Annotation) -> str | None:
    """Why the content of a record, though readable, cannot be used."""
    if header.sample_rate != SAMPLE_RATE:
        return f"wrong sample rate: {header.sample_rate:g} Hz, not {SAMPLE_RATE} Hz"
    if not np.isfinite(values).all():
        return "holds samples that are marked as missing"
    if values.min() == values.max():
        return f"constant: every sample is {values[0]:g} mV"
    if not len(annotated.index):
        return "no label: its annotation has no beats"
    if annotated.index[-1] >= header.num_samples:
        return f"its annotation has a beat at sample {annotated.index[-1]}, behind the record's end"
    if (np.diff(annotated.index) == 0).any():
        return "its annotation has two beats at one sample"
    return None


def _recording(
    root: pathlib.Path, record: str, leads: Sequence[str], labels: Labels, inspection: quarantine.Inspection
) -> Recording:
    path = root / FOLDER / f"{record}.dat"
    person = _ONE_PERSON.get(record, record)
    header = wfdb_header.read(path.with_suffix(".hea"))
    return Recording(
        id=record,
        label="",
        subset="",
        subject=person,
        group=person,
        sample_rate=SAMPLE_RATE,
        num_samples=inspection.num_samples,
        path=path,
        read=functools.partial(_read_samples, root, record, leads),
        beats=functools.partial(_read_beats, root, record, labels),
        metadata={"lead": header.signals[_channel(header, leads)].name} | _circumstances(header),
        digest=inspection.digest,
    )


def _read_samples(root: pathlib.Path, record: str, leads: Sequence[str]) -> Float32[np.ndarray, " time"]:
    return lead(root, record, leads).samples.astype(np.float32)


def _read_beats(root: pathlib.Path, record: str, labels: Labels) -> types.Beats:
    annotated = beats(root, record)
    return types.Beats(annotated.index, annotated.symbol, beat_labels.label(annotated.symbol, labels))


def _circumstances(header: wfdb_header.Header) -> dict[str, str]:
    """Age and sex, which the first comment begins with; drugs and findings, which follow, say what is wrong."""
    person = _PERSON.match(header.comments[0]) if header.comments else None
    known = person.groupdict() if person is not None else {}
    return {name: value for name, value in known.items() if value != "-1"}


def _channel(header: wfdb_header.Header, names: Sequence[str]) -> int:
    available = [signal.name for signal in header.signals]
    return next((available.index(name) for name in names if name in available), 0)


def _millivolts(
    header: wfdb_header.Header, samples: Int16[np.ndarray, "time leads"], channel: int
) -> Float[np.ndarray, " time"]:
    signal = header.signals[channel]
    values = (samples[:, channel].astype(np.float64) - signal.baseline) / signal.gain
    return np.where(samples[:, channel] == header.missing, np.nan, values)


def _listed(folder: pathlib.Path) -> set[str]:
    """The names in RECORDS that a record can have."""
    path = folder / _RECORDS
    try:
        lines = path.read_bytes()[: wfdb_header.MAX_BYTES].decode("ascii", "replace").split() if path.is_file() else []
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): get it again from {SOURCE}") from error
    return {line for line in lines if re.fullmatch(r"[-\w]{1,20}", line, re.ASCII)}


def _key(folder: pathlib.Path, record: str, leads: Sequence[str]) -> str | None:
    keys = [quarantine.file_key(folder / f"{record}{suffix}") for suffix in _SUFFIXES]
    return None if None in keys else "|".join([NAME, *map(str, keys), *leads])


def _path(root: pathlib.Path, record: str) -> pathlib.Path:
    """The header of a record that is whole."""
    for suffix in _SUFFIXES:
        if not (root / FOLDER / f"{record}{suffix}").is_file():
            raise UnreadableRecord(root / FOLDER, f"lacks {record}{suffix}: complete it from {SOURCE}")
    return root / FOLDER / f"{record}.hea"


def _wfdb() -> ModuleType:
    # By name, so that the reader is there without the extra until a record is opened.
    try:
        return importlib.import_module("wfdb")
    except ImportError as error:
        raise UserError('reading WFDB records needs wfdb: pip install "hsjax[ecg]"') from error
