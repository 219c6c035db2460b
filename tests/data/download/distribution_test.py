import contextlib
import errno
import hashlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
import soundfile
import wfdb

from hsjax.data.download import download, fetch, place
from hsjax.data.download import register as registers
from hsjax.data.readers import mitdb, physionet2016
from hsjax.types import UserError


def wav(value: float, rate: int = 2000) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.array([0.0, value, -value]), rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def sums(files: dict[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(content).hexdigest()} {name}\n" for name, content in files.items()).encode()


PHYSIONET = {
    f"training-{letter}/{name}": content
    for letter in "abcdef"
    for name, content in {
        "REFERENCE.csv": f"{letter}0001,1\n{letter}0002,-1\n".encode(),
        f"{letter}0001.wav": wav(0.1 + ord(letter) / 1000),
        f"{letter}0002.wav": wav(0.2 + ord(letter) / 1000),
    }.items()
}
OTHERS = {"papers/paper one.pdf": b"%PDF", "training.zip": b"PK"}


@pytest.fixture
def physionet(server, register):
    """A server with a distribution of single files, and its register."""
    for name, content in (PHYSIONET | OTHERS).items():
        server.serve(f"2016/{name}", content)
    server.serve("2016/SHA256SUMS.txt", sums(PHYSIONET | OTHERS))
    return register(
        "physionet2016",
        f'folder = "physionet2016"\nbase = "{server.address}2016/"\nsums = "SHA256SUMS.txt"\n'
        'include = ["training-[a-f]/*"]\nexpected = { "training-?/*.wav" = 12 }\nmax_megabytes = 1',
    )


def content_of(folder: pathlib.Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != place.RECEIPT
    }


def litter(root: pathlib.Path) -> set[str]:
    """What stands beside the distributions."""
    return {path.name for path in root.iterdir() if path.name.startswith(".")}


def test_single_files(physionet, server, tmp_path, patience):
    root = tmp_path / "new" / "root"
    done = download("physionet2016", root, physionet, patience)
    assert content_of(root / "physionet2016") == PHYSIONET | {"SHA256SUMS.txt": sums(PHYSIONET | OTHERS)}
    assert litter(root) == set()
    assert (done.num_files, done.num_fetched, done.unverified) == (18, 19, ())
    assert not server.asked("2016/training.zip")
    dataset = physionet2016.dataset(root)
    assert len(dataset.recordings) == 12
    assert dataset.quarantined == ()


def test_again_fetches_nothing(physionet, server, tmp_path, patience):
    download("physionet2016", tmp_path, physionet, patience)
    server.log.clear()
    again = download("physionet2016", tmp_path, physionet, patience)
    assert server.log == []
    assert again.num_fetched == 0
    assert str(again).splitlines() == [
        f"physionet2016: 18 files in {tmp_path / 'physionet2016'}, complete, nothing was fetched",
        "  SHA-256 right: 18; not verified, because none is known: 0",
    ]


def test_what_was_lost_is_fetched_again(physionet, server, tmp_path, patience):
    download("physionet2016", tmp_path, physionet, patience)
    (tmp_path / "physionet2016/training-b/b0001.wav").unlink()
    server.log.clear()
    download("physionet2016", tmp_path, physionet, patience)
    assert {one.path for one in server.log} == {"2016/SHA256SUMS.txt", "2016/training-b/b0001.wav"}
    assert len(physionet2016.dataset(tmp_path).recordings) == 12


def test_own_folder_is_completed(physionet, server, tmp_path, patience):
    """What somebody had downloaded by hand, and added, stays."""
    folder = tmp_path / "physionet2016"
    (folder / "training-a").mkdir(parents=True)
    (folder / "training-a/a0001.wav").write_bytes(PHYSIONET["training-a/a0001.wav"])
    (folder / "records_metadata.csv").write_text("mine")
    inode = (folder / "training-a/a0001.wav").stat().st_ino
    download("physionet2016", tmp_path, physionet, patience)
    assert not server.asked("2016/training-a/a0001.wav")
    assert (folder / "training-a/a0001.wav").stat().st_ino == inode
    assert content_of(folder).keys() == PHYSIONET.keys() | {"SHA256SUMS.txt", "records_metadata.csv"}


@pytest.mark.parametrize("downloaded", [False, True])
def test_files_that_differ_stand_in_the_way(physionet, server, tmp_path, patience, downloaded):
    if downloaded:
        download("physionet2016", tmp_path, physionet, patience)
    folder = tmp_path / "physionet2016/training-c"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "c0002.wav").write_bytes(b"mine")
    before = content_of(tmp_path / "physionet2016")
    with pytest.raises(UserError, match=r"1 files in .* differ from .*c0002\.wav among them: move them away, or set"):
        download("physionet2016", tmp_path, physionet, patience)
    assert content_of(tmp_path / "physionet2016") == before


