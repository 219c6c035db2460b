import errno
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from hsjax.data import example_store
from hsjax.types import Examples, UserError

KEY, OTHER = "a" * 64, "b" * 64
WINDOW = 8
ABOUT = {"dataset": "made"}


def pieces(count: int = 5, rows: int = 3):
    """Piece i holds i everywhere."""
    for index in range(count):
        filled = (np.full(rows, index, kind) for kind in (np.int32, np.int32, np.float64))
        yield Examples(np.full((rows, WINDOW), index, np.float32), *filled)


def refuse():
    raise AssertionError("made although it is there")


def load(cache_dir: pathlib.Path, make=pieces, key: str = KEY) -> Examples:
    return example_store.load_or_make(cache_dir, key, WINDOW, make, ABOUT)[0]


def assert_whole(examples: Examples, count: int = 5, rows: int = 3) -> None:
    want = np.repeat(np.arange(count), rows)
    np.testing.assert_array_equal(examples.samples, np.repeat(want[:, None], WINDOW, axis=1))
    for field, kind in (("label", np.int32), ("recording", np.int32), ("start", np.float64)):
        values = getattr(examples, field)
        assert values.dtype == kind
        np.testing.assert_array_equal(values, want)


def left(cache_dir: pathlib.Path) -> list[str]:
    return sorted(path.name for path in (cache_dir / "prepared").iterdir())


def test_made_once_then_read_as_a_read_only_map(tmp_path):
    cache_dir = tmp_path / "deep" / "cache"
    made, kept = example_store.load_or_make(cache_dir, KEY, WINDOW, pieces, ABOUT)
    assert not kept
    assert_whole(made)
    again, kept = example_store.load_or_make(cache_dir, KEY, WINDOW, refuse, ABOUT)
    assert kept
    assert_whole(again)
    assert isinstance(again.samples, np.memmap)
    for array in vars(again).values():
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert left(cache_dir) == [KEY]


def test_files_are_plain_npy(tmp_path):
    load(tmp_path)
    assert_whole(Examples(*(np.load(tmp_path / "prepared" / KEY / f"{name}.npy") for name in Examples.__annotations__)))


def test_pieces_are_written_as_they_come(tmp_path):
    """What is made is on the disk before the next piece is asked for: they are never in memory together."""
    sizes = []

    def watched():
        for piece in pieces(4, rows=50_000):  # 1.6 MB each
            yield piece
            (samples,) = tmp_path.glob("prepared/*partial*/samples.npy")
            sizes.append(samples.stat().st_size)

    load(tmp_path, watched)
    np.testing.assert_allclose(np.diff(sizes), 50_000 * WINDOW * 4)


def truncate(entry):
    with (entry / "samples.npy").open("r+b") as file:
        file.truncate(200)


def lengthen(entry):
    with (entry / "samples.npy").open("ab") as file:
        file.write(b"0")


def flip_a_label(entry):
    data = bytearray((entry / "label.npy").read_bytes())
    data[-1] ^= 1
    (entry / "label.npy").write_bytes(data)


def lie_about_the_shape(entry):
    content = json.loads((entry / "entry.json").read_text())
    content["files"]["samples"]["shape"][0] += 1
    (entry / "entry.json").write_text(json.dumps(content))


def transpose(entry):
    np.save(entry / "samples.npy", np.load(entry / "samples.npy").T.copy().reshape(15, WINDOW, order="F").T.copy())


def foreign_key(entry):
    shutil.copytree(entry, entry.with_name(OTHER))
    shutil.rmtree(entry)
    entry.with_name(OTHER).rename(entry)
    content = json.loads((entry / "entry.json").read_text())
    (entry / "entry.json").write_text(json.dumps(content | {"key": OTHER}))


def older_format(entry):
    content = json.loads((entry / "entry.json").read_text())
    (entry / "entry.json").write_text(json.dumps(content | {"format": 0}))


def becomes_a_file(entry):
    shutil.rmtree(entry)
    entry.write_text("not a folder")


