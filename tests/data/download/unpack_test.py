import contextlib
import gzip
import io
import pathlib
import stat
import struct
import sys
import tarfile
import unicodedata
import zipfile
import zlib

import pytest

from hsjax.data.download import names, unpack
from hsjax.types import UserError

LIMITS = unpack.Limits(num_bytes=10**8)


@pytest.fixture
def run(tmp_path):
    """Unpacks bytes; whatever happens, nothing but files below `out` may have come into being."""
    folder = tmp_path / "work" / "out"
    folder.mkdir(parents=True)

    def unpack_bytes(content: bytes, limits=LIMITS, rename=lambda name: name):
        archive = tmp_path / "work" / "archive"
        archive.write_bytes(content)
        try:
            return unpack.unpack(archive, folder, limits, rename, names.Taken())
        finally:
            everything = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
            assert {path for path in everything if not path.startswith("work/out")} == {"work", "work/archive"}
            assert all(stat.S_IFMT(path.lstat().st_mode) in (stat.S_IFREG, stat.S_IFDIR) for path in folder.rglob("*"))

    unpack_bytes.folder = folder
    return unpack_bytes


def zipped(*members, method=zipfile.ZIP_DEFLATED) -> bytes:
    """Members are a name or ZipInfo, and content."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(*members) -> bytes:
    """Members are a name or TarInfo, and content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


MAKERS = {"zip": zipped, "tar": tarred, "tar.gz": lambda *members: gzip.compress(tarred(*members))}
LARGE = bytes(range(256)) * 4096


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_files(run, make):
    written, left_out = run(make(("b", b"1"), ("a/c.wav", LARGE), ("a/empty", b""), ("__MACOSX/._b", b"x")))
    assert written == ["b", "a/c.wav", "a/empty"]
    assert left_out == []
    assert (run.folder / "b").read_bytes() == b"1"
    assert (run.folder / "a/c.wav").read_bytes() == LARGE
    assert sorted(path.name for path in run.folder.rglob("*")) == ["a", "b", "c.wav", "empty"]


def test_renamed_and_left_out(run):
    rename = {"x/a.wav": "set/A.wav"}.get
    assert run(zipped(("x/a.wav", b"1"), ("x/readme", b"2")), rename=rename) == (["set/A.wav"], ["x/readme"])
    assert (run.folder / "set/A.wav").read_bytes() == b"1"


def test_modes_of_the_archive_are_not_taken(run):
    info = zipfile.ZipInfo("program")
    info.external_attr = (stat.S_IFREG | 0o4777) << 16
    run(zipped((info, b"")))
    assert stat.S_IMODE((run.folder / "program").stat().st_mode) & 0o7111 == 0


