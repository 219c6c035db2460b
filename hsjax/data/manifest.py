"""A table of what every file of the distributions is, held against what the readers make of the files.

The table is made by other means than these readers. Its columns: `dataset`; `file`, relative to the root; `label`;
`samplerate`, Hz; `seconds`, to four digits; `sha256` of the samples: int16, little-endian, channels interleaved.

Labels are compared without regard to case, in this form:

* PhysioNet 2016 and Yaseen 2018: the class.
* PASCAL 2011: the published class, and behind a slash the sublabel: `normal/noisynormal`.
* CirCor: murmur and outcome: `Present/Abnormal`.
* MIT-BIH: number of beats of each AAMI class that occurs: `N=2239 S=33 V=1`.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import soundfile
from jaxtyping import Int16

from hsjax.data import csv_table
from hsjax.data.readers import beat_labels, circor, mitdb, pascal
from hsjax.types import Dataset, Finding, Recording, UserError

COLUMNS = ("dataset", "file", "label", "samplerate", "seconds", "sha256")

# Readers whose labels are of several kinds are asked for each.
_VIEWS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    circor.NAME: ({"label": circor.Label.MURMUR}, {"label": circor.Label.OUTCOME}),
    mitdb.NAME: ({"labels": beat_labels.Labels.AAMI},),
    pascal.NAME: ({"labels": pascal.Labels.PUBLISHED},),
}
_ROUNDED = 0.5e-4 + 1e-9  # s, of `seconds`


@runtime_checkable
class Reader(Protocol):
    """What `verify` asks of the module of a dataset."""

    def dataset(self, root: pathlib.Path, cache_dir: pathlib.Path | None = None, **options: Any) -> Dataset:
        """Reads the distribution below `root`."""
        ...


@dataclasses.dataclass(frozen=True)
class _Said:
    """What a reader says of one file: the recording, its labels of every kind, or why it is not used."""

    recording: Recording | None
    labels: tuple[str, ...]
    reason: str = ""


def verify(
    manifest: pathlib.Path, root: pathlib.Path, cache_dir: pathlib.Path | None, readers: Mapping[str, Reader]
) -> list[Finding]:
    """Compares label, rate, duration and samples of every row with what the reader of its dataset says.

    Args:
      manifest: the table.
      root: the folder of the distributions.
      cache_dir: see `quarantine.inspect_all`.
      readers: by the name in the column `dataset`.

    Returns:
      Rows that do not agree, in the order of the table: dataset, file and what is wrong. Empty if all is as stated.

    Raises:
      UserError: the manifest cannot be read.
    """
    rows = list(csv_table.read(manifest, COLUMNS, mend="give a table with these columns, UTF-8").values())
    by_dataset = {name: _said(name, root, cache_dir, readers) for name in sorted({row["dataset"] for row in rows})}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda row: _problem(row, by_dataset[row["dataset"]], root), rows)
        return [
            Finding(row["dataset"], row["file"], problem) for row, problem in zip(rows, found, strict=True) if problem
        ]


def _said(
    name: str, root: pathlib.Path, cache_dir: pathlib.Path | None, readers: Mapping[str, Reader]
) -> Mapping[str, _Said] | str:
    """What the reader of a dataset says, by file; or why it says nothing."""
    if name not in readers:
        return f"there is no reader of {name!r}"
    try:
        views = [readers[name].dataset(root, cache_dir, **options) for options in _VIEWS.get(name, ({},))]
    except UserError as error:
        return f"cannot be read: {error}"
    said = {_same(finding.path): _Said(None, (), finding.reason) for view in views for finding in view.quarantined}
    labels = collections.defaultdict(list)
    for view in views:
        for recording in (*view.recordings, *view.unlabelled):
            labels[_place(recording, root)].append(recording.label)
    for recording in (*views[0].recordings, *views[0].unlabelled):
        place = _place(recording, root)
        said[place] = _Said(recording, tuple(labels[place]))
    return said


def _problem(row: Mapping[str, str], said: Mapping[str, _Said] | str, root: pathlib.Path) -> str:
    """What of a row is not so, empty if all is."""
    if isinstance(said, str):
        return said
    file = said.get(_same(row["file"]))
    if file is None:
        return "the reader does not know this file"
    if file.recording is None:
        return f"in quarantine: {file.reason}"
    recording = file.recording
    try:
        label, digest, fault = _contents(row["dataset"], file, root)
    except (UserError, OSError, soundfile.LibsndfileError) as error:
        return f"cannot be read: {error}"
    states = {
        "label": (label.casefold(), row["label"].casefold()),
        "samplerate": (str(recording.sample_rate), row["samplerate"]),
        "sha256": (digest, row["sha256"].casefold()),
    }
    problems = [f"{name} is {found}, not {stated}" for name, (found, stated) in states.items() if found != stated]
    seconds = recording.num_samples / recording.sample_rate
    if not _is_rounded(seconds, row["seconds"]):
        problems.append(f"seconds is {seconds:.4f}, not {row['seconds']}")
    return "; ".join(problems + ([fault] if fault else []))


def _contents(name: str, file: _Said, root: pathlib.Path) -> tuple[str, str, str]:
    """Label and digest of a file in the manifest's form, and what is wrong with the reader's own digest."""
    assert file.recording is not None
    recording = file.recording
    if name == mitdb.NAME:
        header, samples = mitdb.digital(root, recording.id)
        channel = [signal.name for signal in header.signals].index(recording.metadata["lead"])
        signal = header.signals[channel]
        decoded = (samples[:, channel].astype(np.float64) - signal.baseline) / signal.gain
        label = _beat_counts(recording)
    else:
        samples = _decode(recording)
        # As `audio.decode` does it: full scale 1, the mean of the channels.
        decoded = (samples / np.float64(2**15)).mean(axis=1)
        label = "/".join(file.labels)
        if recording.metadata.get("sublabel"):
            label += f"/{recording.metadata['sublabel']}{recording.label}"
    same = hashlib.sha256(decoded.astype("<f4").data).hexdigest() == recording.digest
    digest = hashlib.sha256(np.ascontiguousarray(samples, "<i2").data).hexdigest()
    return label, digest, "" if same else "the reader has decoded other samples than these"


def _decode(recording: Recording) -> Int16[np.ndarray, "time channels"]:
    """The samples as they are in the file, not through the reader."""
    assert recording.path is not None
    samples, _ = soundfile.read(recording.path, dtype="int16", always_2d=True)
    return samples


def _beat_counts(recording: Recording) -> str:
    assert recording.beats is not None
    counts = collections.Counter(recording.beats().label.tolist())
    return " ".join(f"{name}={counts[name]}" for name in beat_labels.CLASSES[beat_labels.Labels.AAMI] if counts[name])


def _is_rounded(seconds: float, stated: str) -> bool:
    try:
        return abs(float(stated) - seconds) <= _ROUNDED
    except ValueError:
        return False


def _place(recording: Recording, root: pathlib.Path) -> str:
    path = recording.path
    if path is None:
        return recording.id
    return _same(path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix())


def _same(file: str) -> str:
    """A file's name whatever the form of its letters, and whether it was kept as WAV or FLAC."""
    return unicodedata.normalize("NFC", file).removesuffix(".flac").removesuffix(".wav")
