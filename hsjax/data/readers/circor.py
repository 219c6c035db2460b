"""CirCor DigiScope: heart sounds of children and pregnant women at 4 kHz, several sites of the chest per patient.

Oliveira et al., The CirCor DigiScope dataset: from murmur detection to murmur classification, IEEE J. Biomed. Health
Inform. 26(6):2524, 2022. Official layout: `training_data.csv`, one row per patient, and `training_data/ID_SITE.wav`
(`ID_SITE_1.wav`, `ID_SITE_2.wav` where a site was recorded more than once) with its heart states in `ID_SITE.tsv`. The
`.hea` and `.txt` files beside them repeat what WAV and table say, and are not read.
"""

import collections
import enum
import functools
import math
import pathlib
import re
import warnings
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Int8

from hsjax.config import choice
from hsjax.data import csv_table
from hsjax.data.readers import listing
from hsjax.data.readers.assemble import Described, assemble, printable
from hsjax.types import Dataset, HeartState, UserError

NAME: str = "circor"
FOLDER: str = "the-circor-digiscope-phonocardiogram-dataset-1.0.3"
SOURCE: str = "https://physionet.org/content/circor-heart-sound/1.0.3/"
LICENCE: str = "Open Data Commons Attribution License 1.0"
CITATION: str = "Oliveira et al. 2022, IEEE J. Biomed. Health Inform. 26(6):2524-2535"

SAMPLE_RATE = 4000
"""Hz, of every file."""

SITES = ("AV", "PV", "TV", "MV", "Phc")
"""Over the aortic, pulmonary, tricuspid and mitral valve, and elsewhere."""


class Label(enum.StrEnum):
    """What is to be told from a recording; both are known per patient.

    Attributes:
      MURMUR: Absent, Present, or Unknown where the recordings did not allow to say.
      OUTCOME: Normal or Abnormal, by all that the clinic knew.
    """

    MURMUR = "murmur"
    OUTCOME = "outcome"


_TABLE = "training_data.csv"
_RECORDINGS = "training_data"
_PATIENT, _SITES, _OTHER_ID = "Patient ID", "Recording locations:", "Additional ID"
_LABELS = {
    Label.MURMUR: ("Murmur", ("Absent", "Present", "Unknown")),
    Label.OUTCOME: ("Outcome", ("Normal", "Abnormal")),
}
# Neither the other label nor any detail of the murmur: those are the diagnosis.
_CIRCUMSTANCES = ("Age", "Sex", "Height", "Weight", "Pregnancy status", "Campaign")
_FILE = re.compile(rf"(\d{{1,9}})_({'|'.join(SITES)})(?:_\d{{1,3}})?", re.ASCII)
_MAX_STATES_BYTES = 2**22  # of a .tsv; those of the longest recordings have some 15 kB
_TOLERATED = 1.0  # s by which the last state may outlast the sound


def dataset(root: pathlib.Path, cache_dir: pathlib.Path | None = None, *, label: str = Label.MURMUR) -> Dataset:
    """Reads all recordings of all patients.

    Args:
      root: the folder that holds the distribution's.
      cache_dir: where to keep what the files' content was found to be, see `quarantine.inspect_all`.
      label: which of the two labels, see `Label`.

    Raises:
      UserError: the folder of the distribution or its table is missing, or the table is damaged.
    """
    folder = root / FOLDER
    if not (folder / _TABLE).is_file():
        raise UserError(
            f"{folder / _TABLE} does not exist: set --config.data.root or HSJAX_DATA to the folder that holds "
            f"{FOLDER}/, which is to be had from {SOURCE}"
        )
    label = choice(Label, label, "data.circor.label")
    _, classes = _LABELS[label]
    header = Dataset(
        NAME,
        classes,
        "Abnormal" if label is Label.OUTCOME else None,
        False,
        (),
        grouping=f"patients; those who took part twice ({_OTHER_ID} of {_TABLE}) are one",
    )
    return assemble(_describe(folder, label), root, cache_dir, dataset=header)


