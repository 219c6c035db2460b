"""Prepared examples on disk, by key: an entry is whole or absent, whoever is killed and whoever else writes.

An entry is the folder `prepared/KEY/` with one `.npy` file for each field of `Examples` and `entry.json`, which says
how large they are. It is written into a folder beside it, flushed to the disk and renamed. One process makes a key
while others wait (`flock`, which ends with its holder, however that ends). Nothing is ever evicted by itself: `entries`
lists, `clear` removes.
"""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import io
import json
import mmap
import os
import pathlib
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Int, Shaped

from hsjax.types import Examples, UserError

SETTING: str = "--config.data.cache"
"""The setting that names the cache folder, for messages."""

_FOLDER, _ENTRY = "prepared", "entry.json"
_FORMAT = 1  # of an entry; entries of another one are made anew
_DTYPES = {"samples": np.float32, "label": np.int32, "recording": np.int32, "start": np.float64}
# A header of numpy's format 1.0 for any number of rows: it leaves room for that number to grow to 21 digits.
_HEADER_BYTES = 128
_KEY = re.compile(r"[0-9a-f]{64}")
_LOCK, _PARTIAL = ".lock", ".partial-"


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is stored under a key.

    Attributes:
      key: 64 hexadecimal digits.
      path: its folder.
      about: what it was made from, as the maker described it; empty where the entry is damaged.
      num_examples: 0 where the entry is damaged.
      num_bytes: on disk.
      made: seconds since 1970.
    """

    key: str
    path: pathlib.Path
    about: Mapping[str, str]
    num_examples: int
    num_bytes: int
    made: float


class _Damaged(Exception):  # noqa: N818, what it is, not that it is an error
    pass


def load_or_make(
    cache_dir: pathlib.Path,
    key: str,
    window: int,
    pieces: Callable[[], Iterable[Examples]],
    about: Mapping[str, str],
) -> tuple[Examples, bool]:
    """The entry of a key, which is made where it is not there or damaged.

    Memory is that of one piece and 16 bytes an example. Two that make the same key at once: one makes, the other waits
    for it and reads; if the one dies, the other makes.

    Args:
      cache_dir: the cache folder; made where it does not exist.
      key: 64 hexadecimal digits; names everything that the examples depend on.
      window: samples per example.
      pieces: makes the examples, some at a time.
      about: for `entries`: a few words by name.

    Returns:
      Read-only memory maps, and whether they were there already.

    Raises:
      UserError: the cache folder cannot be written to; what was there before is untouched.
    """
    assert _KEY.fullmatch(key), key
    folder = cache_dir / _FOLDER
    found = _read(folder / key, key, window)  # without a lock: a whole entry can be read where nothing can be written
    if found is not None:
        return found, True
    with _writing(cache_dir):
        folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, key, cache_dir):
        found = _read(folder / key, key, window, note=False)
        if found is not None:
            return found, True
        with _writing(cache_dir):
            _remove_leftovers(folder, key)
            partial = folder / f"{key}{_PARTIAL}{uuid.uuid4().hex}"
            partial.mkdir()
        try:
            _write(partial, key, window, pieces(), about, cache_dir)
            with _writing(cache_dir):
                _remove(folder / key)  # damaged, or there would be no need to make it
                partial.rename(folder / key)
                _flush(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    made = _read(folder / key, key, window)
    if made is None:
        raise UserError(f"{folder / key} was removed or damaged while it was made: run the same command again")
    return made, False


def rows(samples: Shaped[np.ndarray, "n ..."], index: slice | Int[np.ndarray, " m"]) -> np.ndarray:
    """Some rows; of a read-only memory map a copy, and what was read for it does not stay in the process's memory."""
    taken = samples[index]
    if not isinstance(samples, np.memmap) or samples.mode != "r":
        return taken
    taken = np.array(taken) if isinstance(index, slice) else np.asarray(taken)
    mapped = samples.base
    while isinstance(mapped, np.ndarray):  # of a view
        mapped = mapped.base
    if isinstance(mapped, mmap.mmap):
        mapped.madvise(mmap.MADV_DONTNEED)  # the kernel may keep the pages for as long as nobody needs the memory
    return taken