EVIL_NAMES = ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:\\evil", "C:evil", "a\\b", "aux", "a\nb"]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("name", EVIL_NAMES)
def test_names_that_lead_elsewhere(run, make, name):
    with pytest.raises(unpack.ArchiveError, match="archive is not unpacked, because"):
        run(make(("good", b"1"), (name, b"evil")))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    "pair", [("a", "A"), ("주기", unicodedata.normalize("NFD", "주기")), ("x/a", "X/b"), ("a", "a/b")]
)
def test_names_that_collide(run, make, pair):
    with pytest.raises(unpack.ArchiveError, match=r"collides|twice"):
        run(make(*((name, b"1") for name in pair)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_name_twice(run, make):
    with pytest.raises(unpack.ArchiveError, match="twice"):
        run(make(("a", b"1"), ("a", b"2")))


def test_names_that_collide_when_renamed(run):
    with pytest.raises(unpack.ArchiveError, match="twice"):
        run(zipped(("x/a", b"1"), ("y/a", b"2")), rename=lambda name: "a")


def zip_with_name(raw: bytes) -> bytes:
    """A zip whose one member's name is these bytes, without the flag of UTF-8."""
    placeholder = b"n" * len(raw)
    return zipped((placeholder.decode(), b"1")).replace(placeholder, raw)


@pytest.mark.parametrize("encoding", ["cp949", "euc-kr", "utf-8"])
def test_korean_names(run, encoding):
    name = "AS_New_3주기/New_AS_001.wav"
    assert run(zip_with_name(name.encode(encoding)))[0] == [name]
    assert (run.folder / name).is_file()


def test_korean_name_with_flag(run):
    assert run(zipped(("3주기/a", b"1")))[0] == ["3주기/a"]


def test_korean_name_of_a_mac(run):
    name = "N_New_3주기/a"
    assert run(zip_with_name(unicodedata.normalize("NFD", name).encode()))[0] == [name]


def test_zero_in_a_name(run):
    with pytest.raises(unpack.ArchiveError, match="control"):
        run(zip_with_name(b"good.wav\x00/../../evil"))


def test_name_in_no_encoding(run):
    with pytest.raises(unpack.ArchiveError, match="neither"):
        run(zip_with_name(b"\xff\xff"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_in_zip(run, kind):
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16
    with pytest.raises(unpack.ArchiveError, match="link or a device"):
        run(zipped((info, b"/etc/passwd"), ("link/evil", b"1")))


KINDS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]


@pytest.mark.parametrize("kind", KINDS)
def test_links_and_devices_in_tar(run, kind):
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(unpack.ArchiveError):
        run(tarred((info, b""), ("link/evil", b"1")))


def test_encrypted(run):
    content = bytearray(zipped(("a", b"1")))
    content[6] |= 1  # flags of the local header, and of the central one
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(unpack.ArchiveError, match="'a' is encrypted: do not use"):
        run(bytes(content))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods(run, method):
    with pytest.raises(unpack.ArchiveError, match="packed by method"):
        run(zipped(("a", b"1"), method=method))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_too_many_bytes(run, make):
    members = [(f"{count}", bytes(10**6)) for count in range(4)]
    with pytest.raises(unpack.ArchiveError, match="more than 3000000 bytes"):
        run(make(*members), unpack.Limits(num_bytes=3 * 10**6))
    assert sum(path.stat().st_size for path in run.folder.rglob("*")) <= 3 * 10**6


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bomb(run, kind):
    with pytest.raises(unpack.ArchiveError, match="inflates to more than 200 times"):
        run(MAKERS[kind](("a", bytes(4 << 20))), unpack.Limits(10**8, harmless=1 << 20))
    assert sum(path.stat().st_size for path in run.folder.rglob("*")) <= 1 << 20


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_too_many_files(run, make):
    with pytest.raises(unpack.ArchiveError, match="more than 10 members"):
        run(make(*((f"{count}", b"") for count in range(11))), unpack.Limits(10**6, num_files=10))


@pytest.mark.parametrize("size", [0, 1, 10**6 - 1, 10**6 + 1, 2**32 - 2])
def test_zip_that_lies_about_a_size(run, size):
    content = bytearray(zipped(("a", bytes(10**6))))
    content[22:26] = content[(at := content.index(b"PK\x01\x02") + 24) : at + 4] = struct.pack("<I", size)
    with pytest.raises(unpack.ArchiveError):
        run(bytes(content))


def test_zip_with_wrong_content(run):
    content = bytearray(zipped(("a", b"12345"), method=zipfile.ZIP_STORED))
    content[content.index(b"12345")] ^= 1
    with pytest.raises(unpack.ArchiveError, match="damaged"):
        run(bytes(content))


def test_zip_with_a_huge_table(run):
    """The end says that its table is 20 MB long: as much is not let into memory."""
    content = bytearray(zipped(("a", b"1")))
    at = content.index(b"PK\x05\x06")
    table = bytes(20 << 20)
    content[at + 12 : at + 20] = struct.pack("<II", len(table), at)
    with pytest.raises(unpack.ArchiveError):
        run(bytes(content[:at]) + table + bytes(content[at:]))


def test_tar_with_a_huge_header(run):
    """A pax header of 20 MB, which the module would read whole."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 20 << 20
    content = info.tobuf(tarfile.USTAR_FORMAT) + bytes(20 << 20) + tarred(("a", b"1"))
    with pytest.raises(unpack.ArchiveError):
        run(content, unpack.Limits(10**9))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("keep", [0.001, 0.3, 0.6, 0.9, 0.999])
def test_truncated(run, make, keep):
    content = make(*((f"{count}.wav", LARGE[count:50_000]) for count in range(5)))
    if make is tarred:
        content = content[: 5 * 50_688 + 512]  # nothing behind the first block of zeros
    with pytest.raises(unpack.ArchiveError):
        run(content[: int(len(content) * keep)])


@pytest.mark.parametrize("content", [b"", b"<html>", bytes(100), b"PK\x03\x04", b"\x1f\x8b", b"\x1f\x8b" + bytes(9)])
def test_no_archive(run, content):
    with pytest.raises(unpack.ArchiveError, match="damaged"):
        run(content)


@pytest.mark.parametrize("content", [zipped(), tarred()])
def test_archive_of_nothing(run, content):
    assert run(content) == ([], [])


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_damaged_anywhere(run, make, rng, tmp_path):
    """Whatever is flipped, there is an archive error, or files below the folder."""
    content = make(("a/b.wav", LARGE[:3000]), ("c", b"1"))
    for round_ in range(40):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        archive = tmp_path / "damaged"
        archive.write_bytes(damaged)
        folder = tmp_path / "flips" / f"{round_}"
        folder.mkdir(parents=True)
        with contextlib.suppress(unpack.ArchiveError):
            unpack.unpack(archive, folder, LIMITS, lambda name: name, names.Taken())
    archive.unlink()
    assert {path.name for path in tmp_path.iterdir()} == {"work", "flips"}
    for path in sorted((tmp_path / "flips").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "flips").rmdir()


def rar4(*members: tuple[str, bytes]) -> bytes:
    """A RAR 4 archive of stored files, by RARLAB's technote: blocks of CRC16, type, flags, size, fields, data."""

    def block(kind: int, flags: int, fields: bytes, data: bytes = b"") -> bytes:
        rest = struct.pack("<BHH", kind, flags, 7 + len(fields)) + fields
        return struct.pack("<H", zlib.crc32(rest) & 0xFFFF) + rest + data

    archive = b"Rar!\x1a\x07\x00" + block(0x73, 0, bytes(6))
    for name, content in members:
        raw = name.encode()
        fields = struct.pack(
            "<IIBIIBBHI", len(content), len(content), 3, zlib.crc32(content), 0x21 << 16, 20, 0x30, len(raw), 0o100644
        )
        archive += block(0x74, 0x8000, fields + raw, content)
    return archive + block(0x7B, 0x4000, b"")


RAR = rar4(("New_AS_001.wav", LARGE), ("sub/b", b"1"))


@pytest.fixture
def stand_in(tmp_path_factory, monkeypatch):
    """A program called bsdtar that writes the given bytes, and ends with the given code."""
    folder = tmp_path_factory.mktemp("bin")

    def install(output: bytes, code: int = 0, complaint: str = "") -> pathlib.Path:
        (folder / "output").write_bytes(output)
        program = folder / "bsdtar"
        program.write_text(
            f"#!{sys.executable}\nimport shutil, sys\n"
            f"open({str(folder / 'asked')!r}, 'w').write(' '.join(sys.argv[1:]))\n"
            f"shutil.copyfileobj(open({str(folder / 'output')!r}, 'rb'), sys.stdout.buffer)\n"
            f"sys.stdout.flush()\nsys.exit({complaint!r} or {code})\n"
        )
        program.chmod(0o755)
        return folder / "asked"

    monkeypatch.setenv("PATH", str(folder))
    return install


def test_rar_without_bsdtar(run, stand_in):
    with pytest.raises(UserError, match="takes bsdtar to read: install it"):
        run(RAR)


def test_rar_becomes_a_tar(run, stand_in):
    asked = stand_in(tarred(("a/b", b"1")))
    assert run(RAR)[0] == ["a/b"]
    assert asked.read_text().split()[:5] == ["-c", "-f", "-", "--format", "pax"]
    assert asked.read_text().endswith("/work/archive")


def test_rar_is_believed_no_more_than_a_tar(run, stand_in):
    stand_in(tarred(("../evil", b"1")))
    with pytest.raises(unpack.ArchiveError, match="climbs"):
        run(RAR)


def test_damaged_rar(run, stand_in):
    stand_in(tarred(("a", b"1")), complaint="Truncated RAR file")
    with pytest.raises(unpack.ArchiveError, match="bsdtar: Truncated RAR file"):
        run(RAR)


def test_endless_rar(run, stand_in):
    stand_in(bytes(10**7))
    with pytest.raises(unpack.ArchiveError, match="more than 1000000 bytes"):
        run(RAR, unpack.Limits(10**6))