def _describe(folder: pathlib.Path, label: Label) -> Iterator[Described]:
    column, classes = _LABELS[label]
    columns = (_PATIENT, _SITES, column, _OTHER_ID, *_CIRCUMSTANCES)
    rows = collections.defaultdict(list)
    for row in csv_table.read(folder / _TABLE, columns, mend=f"restore it from {SOURCE}").values():
        rows[row[_PATIENT]].append({name: "" if value.lower() == "nan" else value for name, value in row.items()})
    people = _people([row for same in rows.values() for row in same])
    recorded = collections.Counter()
    for path in listing.files(folder / _RECORDINGS, {".wav"}, 0):
        name = _FILE.fullmatch(path.stem)
        patient, site = name.groups() if name else ("", "")
        recorded[patient, site] += 1
        same = rows.get(patient, [])
        person = people.get(patient)
        states = path.with_suffix(".tsv")
        yield Described(
            id=path.stem,
            path=path,
            label=same[0][column] if same else "",
            fault=_fault(patient, same, column, classes),
            note=f"{_TABLE} does not list {site} among the patient's sites"
            if same and site not in same[0][_SITES].split("+")
            else None,
            subset=same[0]["Campaign"] if same else "",
            subject=person,
            group=person,
            metadata={"site": site} | (_circumstances(same[0]) if same else {}),
            sample_rate=SAMPLE_RATE,
            annotation=functools.partial(read_states, states) if states.is_file() else None,
        )
    for patient, same in rows.items():
        listed = same[0][_SITES].split("+")
        for site in SITES:
            if recorded[patient, site] < listed.count(site):
                identity = f"{patient}_{site}"
                fault = f"missing: {listed.count(site)} listed in {_TABLE}, but {recorded[patient, site]} there"
                yield Described(identity, folder / _RECORDINGS / f"{identity}.wav", "", fault)
        if not set(SITES) & set(listed) and not any(recorded[patient, site] for site in SITES):
            fault = f"missing: {_TABLE} lists the patient, but there is no recording"
            yield Described(patient, folder / _TABLE, "", fault)


def _fault(patient: str, rows: list[Mapping[str, str]], column: str, classes: tuple[str, ...]) -> str | None:
    """Why the table leaves it open what a recording is."""
    if not patient:
        return f"no label: its name is not that of a patient and one of {', '.join(SITES)}"
    if not rows:
        return f"no label: patient {patient} is not listed in {_TABLE}"
    labels = {row[column] for row in rows}
    if len(labels) > 1:
        return f"contradictory labels in {_TABLE}: {' and '.join(sorted(labels))}"
    if not labels <= set(classes):
        return f"no label: {_TABLE} says {min(labels)!r}, which is none of {', '.join(classes)}"
    return None


def _circumstances(row: Mapping[str, str]) -> dict[str, str]:
    return {name.lower().replace(" ", "_"): row[name] for name in _CIRCUMSTANCES}


def _people(rows: list[Mapping[str, str]]) -> dict[str, str]:
    """One id per person for every patient: `Additional ID` is the one that the same person had in another campaign."""
    known = {row[_PATIENT] for row in rows}
    parent: dict[str, str] = {}

    def person(one: str) -> str:
        while parent.setdefault(one, one) != one:
            parent[one] = parent[parent[one]]  # halves the way for the next call
            one = parent[one]
        return one

    for row in rows:
        one, other = person(row[_PATIENT]), person(re.sub(r"\.0+$", "", row[_OTHER_ID]) or row[_PATIENT])
        # A patient's id wins over one that the table does not have, the smaller over the larger.
        first, second = sorted((one, other), key=lambda name: (name not in known, len(name), name))
        parent[second] = first
    return {patient: person(patient) for patient in known}


def read_states(path: pathlib.Path, num_samples: int) -> Int8[np.ndarray, " {num_samples}"]:
    """The true `HeartState` of every sample of a recording.

    UNKNOWN stands where the file says 0 or nothing. Where two states overlap, as some do by half a millisecond, the
    later one holds. A file that is no list of states of this recording gives UNKNOWN throughout and a warning that
    names it: such a recording is neither trained on nor scored.

    Args:
      path: lines of begin and end in seconds and state, separated by tabs.
      num_samples: length of the recording at 4 kHz.
    """
    states = np.full(num_samples, HeartState.UNKNOWN, np.int8)
    try:
        intervals = list(_intervals(path, num_samples / SAMPLE_RATE))
    except (OSError, ValueError) as error:
        reason = printable(str(error))
        warnings.warn(f"{path} is no list of heart states ({reason}): its states are unknown", stacklevel=2)
        return states
    for begin, end, state in intervals:
        states[round(begin * SAMPLE_RATE) : round(end * SAMPLE_RATE)] = state
    return states


def _intervals(path: pathlib.Path, seconds: float) -> Iterator[tuple[float, float, HeartState]]:
    if path.stat().st_size > _MAX_STATES_BYTES:
        raise ValueError("it is too large")
    before = 0.0
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        values = [float(value) for value in line.split("\t")]
        if len(values) != 3 or not all(map(math.isfinite, values)) or values[2] not in list(HeartState):
            raise ValueError(f"line {number} is not begin, end and a state from 0 to 4")
        begin, end, state = values
        if not before <= begin < end <= seconds + _TOLERATED:
            raise ValueError(f"line {number} does not follow on the one before it within the recording")
        yield begin, end, HeartState(int(state))
        before = begin