def pickled(entry):
    np.save(entry / "samples.npy", np.array([{}] * 15, object), allow_pickle=True)
    content = json.loads((entry / "entry.json").read_text())
    content["files"]["samples"]["bytes"] = (entry / "samples.npy").stat().st_size
    (entry / "entry.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "damage",
    [
        truncate, lengthen, flip_a_label, lie_about_the_shape, transpose, foreign_key, older_format, becomes_a_file,
        pickled,
        lambda entry: (entry / "start.npy").unlink(),
        lambda entry: (entry / "entry.json").unlink(),
        *(lambda entry, text=text: (entry / "entry.json").write_text(text)
          for text in ("", "[]", "null", "{", '{"format": 1}', "[" * 100_000)),
    ],
)  # fmt: skip
def test_damaged_entries_are_made_anew_with_a_note(tmp_path, damage, capsys):
    load(tmp_path)
    damage(tmp_path / "prepared" / KEY)
    assert_whole(load(tmp_path))
    note = capsys.readouterr().err
    assert note.count("\n") == (damage is not becomes_a_file)
    assert "made anew" in note or damage is becomes_a_file
    assert_whole(load(tmp_path, refuse))
    assert left(tmp_path) == [KEY]


def test_another_window_is_not_taken_for_this_one(tmp_path):
    load(tmp_path)
    content, kept = example_store.load_or_make(tmp_path, KEY, 4, lambda: [Examples(
        np.zeros((1, 4), np.float32), np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1))], ABOUT)  # fmt: skip
    assert not kept
    assert content.samples.shape == (1, 4)


def test_an_interruption_leaves_nothing(tmp_path):
    def interrupted():
        yield from pieces(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(tmp_path, interrupted)
    assert left(tmp_path) == []
    assert_whole(load(tmp_path))


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch, call):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "fsync":
        monkeypatch.setattr(example_store.os, "fsync", full)
    else:
        monkeypatch.setattr(example_store, "_header", lambda *arguments: full())
    with pytest.raises(UserError, match=r"disk is full.*--config\.data\.cache"):
        load(tmp_path)
    assert left(tmp_path) == []


def test_a_really_full_disk(tmp_path, monkeypatch):
    """/dev/full takes the place of the file of samples: every write of it fails as on a full disk."""
    plain = pathlib.Path.open

    def to_full(self, *arguments, **keywords):
        return plain(pathlib.Path("/dev/full") if self.name == "samples.npy" else self, *arguments, **keywords)

    monkeypatch.setattr(pathlib.Path, "open", to_full)
    with pytest.raises(UserError, match="disk is full"):
        load(tmp_path, lambda: pieces(3, rows=50_000))
    assert left(tmp_path) == []