def test_wrong_checksum(physionet, server, tmp_path, patience):
    server.files["2016/training-d/d0001.wav"].content = wav(0.9)
    with pytest.raises(fetch.ChecksumError, match=r"d0001\.wav has the SHA-256 .* and was removed: repeat"):
        download("physionet2016", tmp_path, physionet, patience)
    assert not (tmp_path / "physionet2016").exists()
    assert not list(tmp_path.rglob("d0001*"))
    server.files["2016/training-d/d0001.wav"].content = PHYSIONET["training-d/d0001.wav"]
    download("physionet2016", tmp_path, physionet, patience)
    assert len(server.asked("2016/training-d/d0001.wav")) == 2
    assert len(physionet2016.dataset(tmp_path).recordings) == 12


def test_incomplete_work_is_not_believed(physionet, server, tmp_path, patience):
    """A file that an interrupted call completed is damaged before the next."""
    content = server.files.pop("2016/training-f/f0002.wav")
    with pytest.raises(UserError):
        download("physionet2016", tmp_path, physionet, patience)
    work = tmp_path / ".physionet2016.download/tree/training-a/a0001.wav"
    assert work.read_bytes() == PHYSIONET["training-a/a0001.wav"]
    work.write_bytes(b"x")
    server.files["2016/training-f/f0002.wav"] = content
    download("physionet2016", tmp_path, physionet, patience)
    assert len(server.asked("2016/training-a/a0001.wav")) == 2
    assert (tmp_path / "physionet2016/training-a/a0001.wav").read_bytes() == PHYSIONET["training-a/a0001.wav"]


def test_missing_file_stops_at_once(physionet, server, tmp_path, patience):
    del server.files["2016/training-a/a0001.wav"]
    with pytest.raises(UserError, match=r"a0001\.wav is not to be had .404"):
        download("physionet2016", tmp_path, physionet, patience)
    assert not (tmp_path / "physionet2016").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "line 1 of .* is not a SHA-256"),
        (b"\xff", "no list of checksums"),
        (b"", r"has 0 files training-\?/\*\.wav, not 12"),
        (sums(PHYSIONET)[:1000], "not a SHA-256|files training"),
        (sums({"../evil": b"1"}), "refused because it climbs"),
    ],
)
def test_bad_list(physionet, server, tmp_path, patience, content, message):
    server.files["2016/SHA256SUMS.txt"].content = content
    with pytest.raises(UserError, match=message):
        download("physionet2016", tmp_path, physionet, patience)
    assert not (tmp_path / "physionet2016").exists()