def entries(cache_dir: pathlib.Path) -> tuple[Entry, ...]:
    """All entries of a cache folder, damaged ones too, the oldest first."""
    found = []
    for path in _folders(cache_dir / _FOLDER):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            try:
                content = _content(path, path.name)
                about, examples = content["about"], content["files"]["label"]["shape"][0]
            except _Damaged:
                about, examples = {}, 0
            size = sum(file.stat().st_size for file in path.iterdir())
            found.append(Entry(path.name, path, about, examples, size, path.stat().st_mtime))
    return tuple(sorted(found, key=lambda entry: entry.made))


def clear(cache_dir: pathlib.Path) -> tuple[Entry, ...]:
    """Removes all entries but those that a process is just making, and what killed processes left; returns them.

    Who reads an entry meanwhile can read on: its files vanish when the last reader lets go.

    Raises:
      UserError: an entry cannot be removed.
    """
    folder, removed = cache_dir / _FOLDER, []
    for entry in entries(cache_dir):
        with _writing(cache_dir), _locked_if_free(folder, entry.key) as free:
            if free:
                _remove(entry.path)
                removed.append(entry)
    with _writing(cache_dir):
        if folder.is_dir():
            _remove_leftovers(folder)
    return tuple(removed)


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return [path for path in folder.iterdir() if _KEY.fullmatch(path.name) and path.is_dir()]
    return []


def _read(path: pathlib.Path, key: str, window: int, note: bool = True) -> Examples | None:
    """The entry, None where there is none that can be trusted."""
    try:
        content = _content(path, key)
        arrays = {name: _map(path, name, content["files"][name]) for name in _DTYPES}
        if arrays["samples"].shape != (len(arrays["label"]), window):
            raise _Damaged("samples of another shape")
        return Examples(**arrays)
    except FileNotFoundError:
        return None
    except _Damaged as damage:
        if note:
            print(f"{path} is damaged ({damage}) and is made anew", file=sys.stderr, flush=True)
        return None


def _content(path: pathlib.Path, key: str) -> dict:
    """What `entry.json` says, if all files are as it says."""
    if not path.is_dir():
        raise FileNotFoundError(path)
    try:
        content = json.loads((path / _ENTRY).read_bytes())
        if content["format"] != _FORMAT or content["key"] != key:
            raise _Damaged(f"{_ENTRY} is of another format or key")
        for name in _DTYPES:
            size, claimed = (path / f"{name}.npy").stat().st_size, content["files"][name]["bytes"]
            if size != claimed:
                raise _Damaged(f"{name}.npy has {size} bytes, not {claimed}")
        kinds = {*map(type, content["about"].values()), *map(type, content["files"]["label"]["shape"])}
        if not kinds <= {str, int}:
            raise _Damaged(f"{_ENTRY} is not as it was written")
        return content
    except OSError as error:
        raise _Damaged(f"{error.strerror}: {pathlib.Path(error.filename or path).name}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _Damaged(f"{_ENTRY} is not as it was written") from error


def _map(path: pathlib.Path, name: str, described: dict) -> np.ndarray:
    """One field; the small ones are read and compared with what was written, the samples stay on the disk."""
    file = path / f"{name}.npy"
    try:
        array = np.load(file, mmap_mode="r" if name == "samples" else None, allow_pickle=False)
        expected = (described["shape"], np.dtype(_DTYPES[name]), described.get("sha256"))
        digest = None if name == "samples" else hashlib.sha256(file.read_bytes()).hexdigest()
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise _Damaged(f"{name}.npy cannot be read") from error
    if (list(array.shape), array.dtype, digest) != expected or not array.flags.c_contiguous:
        raise _Damaged(f"{name}.npy is not as it was written")
    array.flags.writeable = False
    return array


def _write(
    partial: pathlib.Path,
    key: str,
    window: int,
    pieces: Iterable[Examples],
    about: Mapping[str, str],
    cache_dir: pathlib.Path,
) -> None:
    small: dict[str, list[np.ndarray]] = {name: [] for name in _DTYPES if name != "samples"}
    rows = 0
    with contextlib.ExitStack() as stack:
        with _writing(cache_dir):
            samples = (partial / "samples.npy").open("wb")
            stack.callback(_close, samples)
            samples.write(_header("samples", (0, window)))  # the number of rows is known at the end
        for piece in pieces:
            with _writing(cache_dir):
                samples.write(np.ascontiguousarray(piece.samples, _DTYPES["samples"]).data)
            rows += len(piece.samples)
            for name, parts in small.items():
                parts.append(np.asarray(getattr(piece, name), _DTYPES[name]))
        with _writing(cache_dir):
            samples.seek(0)
            samples.write(_header("samples", (rows, window)))
            _sync(samples)
    files: dict[str, dict[str, Any]] = {
        "samples": {"shape": [rows, window], "bytes": (partial / "samples.npy").stat().st_size}
    }
    with _writing(cache_dir):
        for name, parts in small.items():
            values = np.concatenate(parts) if parts else np.zeros(0, _DTYPES[name])
            data = _header(name, values.shape) + values.tobytes()
            _write_file(partial / f"{name}.npy", data)
            digest = hashlib.sha256(data).hexdigest()
            files[name] = {"shape": list(values.shape), "bytes": len(data), "sha256": digest}
        content = {"format": _FORMAT, "key": key, "about": dict(about), "files": files}
        _write_file(partial / _ENTRY, json.dumps(content, indent=1).encode())
        _flush(partial)


def _header(name: str, shape: tuple[int, ...]) -> bytes:
    """The beginning of a `.npy` file of format 1.0."""
    file = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(np.dtype(_DTYPES[name])), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)
    header = file.getvalue()
    assert len(header) == _HEADER_BYTES
    return header