def test_errors_of_the_recordings_are_not_the_cache_folder_s(tmp_path):
    def unreadable():
        yield from pieces(1)
        raise OSError(errno.EIO, "the disk of the recordings")

    with pytest.raises(OSError, match="of the recordings"):
        load(tmp_path, unreadable)
    assert left(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Not a directory.*--config\.data\.cache"):
        load(tmp_path / "file" / "cache")


def test_a_read_only_folder_can_be_read(tmp_path, monkeypatch):
    load(tmp_path)

    def read_only(*arguments, **keywords):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(pathlib.Path, "mkdir", read_only)
    assert_whole(load(tmp_path, refuse))
    with pytest.raises(UserError, match="Read-only file system"):
        load(tmp_path, key=OTHER)


def test_entries_and_clear(tmp_path):
    assert example_store.entries(tmp_path) == example_store.clear(tmp_path) == ()
    load(tmp_path)
    load(tmp_path, key=OTHER)
    (tmp_path / "prepared" / OTHER / "entry.json").write_text("{")
    (tmp_path / "prepared" / "notes.txt").write_text("not ours")
    (tmp_path / "prepared" / f"{KEY}.partial-0").mkdir()
    (tmp_path / "prepared" / f"{OTHER}.lock").touch()
    first, second = sorted(example_store.entries(tmp_path), key=lambda entry: entry.key)
    assert (first.key, first.about, first.num_examples) == (KEY, ABOUT, 15)
    assert first.num_bytes == sum(file.stat().st_size for file in first.path.iterdir())
    assert (second.key, second.about, second.num_examples) == (OTHER, {}, 0)
    mapped = load(tmp_path)
    assert len(example_store.clear(tmp_path)) == 2
    assert left(tmp_path) == ["notes.txt"]
    assert_whole(mapped)  # a reader can read on


CHILD = f"""
import sys, time, pathlib
import numpy as np
from hsjax.data import example_store
from hsjax.types import Examples

def pieces():
    print("began", flush=True)
    for index in range(5):
        time.sleep(float(sys.argv[2]))
        filled = (np.full(3, index, kind) for kind in (np.int32, np.int32, np.float64))
        yield Examples(np.full((3, {WINDOW}), index, np.float32), *filled)

examples, kept = example_store.load_or_make(pathlib.Path(sys.argv[1]), "{KEY}", {WINDOW}, pieces, {{}})
print("read" if kept else "made", float(examples.samples.sum()), flush=True)
"""
SUM = str(float(3 * WINDOW * (0 + 1 + 2 + 3 + 4)))


def child(cache_dir: pathlib.Path, seconds: float) -> subprocess.Popen:
    command = [sys.executable, "-c", CHILD, str(cache_dir), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


KILLER = f"""
import os, pathlib, random, signal, sys, time
import numpy as np
from hsjax.data import example_store
from hsjax.types import Examples

def pieces():
    for index in range(40):
        filled = (np.full(400, index, kind) for kind in (np.int32, np.int32, np.float64))
        yield Examples(np.full((400, {WINDOW}), index, np.float32), *filled)

def load(folder, make=pieces):
    return example_store.load_or_make(folder, "{KEY}", {WINDOW}, make, {{}})

def forked(folder):
    process = os.fork()
    if process == 0:
        try:
            load(folder)
        finally:
            os._exit(0)
    return process

folder, choose, whole = pathlib.Path(sys.argv[1]), random.Random(0), 0
began = time.monotonic()
os.waitpid(forked(folder / "timed"), 0)
duration = time.monotonic() - began
for _ in range(40):
    process = forked(folder)
    time.sleep(choose.uniform(0, 1.5 * duration))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    if (folder / "prepared" / "{KEY}").is_dir():
        whole += 1
        examples, kept = load(folder, None)
        want = np.repeat(np.arange(40), 400)
        assert kept and (examples.samples == want[:, None]).all()
        assert all((getattr(examples, name) == want).all() for name in ("label", "recording", "start"))
        example_store.clear(folder)
print(whole)
"""


def test_killed_at_any_moment_it_leaves_nothing_or_all(tmp_path):
    """40 kills; the processes are forked, by one that is small, so that each starts at once."""
    done = subprocess.run([sys.executable, "-c", KILLER, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert 0 < int(done.stdout) < 40, "the kills were all too early or all too late"
    load(tmp_path, key=OTHER)  # whoever comes next cleans up, also what was of another key
    assert left(tmp_path) == [OTHER]


def test_two_processes_make_it_once(tmp_path):
    first, second = child(tmp_path, 0.2), child(tmp_path, 0.2)
    out = [process.communicate(timeout=60) for process in (first, second)]
    lines = sorted(line for text, _ in out for line in text.split("\n") if line)
    assert lines == ["began", f"made {SUM}", f"read {SUM}"]
    assert "waiting" in out[0][1] + out[1][1] or "read" in lines[2]
    assert left(tmp_path) == [KEY]


def test_when_the_one_that_makes_is_killed_the_other_makes(tmp_path):
    first = child(tmp_path, 60)
    assert first.stdout.readline() == "began\n"
    second = child(tmp_path, 0)
    assert "waiting" in second.stderr.readline()
    first.send_signal(signal.SIGKILL)
    first.wait()
    out, _ = second.communicate(timeout=60)
    assert out.split("\n")[:2] == ["began", f"made {SUM}"]
    assert left(tmp_path) == [KEY]
