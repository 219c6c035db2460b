"""Files that are either whole or absent, and their fingerprints."""

import hashlib
import os
import pathlib


def write_atomically(path: pathlib.Path, data: bytes) -> None:
    """Writes a file so that a reader, or a run killed half-way, sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sha256(path: pathlib.Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
