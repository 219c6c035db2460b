"""PASCAL CHSC 2011: heart sounds from telephones (set A, 44.1 kHz) and from a hospital's stethoscope (set B, 4 kHz).

Bentley, Nordehn, Coimbra & Mannor, The PASCAL Classifying Heart Sounds Challenge 2011. Two layouts are in circulation,
and both are read. The tables `set_a.csv` and `set_b.csv` beside the folders `set_a` and `set_b`, where names in the
tables differ from those of the files: `set_b/Btraining_murmur_noisymurmur_162_1307101835989_D.wav` is the file
`murmur_noisymurmur_162_1307101835989_D.wav`, `set_a/__201101051104.wav` is `Aunlabelledtest__201101051104.wav`. And the
challenge's own archives without tables, where the folder is the label: `Atraining_murmur/201108222221.wav`,
`Training B Normal/Btraining_noisynormal/110_1305655332337_A.wav`. What all names share is a label, maybe noisy, and a
number: year to minute in set A; patient, milliseconds and part in set B. One number can stand under two labels.
"""

import collections
import enum
import functools
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hsjax.config import choice
from hsjax.data import csv_table
from hsjax.data.readers import listing
from hsjax.data.readers.assemble import Described, assemble
from hsjax.types import Dataset, UserError

NAME: str = "pascal"
SOURCE: str = "http://www.peterjbentley.com/heartchallenge/"
LICENCE: str = "none stated"
CITATION: str = "Bentley et al. 2011, The PASCAL Classifying Heart Sounds Challenge"


class Labels(enum.StrEnum):
    """Which classes are told apart.

    Attributes:
      FOUR: normal, murmur, artifact, and extra: an extra heart sound (set A) or an extrasystole (set B).
      PUBLISHED: as the challenge has them, extrahls and extrastole apart.
    """

    FOUR = "four"
    PUBLISHED = "published"


class Set(enum.StrEnum):
    """The two parts of the challenge."""

    A = "a"
    B = "b"


SAMPLE_RATES = {Set.A: 44100, Set.B: 4000}
"""Hz, of every file of a set."""

_PUBLISHED = ("normal", "murmur", "extrahls", "artifact", "extrastole")
_FOUR = ("normal", "murmur", "extra", "artifact")
_OF_FOUR = {"extrahls": "extra", "extrastole": "extra"}
_OF_SET = {Set.A: ("normal", "murmur", "extrahls", "artifact"), Set.B: ("normal", "murmur", "extrastole")}
_SPELLINGS = {"extrahs": "extrahls", "extrasystole": "extrastole"}  # names of the challenge's archives
_UNLABELLED = "unlabelledtest"
# Groups that are one source, as their sounds show: murmurs of 22 August correlate by 0.7 to 0.92 with recordings of 1
# August (which are labelled normal), four of patient 146 by 0.97 to 1 with those of 103; 101 was recorded 18 minutes
# before 103.
_ONE_SOURCE = {"p-a-20110822": "p-a-20110801", "p-b-103": "p-b-101", "p-b-146": "p-b-101"}
_NUMBERS = {
    Set.A: re.compile(r"(?<!\d)\d{12}$", re.ASCII),
    Set.B: re.compile(r"(?<!\d)\d{1,4}_\d{13}(_[A-Za-z]\d{0,2})?(_\d{1,2})?$", re.ASCII),
}
_COLUMNS = ("fname", "label", "sublabel")
_DEPTH = 4  # folders to enter: that of an unpacked archive, that of a label twice, that of a sublabel


class _Name(NamedTuple):
    """What a name says.

    Attributes:
      label: as published, several joined by "and"; empty where it says that there is none, None where it says nothing.
      noisy: has a sublabel: `noisynormal` is a noisy `normal`.
      number: tells recordings of one label apart.
    """

    label: str | None
    noisy: bool
    number: str


def dataset(
    root: pathlib.Path,
    cache_dir: pathlib.Path | None = None,
    *,
    labels: str = Labels.FOUR,
    sets: Sequence[str] = tuple(Set),
) -> Dataset:
    """Reads labels from the tables where they are, from folders and names where not.

    A table's row and a file belong together if label, sublabel and number agree; what is left over on either side is
    quarantined. `metadata["sublabel"]` says `noisy` where the distribution does, without the class that it repeats.

    Args:
      root: the folder that holds `pascal/`.
      cache_dir: where to keep what the files' content was found to be, see `quarantine.inspect_all`.
      labels: which classes, see `Labels`.
      sets: which parts, see `Set`; their classes are the dataset's.

    Raises:
      UserError: the folder or all of a set is missing, or a table is damaged.
    """
    folder = root / NAME
    if not folder.is_dir():
        raise UserError(
            f"{folder} does not exist: set --config.data.root or HSJAX_DATA to the folder that holds {NAME}/, "
            f"which is to be had from {SOURCE}"
        )
    if not sets:
        raise UserError("no set of pascal is chosen: set --config.data.pascal.sets to a, b, or both")
    labels = choice(Labels, labels, "data.pascal.labels")
    parts = tuple(dict.fromkeys(choice(Set, part, "data.pascal.sets") for part in sets))
    present = {label for part in parts for label in _OF_SET[part]}
    classes = tuple(label for label in _PUBLISHED if label in present)
    if labels is Labels.FOUR:
        present = {_OF_FOUR.get(label, label) for label in present}
        classes = tuple(label for label in _FOUR if label in present)
    sounds = listing.files(folder, {".wav"}, _DEPTH)
    tables = listing.files(folder, {".csv"}, _DEPTH)
    described = [
        Described(path.stem, path, "", "no label: its name holds no number of set A or B")
        for path in sounds
        if not any(_parse(path.relative_to(folder), part) for part in Set)
    ]
    for part in parts:
        described += _describe(part, sounds, tables, folder, labels)
    grouping = {
        Set.A: "set_a: the day of recording, people are unknown, two days being one source",
        Set.B: "set_b: the patient's number, three being one source",
    }
    header = Dataset(NAME, classes, None, False, (), grouping="; ".join(grouping[part] for part in parts))
    return assemble(described, root, cache_dir, dataset=header)


