"""Unpacks archives that nobody vouches for: zip, tar, tar.gz, and whatever bsdtar turns into a tar (RAR).

Nothing is written but regular files below the given folder; what an archive says about itself is not believed, real
bytes are counted. No member of it becomes a link, a device, an executable or a path to elsewhere.
"""

import dataclasses
import gzip
import io
import pathlib
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Protocol, runtime_checkable

from hsjax.data.download import names
from hsjax.types import UserError

_CHUNK = 1 << 18
# zipfile and tarfile read tables and headers whole: this is the largest that is let into memory.
_LARGEST_READ = 16 << 20
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8_NAME = 0x800


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an archive may hold.

    Attributes:
      num_bytes: of all files together, unpacked.
      num_files: members of any kind.
      ratio: of unpacked to packed bytes.
      harmless: bytes up to which the ratio does not matter.
    """

    num_bytes: int
    num_files: int = 100_000
    ratio: int = 200
    harmless: int = 64 << 20


class ArchiveError(UserError):
    """The archive is damaged, or holds what none should; nothing of it is kept."""


def unpack(
    archive: pathlib.Path, folder: pathlib.Path, limits: Limits, rename: Callable[[str], str | None], taken: names.Taken
) -> tuple[list[str], list[str]]:
    """Unpacks the regular files.

    Args:
      archive: the file; what it is is seen from its content.
      folder: where to; files in it are never overwritten.
      limits: more than this is refused while it is being inflated.
      rename: gives each member's safe name the path it gets below `folder`; None leaves it out.
      taken: the names that other archives have put into the folder.

    Returns:
      Paths below `folder`, and the names of the members left out by `rename`.

    Raises:
      ArchiveError: the archive is unreadable, encrypted, too large, or has a link, a device or an unsafe name.
      UserError: it is a RAR archive, and there is no bsdtar.
    """
    written, left_out = [], []
    meter = _Meter(archive, limits)
    try:
        for name, content in _members(archive, meter):
            try:
                safe = names.safe(name)
            except names.UnsafeNameError as error:
                raise _refused(archive, f"{name!r}: {error}") from None
            if content is None or names.dropped(safe):
                continue
            path = rename(safe)
            if path is None:
                left_out.append(safe)
                continue
            try:
                taken.add(path)
            except names.UnsafeNameError as error:
                raise _refused(archive, f"{name!r}: {error}") from None
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as stream:
                for chunk in content:
                    stream.write(chunk)
            written.append(path)
    except _DAMAGE as error:
        raise ArchiveError(
            f"{archive.name} is damaged ({error or type(error).__name__}): repeat the command to fetch it again"
        ) from error
    return written, left_out


_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, NotImplementedError)


@runtime_checkable
class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Meter:
    """Counts what is really unpacked."""

    def __init__(self, archive: pathlib.Path, limits: Limits):
        self._archive, self.limits = archive, limits
        self._packed = archive.stat().st_size
        self._bytes = self._files = 0

    def file(self) -> None:
        self._files += 1
        if self._files > self.limits.num_files:
            raise _refused(self._archive, f"it has more than {self.limits.num_files} members")

    def count(self, amount: int) -> None:
        self._bytes += amount
        if self._bytes > self.limits.num_bytes:
            raise _refused(self._archive, f"it holds more than {self.limits.num_bytes} bytes")
        if self._bytes > max(self.limits.harmless, self.limits.ratio * self._packed):
            raise _refused(self._archive, f"it inflates to more than {self.limits.ratio} times its size")

    def chunks(self, stream: _Readable) -> Iterator[bytes]:
        while chunk := stream.read(_CHUNK):
            self.count(len(chunk))
            yield chunk


class _Guarded(io.RawIOBase):
    """A file of which nothing large is read at once: headers lie about their lengths."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence == 0 and offset < 0:
            raise zipfile.BadZipFile(f"a header points to {offset}")
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1, /) -> bytes:
        if size > _LARGEST_READ or size < 0:
            chunk = self._stream.read(_LARGEST_READ + 1)
            if len(chunk) > _LARGEST_READ:
                raise zipfile.BadZipFile(f"a header of more than {_LARGEST_READ} bytes")
            return chunk
        return self._stream.read(size)


def _refused(archive: pathlib.Path, reason: str) -> ArchiveError:
    return ArchiveError(f"{archive.name} is not unpacked, because {reason}: do not use this file, and report it")


