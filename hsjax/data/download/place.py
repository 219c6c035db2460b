"""Where a distribution is put together, and how it comes into its place: all of it, or nothing.

Beside the destination, and so on its file system, stands a hidden folder with what is incomplete. It outlives a kill,
and the next call goes on with it. One process at a time holds the lock of a destination.
"""

import contextlib
import dataclasses
import errno
import filecmp
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator

from hsjax.data.download import checksums, names
from hsjax.types import UserError

RECEIPT = ".hsjax-download.json"
"""In every downloaded folder: which files came from where, and their SHA-256."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclasses.dataclass(frozen=True)
class Receipt:
    """What a finished download left.

    Attributes:
      sources: the addresses.
      files: SHA-256 by path.
      unverified: those of them whose SHA-256 nobody had published.
    """

    sources: tuple[str, ...]
    files: dict[str, str]
    unverified: tuple[str, ...]

    def write(self, folder: pathlib.Path) -> None:
        """Puts it into the folder."""
        (folder / RECEIPT).write_text(json.dumps(dataclasses.asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, folder: pathlib.Path) -> "Receipt | None":
        """The one in the folder; None where there is none, or it is not readable."""
        try:
            table = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
            files = {names.safe(path): str(digest) for path, digest in table["files"].items()}
            return cls(tuple(table["sources"]), files, tuple(table["unverified"]))
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
            return None
        except names.UnsafeNameError:
            return None


@dataclasses.dataclass(frozen=True)
class Place:
    """The folders of one download.

    Attributes:
      destination: the distribution's own.
      work: what is incomplete.
      parts: incomplete files.
      tree: complete files, as they will stand below `destination`.
    """

    destination: pathlib.Path
    work: pathlib.Path

    @property
    def parts(self) -> pathlib.Path:  # noqa: D102, described by the class
        return self.work / "parts"

    @property
    def tree(self) -> pathlib.Path:  # noqa: D102, described by the class
        return self.work / "tree"

    def install(self) -> None:
        """Moves the tree into the destination.

        A destination that is not there yet is the tree itself, renamed. In one that is, no file is replaced.

        Raises:
          UserError: the destination has a file of the same name and another content; nothing was moved.
        """
        if not self.destination.exists():
            os.replace(self.tree, self.destination)
            return
        files = sorted(path.relative_to(self.tree) for path in self.tree.rglob("*") if path.is_file())
        files = [path for path in files if path.name != RECEIPT]
        there = [path for path in files if os.path.lexists(self.destination / path)]
        different = [path for path in there if not _same(self.tree / path, self.destination / path)]
        if different:
            raise UserError(changed(self.destination, [path.as_posix() for path in different], "the distribution"))
        for path in files:
            target = self.destination / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if path not in there:
                os.replace(self.tree / path, target)
        os.replace(self.tree / RECEIPT, self.destination / RECEIPT)

    def clear(self) -> None:
        """Removes what is incomplete."""
        shutil.rmtree(self.work, ignore_errors=True)


def changed(folder: pathlib.Path, paths: list[str], what: str) -> str:
    """The sentence about files that stand in the way."""
    return (
        f"{len(paths)} files in {folder} differ from {what}, {paths[0]} among them: move them away, or set --root to "
        "another folder, and repeat the command"
    )


@contextlib.contextmanager
def claim(root: pathlib.Path, folder: str) -> Iterator[Place]:
    """Holds the destination for this process, and turns what the file system refuses into a sentence.

    Raises:
      UserError: another process holds it, it cannot be written, or the disk is full. What is complete stays.
    """
    destination = (root / folder).resolve()
    place = Place(destination, destination.parent / f".{destination.name}.download")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _locked(destination.parent / f".{destination.name}.lock"):
            for part in (place.parts, place.tree):
                part.mkdir(parents=True, exist_ok=True)
            try:
                yield place
            finally:
                if not any(path.is_file() for path in place.work.rglob("*")):
                    place.clear()  # nothing that a later call could go on with
    except OSError as error:
        raise UserError(_sentence(error, place)) from error


def _sentence(error: OSError, place: Place) -> str:
    where = place.destination.parent
    if error.errno in _FULL:
        return (
            f"there is no more space in {where} ({error.strerror}): make some, or set --root to a folder that has, and "
            f"repeat the command, which goes on from {place.work.name}"
        )
    if error.errno in _CLOSED:
        return f"{where} cannot be written ({error}): set --root to a folder that can"
    return f"the file system refuses ({error}): mend that, or set --root to another folder, and repeat the command"


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """The kernel gives the lock back when the process ends, however it ends."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            raise UserError(
                f"another process is downloading to {path.parent}: wait until it is done, and repeat the command"
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        # Its last holder may have removed the file between `open` and `_lock`: then this lock is of nothing.
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            break
        os.close(descriptor)
    try:
        yield
    finally:
        if sys.platform != "win32":  # which removes no open file; there it stays, empty
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _same(one: pathlib.Path, other: pathlib.Path) -> bool:
    return other.is_file() and filecmp.cmp(one, other, shallow=False)


def is_file_with(path: pathlib.Path, sha256: str) -> bool:
    """Whether there is a file with this SHA-256."""
    return path.is_file() and checksums.of_file(path) == sha256