def _describe(
    part: Set, sounds: Sequence[pathlib.Path], tables: Sequence[pathlib.Path], folder: pathlib.Path, labels: Labels
) -> Iterator[Described]:
    """All that a set's table lists and all files that are of the set by their number."""
    named = [(path, name) for path in sounds if (name := _parse(path.relative_to(folder), part))]
    tables = [path for path in tables if path.name.lower() == f"set_{part}.csv"]
    if not named and not tables:
        raise UserError(
            f"{folder} holds nothing of set {part}: complete it from {SOURCE}, or leave {part} out of "
            "--config.data.pascal.sets"
        )
    describe = functools.partial(_described, part=part, labels=labels)
    if not tables:
        for path, name in named:
            yield describe(name, path, None)
        return
    table = min(tables, key=lambda path: len(path.parts))
    listed = _listed(table, part)
    by_number = collections.defaultdict(list)
    for row in listed:
        by_number[row.number].append(row)
    taken = set()
    for path, name in named:
        # A name of nothing but a number is that of the one row that has it.
        rows = by_number.get(name.number, []) if name.label is None else []
        key = rows[0] if len(rows) == 1 else name
        fault = listed.get(key)
        if len(rows) > 1:
            fault = f"no label: {table.name} lists its number more than once"
        elif key.label and key not in listed:
            fault = f"no label: not listed in {table.name} as {key.label}"
        taken.add(key)
        yield describe(key, path, fault)
    for key, fault in listed.items():
        if key not in taken:
            where = table.parent / f"set_{part}" / f"{_identity(key, part)}.wav"
            yield describe(key, where, fault or f"missing: listed in {table.name}, but there is no file")


def _described(key: _Name, path: pathlib.Path, fault: str | None, *, part: Set, labels: Labels):
    label = key.label or ""
    if fault is None and label and label not in _OF_SET[part]:
        fault = f"no label: {label!r} is no class of set {part}"
    subject = key.number.partition("_")[0] if part is Set.B else None
    group = f"p-a-{key.number[:8]}" if subject is None else f"p-b-{subject}"
    return Described(
        id=_identity(key, part),
        path=path,
        label=_OF_FOUR.get(label, label) if labels is Labels.FOUR else label,
        fault=fault,
        subset=f"set_{part}",
        subject=subject,
        group=_ONE_SOURCE.get(group, group),
        metadata={"sublabel": "noisy"} if key.noisy else {},
        sample_rate=SAMPLE_RATES[part],
    )


def _identity(key: _Name, part: Set) -> str:
    """The name of the file in the layout with tables, whichever the layout."""
    if not key.label:
        return f"{part.upper()}{_UNLABELLED}__{key.number}"
    return f"{key.label}_{f'noisy{key.label}' if key.noisy else ''}_{key.number}"


def _listed(table: pathlib.Path, part: Set) -> dict[_Name, str | None]:
    """The rows of a table by what they stand for, with what is wrong with each."""
    rows: dict[_Name, str | None] = {}
    by_name = collections.defaultdict(set)
    for row in csv_table.read(table, _COLUMNS, mend=f"restore it from {SOURCE}").values():
        label = row["label"].lower()
        label = _SPELLINGS.get(label, label)
        name = pathlib.PurePosixPath(row["fname"].replace("\\", "/"))
        said = _parse(name, part)
        key = _Name(label, bool(row["sublabel"]), said.number if said else row["fname"])
        rows[key] = rows.get(key)
        if said is None:
            rows[key] = f"its name in {table.name} holds no number of set {part}"
        elif said.label not in (None, label):
            rows[key] = f"contradictory labels in {table.name}: {label or 'none'} for a file of that name"
        elif label and row["sublabel"].lower() not in ("", f"noisy{label}"):
            rows[key] = f"{table.name} gives it the sublabel {row['sublabel']!r}"
        by_name[name.name].add(key)
    for keys in by_name.values():
        if len(keys) > 1:
            labels = " and ".join(sorted({key.label or "none" for key in keys}))
            rows |= dict.fromkeys(keys, f"contradictory labels in {table.name}: {labels}"[:300])
    return rows


def _parse(path: pathlib.PurePath, part: Set) -> _Name | None:
    """What a name and the folders around it, up to `pascal/`, say; None if it has no number of the set."""
    number = _NUMBERS[part].search(path.stem)
    if number is None:
        return None
    around = "/".join((*path.parts[:-1], path.stem[: number.start()]))
    words = [_SPELLINGS.get(word, word) for word in re.findall(r"[a-z]+", around.lower())]
    said = {word.removeprefix("noisy") for word in words} & set(_PUBLISHED)
    noisy = any(f"noisy{label}" in words for label in said)
    if said:
        return _Name(" and ".join(sorted(said)), noisy, number[0])
    unlabelled = any(word.endswith(_UNLABELLED) for word in words) or path.stem.startswith("__")
    return _Name("" if unlabelled else None, False, number[0])
