"""PhysioNet/CinC Challenge 2016: heart sounds at 2 kHz from six databases, normal or abnormal.

Liu et al., An open access database for the evaluation of heart sound algorithms, Physiol. Meas. 37:2181, 2016.
Official layout: `physionet2016/training-{a..f}/` with `REFERENCE.csv` (record, -1 normal or 1 abnormal) and one WAV per
record. The distribution does not say whose heart a record is; `physionet2016/records_metadata.csv` beside the folders
may: its columns `record`, `class`, `subject` and `group` are used, and `gender`, `age` and `site` if it has them.
Hand-corrected heart states (`annotations/hand_corrected/`, see `state_annotations`) are read where they are.
"""

import collections
import functools
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

from hsjax.data import audio, csv_table, quarantine
from hsjax.data.readers import state_annotations
from hsjax.data.readers.assemble import printable
from hsjax.types import Dataset, Finding, Recording, UserError

NAME: str = "physionet2016"
SOURCE: str = "https://physionet.org/content/challenge-2016/1.0.0/"
LICENCE: str = "open access, see its page"
CITATION: str = "Liu et al. 2016, Physiol. Meas. 37(12):2181-2213"

CLASSES = ("normal", "abnormal")
SUBSETS = tuple(f"training-{letter}" for letter in "abcdef")
SAMPLE_RATE = 2000
"""Hz, of every record."""

_REFERENCE = "REFERENCE.csv"
_METADATA = "records_metadata.csv"
_METADATA_COLUMNS = ("record", "class", "subject", "group")
_CIRCUMSTANCES = {"site": "site", "sex": "gender", "age": "age"}  # name in `Recording.metadata` → column
_GROUPING = (
    f"Groups are the column group of {_METADATA}, which is not part of the official package: subjects, but in "
    "training-a prefixes of the recordings' first names and in training-e blocks of neighbouring raw recordings."
)
_LABELS = {"-1": "normal", "1": "abnormal"}
_NO_FILE = quarantine.Inspection(0, 0, f"missing: listed in {_REFERENCE}, but there is no file")


def dataset(root: pathlib.Path, cache_dir: pathlib.Path | None = None) -> Dataset:
    """Reads labels, groups and the content of every file once.

    Args:
      root: the folder that holds `physionet2016/`.
      cache_dir: where to keep what the files' content was found to be, see `quarantine.inspect_all`.

    Returns:
      The usable recordings; all that is listed or present beside them is quarantined with a reason.

    Raises:
      UserError: a folder or REFERENCE.csv of the distribution is missing.
    """
    folder = root / NAME
    _require_layout(folder)
    metadata = _read_metadata(folder / _METADATA)
    recordings, quarantined, noted = [], [], []
    for subset in SUBSETS:
        labels = _read_reference(folder / subset / _REFERENCE)
        files = {path.stem: path for path in (folder / subset).glob("*.wav")}
        inspections = quarantine.inspect_all(files.values(), cache_dir)
        for record in labels.keys() | files.keys():
            rows = metadata.get(record, [])
            inspection = inspections[files[record]] if record in files else _NO_FILE
            reason = _label_fault(record, subset, labels.get(record, set()), rows) or _file_fault(inspection)
            finding = functools.partial(Finding, printable(record), printable(f"{NAME}/{subset}/{record}.wav"))
            if reason is not None:
                quarantined.append(finding(reason))
                continue
            if inspection.note is not None:
                noted.append(finding(inspection.note))
            (label,) = labels[record]
            recordings.append(_recording(folder, subset, files[record], _LABELS[label], inspection, rows))
    return Dataset(
        name=NAME,
        classes=CLASSES,
        positive="abnormal",
        synthetic=False,
        recordings=tuple(sorted(recordings, key=lambda recording: recording.id)),
        quarantined=tuple(sorted(quarantined, key=lambda finding: finding.path)),
        noted=tuple(sorted(noted, key=lambda finding: finding.path)),
        grouping=_GROUPING if any(recording.group for recording in recordings) else "",
    )


