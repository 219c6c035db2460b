"""A run's folder: which part of it is finished, and with which settings it was made."""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import ml_collections
import numpy as np

from hsjax.train import manifest
from hsjax.types import Predictions, RunKey, UserError

_SETTINGS, _DONE = "settings.json", "done.json"
# Of done.json, beside what a stage records: SHA-256 of the part's files, and of everything else in done.json.
_FILES, _SEAL = "files", "sha256"
# Ends the names of files that are being written.
_PARTIAL = ".partial"
# Folders that are of no use once a part is finished; they have manifests of their own.
_PASSING = "checkpoints"


@contextlib.contextmanager
def locked(workdir: pathlib.Path) -> Iterator[None]:
    """Keep a second process out of a run's folder; the lock goes with the process, however it ends.

    Raises:
      UserError: another run has it.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another run is at work in {workdir}; wait for it, or give another --workdir") from error
        yield


def write_json(path: pathlib.Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + _PARTIAL)
    partial.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    os.replace(partial, path)


def flat(config: ml_collections.ConfigDict | dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name, as JSON would return them."""
    result = {}
    for key, value in config.items():
        if isinstance(value, ml_collections.ConfigDict | dict):
            result |= flat(value, f"{prefix}{key}.")
        else:
            # Tuples as lists, those inside others too.
            result[prefix + key] = json.loads(json.dumps(value, default=lambda choice: choice.value))
    return result


@dataclasses.dataclass(frozen=True)
class Part:
    """A folder that one stage fills, bound to the settings it is made with.

    Attributes:
      path: the folder.
      settings: flat settings that its content depends on.
      defaults: of settings, what a folder that lacks one was made with: it is older than the key, whose default is to
        mean what was done before there was a choice.
    """

    path: pathlib.Path
    settings: dict[str, Any]
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)

    def claim(self) -> None:
        """Create the folder, or check as `check` does.

        Raises:
          UserError: as `check`.
        """
        self.check()
        if not (self.path / _SETTINGS).exists():
            write_json(self.path / _SETTINGS, self.settings)

    def check(self) -> None:
        """Check that what is in the folder, if anything, was made with the same settings.

        Raises:
          UserError: it was made with others, which it names, or does not say how it was made.
        """
        file = self.path / _SETTINGS
        if not file.exists():
            # A half-written settings file is what a kill in the very first moment leaves.
            if self.path.exists() and any(not path.name.endswith(_PARTIAL) for path in self.path.iterdir()):
                raise UserError(f"{self.path} holds files that no run has made; give another --workdir")
            return
        before = {key: value for key, value in self.defaults.items() if key in self.settings}
        before |= _read_json(file, self._anew)
        changed = sorted(k for k in before.keys() | self.settings.keys() if before.get(k) != self.settings.get(k))
        if changed:
            listed = ", ".join(f"{key} (was {before.get(key)}, is {self.settings.get(key)})" for key in changed[:4])
            raise UserError(
                f"{self.path} was made with other settings: {listed}{', ...' if changed[4:] else ''}; "
                "give another --workdir, or delete that folder to make it anew"
            )

    def record(self) -> dict[str, Any] | None:
        """What `finish` was given; None while the part is unfinished.

        Raises:
          UserError: the record is damaged.
        """
        stored = self._done()
        return stored and {key: value for key, value in stored.items() if key not in (_FILES, _SEAL)}

    def finish(self, record: dict[str, Any]) -> None:
        """Mark the part finished: it is not made again, and its files are not to change."""
        content = record | {_FILES: {name: manifest.digest(path) for name, path in self._files().items()}}
        write_json(self.path / _DONE, content | {_SEAL: _seal(content)})

    def verify(self) -> None:
        """Check that the files of a finished part are those it was finished with; files beside them do not matter.

        Raises:
          UserError: one is missing or has changed, which it names.
        """
        stored = self._done()
        if stored is None or _FILES not in stored:  # unfinished, or finished before files were recorded
            return
        if damage := manifest.difference(stored[_FILES], self._files()):
            raise UserError(f"{self.path / damage}; {self._anew}")

    @property
    def _anew(self) -> str:
        return f"delete {self.path} to make it anew"

    def _files(self) -> dict[str, pathlib.Path]:
        """What the part is made of, by name."""
        return {
            name: path
            for name, path in manifest.files(self.path).items()
            if name != _DONE and not name.endswith(_PARTIAL) and _PASSING not in pathlib.PurePath(name).parts[:-1]
        }

    def _done(self) -> dict[str, Any] | None:
        file = self.path / _DONE
        if not file.exists():
            return None
        stored = _read_json(file, self._anew)
        if _FILES in stored or _SEAL in stored:
            content = {key: value for key, value in stored.items() if key != _SEAL}
            if stored.get(_SEAL) != _seal(content):
                raise UserError(f"{file} has changed since it was written; {self._anew}")
        return stored


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read_json(file: pathlib.Path, anew: str) -> dict[str, Any]:
    try:
        stored = json.loads(file.read_bytes())
    except ValueError as error:  # no JSON, or no text
        raise UserError(f"{file} is damaged; {anew}") from error
    if not isinstance(stored, dict):
        raise UserError(f"{file} is damaged; {anew}")
    return stored


def save_predictions(path: pathlib.Path, predictions: Predictions) -> None:
    """Write predictions, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {name: getattr(predictions, name) for name in _ARRAYS}
    header = json.dumps({"key": dataclasses.asdict(predictions.key), "unit": predictions.unit})
    partial = path.with_name(path.name + _PARTIAL)
    with partial.open("wb") as file:
        np.savez(file, header=np.array(header), classes=np.array(predictions.classes), **fields)
    os.replace(partial, path)


_ARRAYS = ("recording", "start", "group", "label", "probabilities")


def load_predictions(path: pathlib.Path) -> Predictions:
    """Read what `save_predictions` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        header = json.loads(str(stored["header"]))
        arrays = {name: stored[name] for name in _ARRAYS}
        classes = tuple(str(name) for name in stored["classes"])
    return Predictions(key=RunKey(**header["key"]), unit=header["unit"], classes=classes, **arrays)