def test_mitdb(server, register, tmp_path, patience):
    """Records that wfdb wrote come out as records that the reader takes."""
    source = tmp_path / "source"
    source.mkdir()
    samples = np.round(np.sin(np.arange(720) / 20)[:, None] * 200) / 200
    wfdb.wrsamp("100", 360, ["mV"], ["MLII"], samples, fmt=["212"], adc_gain=[200], baseline=[0], write_dir=str(source))
    wfdb.wrann("100", "atr", np.array([100, 300]), ["N", "V"], write_dir=str(source))
    files = {path.name: path.read_bytes() for path in source.iterdir()}
    for name, content in (files | {"SHA256SUMS.txt": sums(files)}).items():
        server.serve(f"mitdb/{name}", content)
    real = registers.read("mitdb")
    where = register(
        "mitdb",
        f'folder = "{real.folder}"\nbase = "{server.address}mitdb/"\nsums = "SHA256SUMS.txt"\n'
        f"include = {json.dumps(real.include)}\nmax_megabytes = 1",
    )
    download("mitdb", tmp_path / "root", where, patience)
    assert mitdb.records(tmp_path / "root") == ("100",)
    np.testing.assert_allclose(mitdb.lead(tmp_path / "root", "100").samples, samples[:, 0], atol=1e-9)
    assert mitdb.beats(tmp_path / "root", "100").symbol.tolist() == ["N", "V"]


YASEEN = {f"{label}_New_3주기/New_{label}_{n:03d}.wav": wav(n / 10, 8000) for label in ("AS", "N") for n in (1, 2)}


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def of_class(label: str, files=YASEEN) -> bytes:
    return zipped({name: content for name, content in files.items() if name.startswith(f"{label}_")})


@pytest.fixture
def yaseen(server, register):
    """A server with a distribution of archives; three of four files have a known checksum."""
    server.serve("AS_New_3주기.zip", of_class("AS"))
    server.serve("N_New_3주기.rar", of_class("N"))
    known = {name: content for name, content in YASEEN.items() if name != "N_New_3주기/New_N_002.wav"}
    return register(
        "yaseen2018",
        f'folder = "yaseen2018"\nbases = ["{server.address}"]\nmax_megabytes = 1\nchecksums = "known.sha256"\n'
        'archives = [{ names = ["AS_New_3주기.rar", "AS_New_3주기.zip"] }, { names = ["N_New_3주기.rar"] }]\n'
        r"""rename = [['(?:.*/)?New_(AS|N)_(\d{3})\.wav', '\1_New_3주기/New_\1_\2.wav']]"""
        '\nexpected = { "*/*.wav" = 4 }',
        known,
    )


def test_archives(yaseen, server, tmp_path, patience):
    done = download("yaseen2018", tmp_path, yaseen, patience)
    assert content_of(tmp_path / "yaseen2018") == YASEEN
    assert litter(tmp_path) == {"register"} - {"register"}
    assert done.unverified == ("N_New_3주기/New_N_002.wav",)
    assert done.num_fetched == 2
    assert str(done).splitlines()[1] == (
        "  SHA-256 right: 3; not verified, because none is known: 1 (N_New_3주기/New_N_002.wav; all of them in "
        ".hsjax-download.json)"
    )
    server.log.clear()
    again = download("yaseen2018", tmp_path, yaseen, patience)
    assert again.num_fetched == 0
    assert again.unverified == done.unverified
    assert server.log == []


def test_changes_of_unverified_files_are_seen(yaseen, tmp_path, patience):
    download("yaseen2018", tmp_path, yaseen, patience)
    (tmp_path / "yaseen2018/N_New_3주기/New_N_002.wav").write_bytes(b"x")
    with pytest.raises(UserError, match="New_N_002"):
        download("yaseen2018", tmp_path, yaseen, patience)


def test_wrong_file_in_an_archive(yaseen, server, tmp_path, patience):
    good = server.files["AS_New_3주기.zip"].content
    server.files["AS_New_3주기.zip"].content = of_class("AS", YASEEN | {"AS_New_3주기/New_AS_001.wav": wav(0.7)})
    with pytest.raises(fetch.ChecksumError, match="1 files of yaseen2018 have not the registered SHA"):
        download("yaseen2018", tmp_path, yaseen, patience)
    assert not (tmp_path / "yaseen2018").exists()
    assert not list(tmp_path.rglob("*.wav"))
    server.files["AS_New_3주기.zip"].content = good
    download("yaseen2018", tmp_path, yaseen, patience)
    assert content_of(tmp_path / "yaseen2018") == YASEEN