def _write_file(path: pathlib.Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _close(file: BinaryIO) -> None:
    with contextlib.suppress(OSError):  # after `_sync` nothing is left to write; without it, an error is under way
        file.close()


def _flush(folder: pathlib.Path) -> None:
    """What was made and renamed in a folder outlasts a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _writing(cache_dir: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = "its disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or error
        raise UserError(
            f"the cache folder {cache_dir} cannot be written to ({why}): make room there, or set {SETTING} to another "
            "folder"
        ) from error


@contextlib.contextmanager
def _locked(folder: pathlib.Path, key: str, cache_dir: pathlib.Path) -> Iterator[None]:
    """Holds the lock of a key; says so where another process holds it."""
    with contextlib.ExitStack() as stack:
        with _writing(cache_dir):
            if not stack.enter_context(_locked_if_free(folder, key)):
                print("another process prepares the same examples: waiting for it", file=sys.stderr, flush=True)
                stack.enter_context(_locked_if_free(folder, key, wait=True))
        yield


@contextlib.contextmanager
def _locked_if_free(folder: pathlib.Path, key: str, wait: bool = False) -> Iterator[bool]:
    path = folder / f"{key}{_LOCK}"
    file = _lock(path, wait)
    try:
        yield file is not None
    finally:
        if file is not None:
            # Still locked: who opened it meanwhile finds, once it has the lock, that the file is not this one.
            path.unlink(missing_ok=True)
            file.close()


def _lock(path: pathlib.Path, wait: bool) -> BinaryIO | None:
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return file
        except BlockingIOError:
            file.close()
            return None
        except BaseException:
            file.close()
            raise
        file.close()


def _remove(path: pathlib.Path) -> None:
    """Out of sight at once, whole, then from the disk."""
    if os.path.lexists(path):
        aside = path.with_name(f"{path.name}{_PARTIAL}{uuid.uuid4().hex}")
        path.rename(aside)
        if aside.is_dir() and not aside.is_symlink():
            shutil.rmtree(aside)
        else:
            aside.unlink()


def _remove_leftovers(folder: pathlib.Path, held: str = "") -> None:
    """Removes what killed processes left: locks that nobody holds, and half of an entry under such a lock.

    Args:
      folder: of the entries.
      held: the key whose lock is ours.
    """
    for path in list(folder.iterdir()):
        key, partial, _ = path.name.partition(_PARTIAL)
        key = key.removesuffix(_LOCK)
        if not _KEY.fullmatch(key) or path.name == key:
            continue
        if key == held:
            if partial:
                shutil.rmtree(path, ignore_errors=True)
            continue
        with _locked_if_free(folder, key) as free:  # an unused lock goes with this
            if free and partial:
                shutil.rmtree(path, ignore_errors=True)
