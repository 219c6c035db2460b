import csv
import hashlib
import io
import json
import os
import pathlib
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from hsjax.data import quarantine
from hsjax.types import Dataset, Finding, UserError

ITEMS = (Finding("a1", "x/a1.wav", "silent: every sample is 0"), Finding("a,2", "x/a,2.wav", 'says "no"'))
NOTED = (Finding("b1", "x/b1.wav", "clipped: 2 % of samples at full scale"),)
DATASET = Dataset("made", ("normal", "abnormal"), "abnormal", False, (), ITEMS, NOTED)


def digest(values) -> str:
    return hashlib.sha256(struct.pack(f"<{len(values)}f", *values)).hexdigest()


SOUND = quarantine.Inspection(4000, 3, None, digest([0, 0.5, -0.5]))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([0.0, 0.5, -0.5]), 4000)
    return path


def test_inspect(path):
    assert quarantine.inspect(path) == SOUND


def test_the_digest_is_of_the_mean_of_the_channels(path):
    soundfile.write(path, np.array([[0.25, 0.75], [0.5, -0.25]]), 4000)
    assert quarantine.inspect(path).digest == digest([0.5, 0.125])


def sine(amplitude: float, frequency: float = 50.0, seconds: float = 2.0, rate: int = 2000) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate + 0.1)


@pytest.mark.parametrize(
    ("subtype", "limits"), [("PCM_16", (-1, 1)), ("PCM_U8", (-1, 1)), ("PCM_24", (-1, 0.4)), ("FLOAT", (-2, 1))]
)
def test_clipped(path, subtype, limits):
    cut = np.clip(sine(2 if min(limits) > -2 else 3), *limits)
    soundfile.write(path, cut, 2000, subtype=subtype)
    # Of each period of 40 samples, those at a limit of full scale or beyond, counted on the unclipped sine.
    full = [limit for limit in limits if abs(limit) >= 1]
    share = sum(np.mean(cut == limit) for limit in full)
    inspection = quarantine.inspect(path)
    assert inspection.reason is None
    assert inspection.note == f"clipped: {100 * share:.2g} % of samples at full scale"


def test_not_clipped(path):
    one_click = sine(0.5)
    one_click[100:109] = 1
    steps = np.round(sine(0.9) * 8) / 8  # coarse, but below full scale
    scaled = sine(1.0, frequency=30.0)  # touches full scale in every period
    for samples in (one_click, steps, scaled / np.abs(scaled).max(), np.tile([1.0, -1.0, 0.0], 100)):
        soundfile.write(path, samples, 2000, subtype="FLOAT")
        assert quarantine.inspect(path).note is None


@pytest.mark.parametrize(
    ("value", "reason"), [(0.0, "silent: every sample is 0"), (-0.5, "constant: every sample is -0.5")]
)
def test_inspect_flat_line(path, value, reason):
    soundfile.write(path, np.full(7, value), 2000)
    assert quarantine.inspect(path) == quarantine.Inspection(2000, 7, reason, digest([value] * 7))


def test_inspect_unreadable(path):
    path.write_bytes(b"")
    assert quarantine.inspect(path) == quarantine.Inspection(0, 0, "the file is empty")


def change_content(path):
    soundfile.write(path, np.zeros(3), 4000)
    os.utime(path, ns=(1, 1))


def change_size(path):
    stat = path.stat()
    soundfile.write(path, np.zeros(4), 4000)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("change", [change_content, change_size])
def test_changed_files_are_inspected_again(path, tmp_path, change):
    cache = tmp_path / "deep" / "cache"
    assert quarantine.inspect_all([path], cache)[path].reason is None
    change(path)
    assert quarantine.inspect_all([path], cache)[path].reason == "silent: every sample is 0"


def test_unchanged_files_are_not(path, tmp_path, monkeypatch):
    other = tmp_path / "b.wav"
    soundfile.write(other, np.zeros(2), 2000)
    first = quarantine.inspect_all([path], tmp_path)
    monkeypatch.setattr(quarantine, "inspect", lambda file: quarantine.Inspection(1, 1, f"again {file.name}"))
    found = quarantine.inspect_all([path, other], tmp_path)
    assert found == first | {other: quarantine.Inspection(1, 1, "again b.wav")}
    monkeypatch.setattr(quarantine, "inspect", lambda file: pytest.fail("it is known"))
    assert quarantine.inspect_all([other, path], tmp_path) == found