def _recording(
    folder: pathlib.Path,
    subset: str,
    path: pathlib.Path,
    label: str,
    inspection: quarantine.Inspection,
    rows: list[Mapping[str, str]],
) -> Recording:
    row = rows[0] if rows else {}
    states = state_annotations.path(folder, subset, path.stem)
    return Recording(
        id=path.stem,
        label=label,
        subset=subset,
        subject=row.get("subject") or None,
        group=row.get("group") or None,
        sample_rate=SAMPLE_RATE,
        num_samples=inspection.num_samples,
        path=path,
        read=functools.partial(_read_samples, path),
        annotation=functools.partial(state_annotations.read, states, inspection.num_samples)
        if states.is_file()
        else None,
        metadata={name: row[column] for name, column in _CIRCUMSTANCES.items() if row.get(column)},
        digest=inspection.digest,
    )


def _read_samples(path: pathlib.Path) -> Float32[np.ndarray, " time"]:
    return audio.decode(path)[0]


def _require_layout(folder: pathlib.Path) -> None:
    if not folder.is_dir():
        raise UserError(
            f"{folder} does not exist: set --config.data.root or HSJAX_DATA to the folder that holds {NAME}/, "
            f"which is to be had from {SOURCE}"
        )
    missing = [subset for subset in SUBSETS if not (folder / subset / _REFERENCE).is_file()]
    if missing:
        raise UserError(
            f"{folder} lacks {', '.join(f'{subset}/{_REFERENCE}' for subset in missing)}: "
            f"complete it from {SOURCE}, or set --config.data.root or HSJAX_DATA to a complete copy"
        )


def _read_reference(path: pathlib.Path) -> dict[str, set[str]]:
    """All labels, as written, that a REFERENCE.csv gives each record."""
    labels = collections.defaultdict(set)
    for record, *fields in csv_table.rows(path, mend=f"restore it from {SOURCE}"):
        if record:
            labels[record].add(",".join(fields))
    return dict(labels)


def _read_metadata(path: pathlib.Path) -> Mapping[str, list[Mapping[str, str]]]:
    """The rows of each record; none at all where the file is missing, which only protocols of groups mind."""
    rows = collections.defaultdict(list)
    if path.is_file():
        for row in csv_table.read(path, _METADATA_COLUMNS, mend="mend the file or remove it").values():
            rows[row["record"]].append(row)
    return rows


def _label_fault(record: str, subset: str, labels: set[str], rows: list[Mapping[str, str]]) -> str | None:
    """Why the tables leave it open what a record is."""
    if not labels:
        return f"no label: not listed in {_REFERENCE}"
    if record[0] != subset[-1]:
        return f"not a record of {subset}, whose names begin with {subset[-1]}"
    if len(labels) > 1:
        return f"contradictory labels in {_REFERENCE}: {printable(' and '.join(sorted(labels)))}"
    label = min(labels)
    if label not in _LABELS:
        return f"no label: {_REFERENCE} says {printable(label)!r}, neither -1 (normal) nor 1 (abnormal)"
    classes = {row["class"] for row in rows} - {""}
    if not classes <= labels:
        said = printable(" and ".join(sorted(classes)))
        return f"contradictory labels: {label} in {_REFERENCE}, {said} in {_METADATA}"
    if len({(row["subject"], row["group"]) for row in rows}) > 1:
        return f"{_METADATA} gives it more than one subject or group"
    return None


def _file_fault(inspection: quarantine.Inspection) -> str | None:
    """Why a record's file cannot be used."""
    if inspection.reason is None and inspection.sample_rate != SAMPLE_RATE:
        return f"wrong sample rate: {inspection.sample_rate} Hz, not {SAMPLE_RATE} Hz"
    return inspection.reason
