import csv
import io
import json
import os
import pathlib

import numpy as np
import pytest
import soundfile

from hsjax.data import quarantine
from hsjax.types import Dataset, Finding

ITEMS = (Finding("a1", "x/a1.wav", "silent: every sample is 0"), Finding("a,2", "x/a,2.wav", 'says "no"'))
DATASET = Dataset("made", ("normal", "abnormal"), "abnormal", False, (), ITEMS)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([0.0, 0.5, -0.5]), 4000)
    return path


def test_inspect(path):
    assert quarantine.inspect(path) == quarantine.Inspection(4000, 3, None)


@pytest.mark.parametrize(
    ("value", "reason"), [(0.0, "silent: every sample is 0"), (-0.5, "constant: every sample is -0.5")]
)
def test_inspect_flat_line(path, value, reason):
    soundfile.write(path, np.full(7, value), 2000)
    assert quarantine.inspect(path) == quarantine.Inspection(2000, 7, reason)


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
    monkeypatch.setattr(quarantine, "inspect", None)
    assert quarantine.inspect_all([other, path], tmp_path) == found


def test_a_dangling_link_is_not_remembered(path, tmp_path):
    link = tmp_path / "link.wav"
    link.symlink_to(tmp_path / "later.wav")
    assert quarantine.inspect_all([link, path], tmp_path)[link].reason == "does not exist"
    assert len(json.loads((tmp_path / "inspected.json").read_text())["files"]) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"rules": 1}', '{"rules": 1, "files": {"a": [1]}}'])
def test_damaged_cache_is_replaced(path, tmp_path, content):
    cache = tmp_path / "inspected.json"
    cache.write_text(content)
    assert quarantine.inspect_all([path], tmp_path)[path] == quarantine.Inspection(4000, 3, None)
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
        ["id", "path", "reason"],
        ["a1", "x/a1.wav", "silent: every sample is 0"],
        ["a,2", "x/a,2.wav", 'says "no"'],
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