@pytest.mark.parametrize("content", [b"<html>no such file</html>", b"PK\x03\x04 but no more", of_class("AS")[:-30]])
def test_damaged_archive(yaseen, server, tmp_path, patience, content):
    good = server.files["AS_New_3주기.zip"].content
    server.files["AS_New_3주기.zip"].content = content
    with pytest.raises(UserError, match=r"damaged .* repeat the command to fetch it again"):
        download("yaseen2018", tmp_path, yaseen, patience)
    assert not (tmp_path / "yaseen2018").exists()
    server.files["AS_New_3주기.zip"].content = good
    download("yaseen2018", tmp_path, yaseen, patience)
    assert content_of(tmp_path / "yaseen2018") == YASEEN
    assert len(server.asked("N_New_3주기.rar")) == 1  # that one was kept


def test_malicious_archive(yaseen, server, tmp_path, patience):
    server.files["N_New_3주기.rar"].content = zipped({"New_N_001.wav": b"1", "../../../evil/New_N_002.wav": b"2"})
    before = {path.name for path in tmp_path.parent.iterdir()}
    with pytest.raises(UserError, match="climbs out"):
        download("yaseen2018", tmp_path, yaseen, patience)
    assert not list(tmp_path.parent.rglob("evil"))
    assert {path.name for path in tmp_path.parent.iterdir()} == before
    assert not (tmp_path / "yaseen2018").exists()


def test_archive_without_a_registered_file(yaseen, server, tmp_path, patience):
    files = YASEEN | {"AS_New_3주기/New_AS_003.wav": b"3"}
    del files["AS_New_3주기/New_AS_001.wav"]
    server.files["AS_New_3주기.zip"].content = of_class("AS", files)
    with pytest.raises(UserError, match=r"lack 1 registered files, AS_New_3주기/New_AS_001.wav"):
        download("yaseen2018", tmp_path, yaseen, patience)


def test_no_address_answers(yaseen, server, tmp_path, patience):
    del server.files["AS_New_3주기.zip"]
    with pytest.raises(UserError, match=r"AS_New_3.*\.rar is not to be had .404"):
        download("yaseen2018", tmp_path, yaseen, patience)
    assert len(server.asked("AS_New_3주기.zip")) == 1
    assert litter(tmp_path) == set()


def test_optional_parts_and_marks(server, register, tmp_path, patience):
    server.serve("A.zip", zipped({"Atraining_normal/201101070538.wav": b"1"}))
    server.serve("second/seg.csv", b",S1,S2\n201101070538.aif,5,9\n")
    where = register(
        "pascal",
        f'folder = "pascal"\nbases = ["{server.address}"]\nmax_megabytes = 1\n'
        'archives = [{ names = ["A.zip"] }, { names = ["B.zip"], optional = true }]\n'
        'marks = { names = ["seg.csv", "second/seg.csv"], optional = true }\n'
        r"""rename = [['Atraining_normal/([^/]+\.wav)', 'set_a/normal__\1']]""",
    )
    done = download("pascal", tmp_path, where, patience)
    assert done.missing == ("B.zip",)
    assert str(done).endswith("not to be had: B.zip")
    assert content_of(tmp_path / "pascal") == {
        "set_a/normal__201101070538.wav": b"1",
        "set_a_timing.csv": b"fname,cycle,sound,location\n"
        b"set_a/normal__201101070538.wav,1,S1,5\nset_a/normal__201101070538.wav,1,S2,9\n",
    }


PROGRAM = """
import pathlib, resource, sys
from hsjax.data.download import download, fetch
from hsjax.types import UserError
name, root, register, limit = sys.argv[1:]
if int(limit):
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    print(download(name, pathlib.Path(root), pathlib.Path(register), fetch.Patience(20.0, 3, 0.01)))
except UserError as error:
    sys.exit(str(error))
"""


