"""Whether the files of a folder are those that were written: SHA-256 of each, in a manifest beside the folder.

A manifest is read by `sha256sum -c` too, from the folder that holds both. Its first line protects the others.
"""

import errno
import hashlib
import os
import pathlib
from collections.abc import Mapping

from hsjax.types import UserError

_SEAL = "# SHA-256 of the lines below: "
# Of a name, what a line of text cannot hold.
_BREAKS = ("\n", "\r", "\\")


def beside(folder: pathlib.Path) -> pathlib.Path:
    """The manifest of a folder."""
    return folder.with_name(folder.name + ".sha256")


def digest(path: pathlib.Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Every file below a folder by its name there."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def write(folder: pathlib.Path) -> None:
    """Seal a folder: write its manifest, whole or not at all.

    Raises:
      UserError: the name of a file in it does not fit in a line.
    """
    found = files(folder)
    if unfit := next((name for name in found if any(character in name for character in _BREAKS)), None):
        raise UserError(f"{folder} holds a file named {unfit!r}: rename it")
    lines = "".join(f"{digest(path)}  {folder.name}/{name}\n" for name, path in found.items())
    text = f"{_SEAL}{hashlib.sha256(lines.encode()).hexdigest()}\n{lines}"
    path = beside(folder)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # after a loss of power a manifest that is there is whole
    os.replace(partial, path)


def damage(folder: pathlib.Path) -> str | None:
    """What is wrong with a sealed folder, beginning with the name of the file; None where nothing is.

    Raises:
      FileNotFoundError: there is no manifest: the folder was never sealed.
    """
    path = beside(folder)
    recorded = _read(path.read_bytes(), folder.name)
    if recorded is None:
        return f"{path.name} is damaged"
    found = files(folder)
    if extra := sorted(found.keys() - recorded.keys()):
        return f"{folder.name}/{extra[0]} was not written with it"
    changed = difference(recorded, found)
    return changed and f"{folder.name}/{changed}"


def difference(recorded: Mapping[str, str], found: Mapping[str, pathlib.Path]) -> str | None:
    """The first recorded file that is missing or has changed, and which of both; None where all are as recorded.

    Args:
      recorded: SHA-256 by name.
      found: files by name.
    """
    for name, expected in recorded.items():
        if name not in found:
            return f"{name} is missing"
        try:
            actual = digest(found[name])
        except OSError as error:
            if error.errno != errno.EIO:  # no right to read it, for one, is no damage
                raise
            return f"{name} cannot be read from the disk"
        if actual != expected:
            return f"{name} has changed since it was written"
    return None


def _read(content: bytes, folder: str) -> dict[str, str] | None:
    """SHA-256 by name below the folder; None where the manifest is not as it was written."""
    first, _, lines = content.partition(b"\n")
    if first != (_SEAL + hashlib.sha256(lines).hexdigest()).encode():
        return None
    pairs = (line.split("  ", 1) for line in lines.decode().splitlines())
    recorded = {name: expected for expected, name in pairs}
    if not all(name.startswith(f"{folder}/") for name in recorded):
        return None  # of another folder
    return {name.removeprefix(f"{folder}/"): expected for name, expected in recorded.items()}
