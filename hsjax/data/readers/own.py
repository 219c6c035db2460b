"""Your own recordings: a folder with one folder per class, or a table that says which file is what.

A folder: `recordings/normal/*.wav`, `recordings/murmur/*.wav`; folders inside those are looked into as well, and one
called `unlabelled` is for recordings of unknown class. Whose recordings they are is then unknown.

A table (CSV; commas, semicolons or tabs): the columns `file` (relative to the table) and `label` (empty: unlabelled),
and, if you have them, `subject`, `group` and `subset`. Recordings of one `group` never end up in both training and
test; without that column subjects are the groups. All other columns are kept as metadata, so leave out what gives away
the label. WAV, FLAC, OGG, MP3, AIFF and what else libsndfile reads, at any rate.
"""

import collections
import dataclasses
import os
import pathlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from hsjax.data import csv_table
from hsjax.data.readers import listing
from hsjax.data.readers.assemble import Described, assemble, printable
from hsjax.types import Dataset, UserError

NAME: str = "own"
SOURCE: str = "your own"
LICENCE: str = "yours"
CITATION: str = "none"

_READABLE = {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"}
_READABLE |= {".w64", ".rf64"}
_SOUNDS = _READABLE | {
    ".m4a",
    ".aac",
    ".mp4",
    ".wma",
    ".3gp",
    ".amr",
}  # telephones write the latter; found, then refused
_UNLABELLED = ("unlabelled", "unlabeled")
_DEPTH = 8
_KNOWN = ("file", "label", "subject", "group", "subset")
_DELIMITERS = ",;\t"
_HOW = (
    "give a folder that holds one folder of recordings per class, or a CSV with the columns file and label, "
    "as --config.data.own.path"
)


def dataset(
    root: pathlib.Path, cache_dir: pathlib.Path | None = None, *, path: str = "", positive: str = ""
) -> Dataset:
    """Reads a folder with one folder per class, or a table of files and labels.

    Args:
      root: where a relative `path` begins.
      cache_dir: where to keep what the files' content was found to be, see `quarantine.inspect_all`.
      path: the folder or the table.
      positive: of two classes, the one to detect; it becomes the second. Empty: neither, or there are more than two.

    Raises:
      UserError: there is no such folder or table, it is damaged, fewer than two classes have usable recordings, or
        `positive` is none of them.
    """
    if not path:
        raise UserError(f"no recordings are named: {_HOW}")
    source = root / os.path.expanduser(path)  # not Path.expanduser, which raises RuntimeError for a stranger's ~
    if not os.path.exists(source):  # not Path.exists, which raises OSError for a name that is too long
        raise UserError(f"{printable(str(source))} does not exist: {_HOW}")
    described = list(_from_folder(source) if source.is_dir() else _from_table(source))
    grouping = ""
    if any(one.group for one in described):
        grouping = f"column group of {source.name}"
    elif any(one.subject for one in described):
        grouping = f"column subject of {source.name}"
        described = [dataclasses.replace(one, group=one.subject) for one in described]
    classes = _classes(described, source, positive)
    header = Dataset(NAME, classes, positive if len(classes) == 2 and positive else None, False, (), grouping=grouping)
    found = assemble(described, root, cache_dir, dataset=header)
    for label in classes:
        if not any(recording.label == label for recording in found.recordings):
            ids = {printable(one.id) for one in described if one.label == label}
            reason = next(item.reason for item in found.quarantined if item.id in ids)
            raise UserError(f"no recording of class {printable(label)} can be used ({reason}): mend or remove them")
    return found


def _classes(described: Sequence[Described], source: pathlib.Path, positive: str) -> tuple[str, ...]:
    """The classes by name; of two, `positive` is the second."""
    classes = sorted({one.label for one in described} - {""})
    names = ", ".join(printable(label) for label in classes[:20])
    if not described:
        raise UserError(f"{source} holds no recordings ({', '.join(sorted(_READABLE))}): {_HOW}")
    if not classes:
        raise UserError(f"the {len(described)} recordings of {source} have no label: {_HOW}")
    if len(classes) == 1:
        raise UserError(f"all labelled recordings of {source} are of one class ({names}), two are needed: {_HOW}")
    if positive and (len(classes) != 2 or positive not in classes):
        raise UserError(
            f"there are the classes {names}: set --config.data.own.positive to "
            f"{'one of them' if len(classes) == 2 else 'nothing, it is for two classes'}"
        )
    return tuple(sorted(classes, key=lambda label: label == positive))


def _from_folder(folder: pathlib.Path) -> Iterator[Described]:
    for path in listing.files(folder, _SOUNDS, _DEPTH):
        within = path.relative_to(folder)
        label = unicodedata.normalize("NFC", within.parts[0]) if len(within.parts) > 1 else ""
        yield Described(_identity(within.as_posix()), path, "" if label.lower() in _UNLABELLED else label)


def _from_table(table: pathlib.Path) -> Iterator[Described]:
    """One recording per file, by what all its rows say."""
    mend = f"save it as CSV in UTF-8 with a header and one line per recording, or {_HOW}"
    files = collections.defaultdict(dict)
    for line, row in csv_table.read(table, ("file", "label"), mend=mend, delimiters=_DELIMITERS).items():
        one = _from_row(line, row, table)
        files[os.path.realpath(one.path) if one.fault is None else f"line {line}"][line] = one
    _refuse_split_subjects(table, [one for same in files.values() for one in same.values()])
    for same in files.values():
        first = next(iter(same.values()))
        if any(dataclasses.replace(one, id=first.id, path=first.path) != first for one in same.values()):
            lines = ", ".join(str(line) for line in list(same)[:5])
            fault = f"listed more than once, and not the same each time: lines {lines} of {table.name}"
            first = dataclasses.replace(first, fault=first.fault or fault)
        yield first


def _from_row(line: int, row: Mapping[str, str], table: pathlib.Path) -> Described:
    # Tables written by pandas say nan where they mean nothing.
    row = {name: value for name, value in row.items() if value.lower() != "nan"}
    known = {name.lower(): value for name, value in row.items() if name.lower() in _KNOWN}
    name = known.get("file", "")
    path, fault = _locate(table.parent, name), None
    if not name:
        path, fault = table, f"line {line} of {table.name} names no file"
    elif path is None:
        path, fault = table.parent / name, f"missing: listed in {table.name}, but there is no such file"
    return Described(
        id=_identity(name) or f"line {line}",
        path=path,
        label=unicodedata.normalize("NFC", known.get("label", "")),
        fault=fault,
        subset=known.get("subset", ""),
        subject=known.get("subject"),
        group=known.get("group"),
        metadata={name: value for name, value in row.items() if name and name.lower() not in _KNOWN},
    )


def _refuse_split_subjects(table: pathlib.Path, described: Sequence[Described]) -> None:
    groups: dict[str, str] = {}
    for one in described:
        subject, group = one.subject, one.group
        if subject and group and groups.setdefault(subject, group) != group:
            raise UserError(
                f"{table} has subject {printable(subject)} in the groups {printable(groups[subject])} and "
                f"{printable(group)}: give all recordings of a subject one group, or leave out the column group"
            )


def _locate(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """The file that a table means: written on another system, its slashes and the form of its umlauts may differ."""
    for spelled in (name, name.replace("\\", "/")):
        for form in ("NFC", "NFD"):
            for path in (folder / spelled, folder / unicodedata.normalize(form, spelled)):
                if os.path.isfile(path):  # not Path.is_file, which raises OSError for a name that is too long
                    return path
    return None


def _identity(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")