def start(name: str, root: pathlib.Path, where: pathlib.Path, limit: int = 0) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, name, str(root), str(where), str(limit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


LARGE = np.random.default_rng(0).bytes(2_000_000)


@pytest.fixture
def large(server, register):
    """An archive of one incompressible file."""
    server.serve("large.zip", zipped({"a/large.bin": LARGE}))
    return register(
        "large",
        f'folder = "large"\nbases = ["{server.address}"]\nmax_megabytes = 5\narchives = [{{ names = ["large.zip"] }}]',
    )


def wait_for(condition) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "waited for nothing"
        time.sleep(0.005)


def test_killed_while_fetching(large, server, tmp_path, patience):
    root = tmp_path / "root"
    served = server.files["large.zip"]
    served.gate = threading.Event()
    process = start("large", root, large)
    partial = root / ".large.download" / "parts"
    wait_for(lambda: sum(path.stat().st_size for path in partial.glob("*.partial")) >= 900_000)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    served.gate.set()
    assert not (root / "large").exists()
    (came,) = (path.stat().st_size for path in partial.glob("*.partial"))
    download("large", root, large, patience)
    assert server.log[-1].range == f"bytes={came}-"
    assert server.log[-1].sent == len(served.content) - came
    assert content_of(root / "large") == {"a/large.bin": LARGE}
    assert litter(root) == set()


class Killed(BaseException):
    """As sudden as a kill: nothing of ours catches it, and nothing is cleaned up that a kill would not."""


@pytest.mark.parametrize(
    ("name", "own", "steps"),
    [
        ("physionet2016", False, (0, 1, 9, 18, 19, 20)),
        ("yaseen2018", False, range(20)),
        ("yaseen2018", True, range(20)),
    ],
)
def test_killed_anywhere(name, own, steps, physionet, yaseen, server, tmp_path, patience, monkeypatch):
    """Before a step that changes the disk for good, each in turn; the next call ends as if nothing had been."""
    where = register_of(name, tmp_path, server)
    expected = PHYSIONET | {"SHA256SUMS.txt": sums(PHYSIONET | OTHERS)} if name == "physionet2016" else YASEEN
    replace = os.replace
    for fatal in steps:
        root = tmp_path / f"root-{fatal}"
        if own:
            (root / name).mkdir(parents=True)
        count = 0

        def dying(*arguments, fatal=fatal):
            nonlocal count
            count += 1
            if count > fatal:
                raise Killed
            return replace(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", dying)
            with contextlib.suppress(Killed):
                download(name, root, where, patience)
        assert own or count <= fatal or not (root / name).exists()
        download(name, root, where, patience)
        assert content_of(root / name) == expected
        assert litter(root) == set()
        if count <= fatal:
            return
    pytest.fail("there are more steps than were tried")


def register_of(name: str, tmp_path: pathlib.Path, server) -> pathlib.Path:
    """Both fixtures write the same file: this is one with the table of `name` alone."""
    text = {
        "physionet2016": f'folder = "physionet2016"\nbase = "{server.address}2016/"\nsums = "SHA256SUMS.txt"\n'
        'include = ["training-[a-f]/*"]\nmax_megabytes = 1',
        "yaseen2018": f'folder = "yaseen2018"\nbases = ["{server.address}"]\nmax_megabytes = 1\n'
        'archives = [{ names = ["AS_New_3주기.zip"] }, { names = ["N_New_3주기.rar"] }]',
    }[name]
    path = tmp_path / f"{name}.toml"
    path.write_text(f"[{name}.download]\n{text}\n", encoding="utf-8")
    return path


def test_two_processes(large, server, tmp_path, patience):
    root = tmp_path / "root"
    server.files["large.zip"].gate = threading.Event()
    process = start("large", root, large)
    wait_for(lambda: server.log)
    with pytest.raises(UserError, match=r"another process is downloading .* wait until it is done"):
        download("large", root, large, patience)
    server.files["large.zip"].gate.set()
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert output.startswith("large: 1 files in")
    assert len(server.log) == 1
    assert download("large", root, large, patience).num_fetched == 0


def test_disk_full(large, server, tmp_path, patience):
    """No file may grow beyond 1 MB: the kernel refuses the write as it does on a full disk."""
    root = tmp_path / "root"
    (root / "large").mkdir(parents=True)
    (root / "large/mine").write_text("mine")
    process = start("large", root, large, limit=1_000_000)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "there is no more space in" in errors
    assert "which goes on from .large.download" in errors
    assert len(errors.splitlines()) == 1
    assert content_of(root / "large") == {"mine": b"mine"}
    download("large", root, large, patience)
    assert server.log[-1].range == "bytes=1000000-"
    assert content_of(root / "large") == {"mine": b"mine", "a/large.bin": LARGE}


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_folder_that_cannot_be_written(large, tmp_path, patience, monkeypatch, code):
    def refuse(path, *arguments, **named):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(pathlib.Path, "mkdir", refuse)
    with pytest.raises(UserError, match=r"cannot be written .* set --root to a folder that can"):
        download("large", tmp_path, large, patience)


def test_root_is_a_file(large, tmp_path, patience):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="the file system refuses"):
        download("large", tmp_path / "file" / "root", large, patience)


def test_destination_is_a_link(large, tmp_path, patience):
    """To another disk, say: the work is done there."""
    (tmp_path / "big").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/large").symlink_to(tmp_path / "big")
    download("large", tmp_path / "root", large, patience)
    assert content_of(tmp_path / "big") == {"a/large.bin": LARGE}
    assert (tmp_path / "root/large").is_symlink()


@pytest.mark.parametrize("receipt", ["", "[]", '{"sources": [], "files": {"../x": ""}, "unverified": []}'])
def test_damaged_receipt_is_none(physionet, tmp_path, patience, receipt):
    download("physionet2016", tmp_path, physionet, patience)
    (tmp_path / "physionet2016" / place.RECEIPT).write_text(receipt)
    assert download("physionet2016", tmp_path, physionet, patience).num_fetched == 1  # the list


@pytest.mark.realdata
def test_real_recordings_arrive(real_root, server, tmp_path, patience):
    """Zips of the real recordings under the official names, with Korean folders as a Korean Windows writes them."""
    folder = real_root / "yaseen2018"
    real = registers.read("yaseen2018")
    for archive in real.archives:
        name = archive.name.removesuffix(".rar")
        marker = "xx"
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as written:
            for path in (folder / name).glob("*.wav"):
                written.write(path, f"{name.replace('주기', marker * 2)}/{path.name}")
        server.serve(archive.name, stream.getvalue().replace((marker * 2).encode(), "주기".encode("cp949")))
    source = registers.REGISTER
    text = source.read_text(encoding="utf-8")
    begin = text.index("[yaseen2018.download]")
    table = text[begin:].split("\n[", 1)[0]
    bases = next(line for line in table.splitlines() if line.startswith("bases"))
    table = table.replace(bases, f'bases = ["{server.address}"]')
    table = table.replace("= 1000", f"= {len(real.checksums)}")
    (tmp_path / "checksums").mkdir()
    known = (source.parent / "checksums/yaseen2018.sha256").read_bytes()
    (tmp_path / "checksums/yaseen2018.sha256").write_bytes(known)
    (tmp_path / "datasets.toml").write_text(table, encoding="utf-8")
    done = download("yaseen2018", tmp_path, tmp_path / "datasets.toml", patience)
    assert done.num_files == len(real.checksums)
    assert done.unverified == ()
    assert content_of(tmp_path / "yaseen2018").keys() == real.checksums.keys()