def test_a_dangling_link_is_not_remembered(path, tmp_path):
    link = tmp_path / "link.wav"
    link.symlink_to(tmp_path / "later.wav")
    assert quarantine.inspect_all([link, path], tmp_path)[link].reason == "does not exist"
    assert len(json.loads((tmp_path / "inspected.json").read_text())["files"]) == 1


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"rules": 2}', '{"rules": 2, "files": {"a": [1]}}', '{"rules": 2, "files": 3}', "[" * 100_000],
)
def test_damaged_cache_is_replaced(path, tmp_path, content):
    cache = tmp_path / "inspected.json"
    cache.write_text(content)
    assert quarantine.inspect_all([path], tmp_path)[path] == SOUND
    assert len(json.loads(cache.read_text())["files"]) == 1


def test_cache_of_older_rules_is_forgotten(path, tmp_path, monkeypatch):
    quarantine.inspect_all([path], tmp_path)
    monkeypatch.setattr(quarantine, "inspect", lambda file: quarantine.Inspection(1, 1, "new rule"))
    monkeypatch.setattr(quarantine, "_RULES", -1)
    assert quarantine.inspect_all([path], tmp_path)[path].reason == "new rule"


def test_without_a_cache_nothing_is_written(path, tmp_path):
    quarantine.inspect_all([path])
    assert list(tmp_path.iterdir()) == [path]


def test_report(tmp_path):
    report = tmp_path / "quarantine.csv"
    report.write_text("old")
    quarantine.write(DATASET, report)
    rows = list(csv.reader(io.StringIO(report.read_text())))
    assert rows == [
        ["id", "path", "used", "reason"],
        ["a1", "x/a1.wav", "no", "silent: every sample is 0"],
        ["a,2", "x/a,2.wav", "no", 'says "no"'],
        ["b1", "x/b1.wav", "yes", "clipped: 2 % of samples at full scale"],
    ]
    assert list(tmp_path.iterdir()) == [report]


def test_interrupted_report_leaves_the_old_one(tmp_path, monkeypatch):
    report = tmp_path / "quarantine.csv"
    report.write_text("old")

    def interrupted(partial, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(pathlib.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quarantine.write(DATASET, report)
    assert report.read_text() == "old"
    assert list(tmp_path.iterdir()) == [report]


def test_a_place_that_cannot_be_written_is_named(path, tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        quarantine.inspect_all([path], path / "below a file")


def test_names_that_are_no_text(tmp_path):
    report = tmp_path / "quarantine.csv"
    found = (Finding("\udcff", "x/\udcff.wav", "silent"),)
    quarantine.write(Dataset("made", (), None, False, (), found), report)
    assert report.read_text().splitlines()[1] == r"\udcff,x/\udcff.wav,no,silent"


WRITER = """
import pathlib, sys
from hsjax.data import quarantine
paths = sorted(pathlib.Path(sys.argv[1]).glob("*.wav"))
for turn in range(30):
    quarantine._save_cache(pathlib.Path(sys.argv[2]), {})  # forget, as the other process might
    found = quarantine.inspect_all(paths, pathlib.Path(sys.argv[2]))
    assert [inspection.num_samples for inspection in found.values()] == [10, 11, 12, 13]
"""


def test_two_processes_share_a_cache(tmp_path):
    for number in range(4):
        soundfile.write(tmp_path / f"{number}.wav", np.arange(10 + number) / 100, 2000)
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(cache)]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [writer.communicate()[1] for writer in writers] == ["", ""]
    assert [entry.name for entry in cache.iterdir()] == ["inspected.json"]
    json.loads((cache / "inspected.json").read_text())


def test_a_change_that_keeps_size_and_time_is_noticed(tmp_path):
    path, cache = tmp_path / "a.wav", tmp_path / "cache"
    soundfile.write(path, np.array([0.1, 0.2, 0.3]), 2000)
    before, times = quarantine.inspect_all([path], cache)[path], path.stat()
    soundfile.write(path, np.array([0.1, 0.2, 0.4]), 2000)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    assert quarantine.inspect_all([path], cache)[path].digest != before.digest
