"""Files that are either whole or absent, their fingerprints, and their size when zipped."""

import hashlib
import io
import os
import pathlib
import zipfile


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


def is_file(path: pathlib.Path) -> bool:
    """Whether a path leads to a file; what the system takes for no path, because it is too long, leads to none."""
    try:
        return path.is_file()
    except OSError:
        return False


def sha256(path: pathlib.Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def zipped(data: bytes) -> int:
    """Bytes of a .zip archive with one file that holds `data`, deflated as far as zlib can."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        entry = zipfile.ZipInfo("model", date_time=(1980, 1, 1, 0, 0, 0))  # the day of writing is in no size
        file.writestr(entry, data, zipfile.ZIP_DEFLATED, compresslevel=9)
    return archive.tell()