def _members(archive: pathlib.Path, meter: _Meter) -> Iterator[tuple[str, Iterator[bytes] | None]]:
    """Names as they stand, and the content of files; None is a folder."""
    with archive.open("rb") as stream:
        magic = stream.read(8)
        stream.seek(0)
        if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            yield from _zip_members(archive, stream, meter)
            return
        if magic.startswith(b"Rar!"):
            with tempfile.TemporaryFile(dir=archive.parent) as plain:
                _rar_to_tar(archive, plain, meter)
                yield from _tar_members(archive, plain, _Meter(archive, meter.limits))
            return
        if magic.startswith(b"\x1f\x8b"):
            # Inflated beside the archive first, so that one loop counts what comes out, headers and padding included.
            with tempfile.TemporaryFile(dir=archive.parent) as plain:
                with gzip.GzipFile(fileobj=stream) as inflated:
                    for chunk in meter.chunks(inflated):
                        plain.write(chunk)
                plain.seek(0)
                yield from _tar_members(archive, plain, _Meter(archive, meter.limits))
            return
        yield from _tar_members(archive, stream, meter)


def _zip_members(
    archive: pathlib.Path, stream: IO[bytes], meter: _Meter
) -> Iterator[tuple[str, Iterator[bytes] | None]]:
    try:
        opened = zipfile.ZipFile(_Guarded(stream))
    except (UnicodeDecodeError, ValueError, OverflowError) as error:
        raise zipfile.BadZipFile(str(error)) from error
    with opened:
        for info in opened.infolist():
            meter.file()
            # What the module made of the bytes is undone: it takes names for code page 437, and cuts them at a zero.
            utf8 = bool(info.flag_bits & _UTF8_NAME)
            raw = info.orig_filename.encode("utf-8" if utf8 else "cp437", "surrogateescape")
            try:
                name = names.decode_zip(raw, utf8)
            except names.UnsafeNameError as error:
                raise _refused(archive, f"{info.orig_filename!r}: {error}") from None
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, f"{name!r} is a link or a device")
            if info.flag_bits & _ENCRYPTED:
                raise _refused(archive, f"{name!r} is encrypted")
            if name.endswith("/") or stat.S_ISDIR(mode):
                yield name, None
                continue
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _refused(archive, f"{name!r} is packed by method {info.compress_type}")
            try:
                with opened.open(info) as content:
                    yield name, _whole(name, info.file_size, meter.chunks(content))
            except (RuntimeError, ValueError, OverflowError) as error:
                raise zipfile.BadZipFile(str(error)) from error


def _whole(name: str, size: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    count = 0
    for chunk in chunks:
        count += len(chunk)
        yield chunk
    if count != size:
        raise zipfile.BadZipFile(f"{name} has {count} bytes, not {size}")


def _tar_members(
    archive: pathlib.Path, stream: IO[bytes], meter: _Meter
) -> Iterator[tuple[str, Iterator[bytes] | None]]:
    try:
        opened = tarfile.TarFile(fileobj=_Guarded(stream), mode="r", encoding="utf-8", errors="surrogateescape")
    except tarfile.ReadError as error:
        raise tarfile.ReadError("it is no zip, tar, tar.gz or RAR archive") from error
    with opened:
        while True:
            try:
                member = opened.next()
            except (ValueError, OverflowError, UnicodeError) as error:
                raise tarfile.ReadError(str(error)) from error
            if member is None:
                break
            meter.file()
            if member.isdir():
                yield member.name, None
                continue
            if not member.isreg() or member.issparse():
                raise _refused(archive, f"{member.name!r} is a link or a device")
            content = opened.extractfile(member)
            assert content is not None  # of a regular file there always is
            yield member.name, _whole(member.name, member.size, meter.chunks(content))
        # The module takes a header that is cut off or damaged for the end, which is a block of zeros.
        stream.seek(opened.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it ends too early")


def bsdtar() -> str | None:
    """Libarchive's tar, which reads RAR; what macOS and Windows call tar is one."""
    if found := shutil.which("bsdtar"):
        return found
    return shutil.which("tar") if sys.platform in ("darwin", "win32") else None


def _rar_to_tar(archive: pathlib.Path, plain: IO[bytes], meter: _Meter) -> None:
    """RAR is no open format, and no library on the package index reads it alone: libarchive rewrites it as a tar."""
    program = bsdtar()
    if program is None:
        raise UserError(
            f"{archive.name} is a RAR archive, which takes bsdtar to read: install it (`apt install libarchive-tools`, "
            "`dnf install bsdtar`, `conda install libarchive`), and repeat the command, which goes on from here"
        )
    command = [program, "-c", "-f", "-", "--format", "pax", f"@{archive.resolve()}"]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            # Without a UTF-8 locale it cannot write names that are not ASCII.
            env={"LC_ALL": "C.UTF-8", "PATH": str(pathlib.Path(program).parent)},
        )
        assert process.stdout is not None  # it is a pipe
        try:
            for chunk in meter.chunks(process.stdout):
                plain.write(chunk)
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdout.close()
            code = process.wait()
        if code != 0:
            complaints.seek(0)
            said = complaints.read(300).decode(errors="replace").strip().replace("\n", "; ")
            raise tarfile.ReadError(f"bsdtar: {said}")
    plain.seek(0)
