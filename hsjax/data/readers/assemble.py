"""From what a distribution says about its recordings to a `Dataset`: files are inspected, bad ones are put aside."""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float32

from hsjax.data import audio, quarantine
from hsjax.types import Dataset, Finding, Recording

_SHOWN = 200  # characters of a name in a report: a damaged table can hold names of any length
_REASON = 500  # characters of a reason, which can quote the table


@dataclasses.dataclass(frozen=True)
class Described:
    """What a distribution says about one recording, before its file is opened.

    Attributes:
      id: unique, except for copies of one recording.
      path: its file, or where that should be.
      label: name of its class; empty where it has none, which makes it an unlabelled recording.
      fault: why no run may use it, such as that it is missing; None where nothing speaks against it.
      note: what is wrong although it is used; None where nothing is.
      subset: as in `Recording`, and so are `subject`, `group` and `metadata`.
      sample_rate: Hz, of all files of the distribution; None where it promises none.
      annotation: gives the true state of every sample, called with their number.
    """

    id: str
    path: pathlib.Path
    label: str
    fault: str | None = None
    note: str | None = None
    subset: str = ""
    subject: str | None = None
    group: str | None = None
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)
    sample_rate: int | None = None
    annotation: Callable[[int], np.ndarray] | None = None


def assemble(
    described: Iterable[Described], root: pathlib.Path, cache_dir: pathlib.Path | None, *, dataset: Dataset
) -> Dataset:
    """Inspects the files and sorts the recordings: usable, unlabelled, quarantined.

    Two files of one id are one recording: if they sound the same, the first by path is used, else none of them.

    Args:
      described: all that a distribution lists or contains.
      root: findings name files relative to it.
      cache_dir: see `quarantine.inspect_all`.
      dataset: name, classes and what else holds for all recordings; its lists are replaced.
    """
    described = sorted(described, key=lambda one: (one.id, one.path))
    faults = [one.fault or _name_fault(one.path) for one in described]
    opened = [one.path for one, fault in zip(described, faults, strict=True) if fault is None]
    inspections = quarantine.inspect_all(opened, cache_dir)
    faults = [fault or _content_fault(one, inspections) for one, fault in zip(described, faults, strict=True)]
    sound = collections.defaultdict(list)
    for one, fault in zip(described, faults, strict=True):
        if fault is None:
            sound[one.id].append(one.path)
    recordings, unlabelled, quarantined, noted = [], [], [], []
    for one, fault in zip(described, faults, strict=True):
        finding = functools.partial(Finding, printable(one.id), printable(_place(one.path, root)))
        fault = fault or _copy_fault(one, sound[one.id], inspections, root)
        if fault is not None:
            quarantined.append(finding(printable(fault, _REASON)))
            continue
        inspection = inspections[one.path]
        (recordings if one.label else unlabelled).append(_recording(one, inspection))
        noted += [finding(note) for note in (one.note, inspection.note) if note is not None]
    return dataclasses.replace(
        dataset,
        recordings=tuple(recordings),
        unlabelled=tuple(unlabelled),
        quarantined=tuple(sorted(quarantined, key=lambda item: (item.path, item.id))),
        noted=tuple(sorted(noted, key=lambda item: (item.path, item.id))),
    )


def printable(text: str, length: int = _SHOWN) -> str:
    """A name that any report can carry: cut, without control characters and bytes that are not UTF-8."""
    text = text[: length + 1].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return text if len(text) <= length else f"{text[:length]}..."


def _place(path: pathlib.Path, root: pathlib.Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _name_fault(path: pathlib.Path) -> str | None:
    try:
        str(path).encode()
    except UnicodeEncodeError:  # libsndfile is given names in UTF-8
        return "its name, or that of a folder around it, is not UTF-8: rename it"
    return None


def _content_fault(one: Described, inspections: Mapping[pathlib.Path, quarantine.Inspection]) -> str | None:
    inspection = inspections[one.path]
    if inspection.reason is None and one.sample_rate not in (None, inspection.sample_rate):
        return f"wrong sample rate: {inspection.sample_rate} Hz, not {one.sample_rate} Hz"
    return inspection.reason


def _copy_fault(
    one: Described,
    same: Sequence[pathlib.Path],
    inspections: Mapping[pathlib.Path, quarantine.Inspection],
    root: pathlib.Path,
) -> str | None:
    """Why one of several sound files of one id is not used."""
    if len({inspections[path].digest for path in same}) > 1:
        return f"{len(same)} files of this name sound different: remove all but one"
    if one.path != same[0]:
        return f"the same recording as {printable(_place(same[0], root))}, which is used"
    return None


def _recording(one: Described, inspection: quarantine.Inspection) -> Recording:
    return Recording(
        id=one.id,
        label=one.label,
        subset=one.subset,
        subject=one.subject,
        group=one.group,
        sample_rate=inspection.sample_rate,
        num_samples=inspection.num_samples,
        path=one.path,
        read=functools.partial(_read_samples, one.path),
        annotation=functools.partial(one.annotation, inspection.num_samples) if one.annotation is not None else None,
        metadata={key: value for key, value in one.metadata.items() if value},
        digest=inspection.digest,
    )


def _read_samples(path: pathlib.Path) -> Float32[np.ndarray, " time"]:
    return audio.decode(path)[0]
