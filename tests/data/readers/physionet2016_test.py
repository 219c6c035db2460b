import collections
import csv
import hashlib
import os
import pathlib
import pickle
import wave

import numpy as np
import pytest
import soundfile

from hsjax.data import quarantine
from hsjax.data.readers import physionet2016
from hsjax.types import UserError

RATE = 2000


def sound(seed: int = 0, seconds: float = 1.0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(RATE * seconds))).astype(np.float32)


def write_sound(path: pathlib.Path, samples: np.ndarray | None = None, rate: int = RATE, subtype: str = "PCM_16"):
    soundfile.write(path, sound() if samples is None else samples, rate, subtype=subtype)


@pytest.fixture
def root(tmp_path):
    """A small healthy distribution: in every sub-dataset one normal and one abnormal record."""
    for letter in "abcdef":
        folder = tmp_path / "physionet2016" / f"training-{letter}"
        folder.mkdir(parents=True)
        (folder / "REFERENCE.csv").write_text(f"{letter}0002,1\n{letter}0001,-1\n")
        for index in (1, 2):
            write_sound(folder / f"{letter}000{index}.wav", sound(index, index))
    return tmp_path


def append(path: pathlib.Path, text: str):
    path.write_text((path.read_text() if path.exists() else "") + text)


def write_metadata(root: pathlib.Path, rows: str):
    header = "record,class,diagnosis,subject,group,gender,age,site\n"
    (root / "physionet2016" / "records_metadata.csv").write_text(header + rows)


def reasons(dataset) -> dict[str, str]:
    return {item.id: item.reason for item in dataset.quarantined}


def test_healthy(root):
    dataset = physionet2016.dataset(root)
    assert dataset.name == "physionet2016"
    assert dataset.classes == ("normal", "abnormal")
    assert dataset.positive == "abnormal"
    assert not dataset.synthetic
    assert dataset.quarantined == ()
    assert [r.id for r in dataset.recordings] == [f"{letter}000{i}" for letter in "abcdef" for i in (1, 2)]
    assert [r.label for r in dataset.recordings] == ["normal", "abnormal"] * 6
    assert [r.subset for r in dataset.recordings] == [f"training-{letter}" for letter in "aabbccddeeff"]
    assert [r.num_samples for r in dataset.recordings] == [2000, 4000] * 6
    assert {(r.subject, r.group, r.sample_rate, r.annotation) for r in dataset.recordings} == {(None, None, RATE, None)}
    assert all(r.metadata == {} for r in dataset.recordings)
    assert dataset.grouping == ""
    stored = dataset.recordings[3].read().astype("<f4").tobytes()
    assert dataset.recordings[3].digest == hashlib.sha256(stored).hexdigest()


def test_read_survives_pickling(root):
    recording = pickle.loads(pickle.dumps(physionet2016.dataset(root).recordings[1]))
    samples = recording.read()
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, sound(2, 2.0), atol=2**-15)


def test_groups_come_from_the_metadata(root):
    write_metadata(
        root,
        "a0001,-1,Normal,s1,g1,F,25,\n"
        'a0002,1,"MVP, mild",s2,g2,,,Left of apex\n'
        "b0001,-1,Normal,,,,,\n"
        "b0002,,,s4,g4,,,\n"
        "z0001,1,,s5,g5,,,\n",
    )
    dataset = physionet2016.dataset(root)
    assert dataset.quarantined == ()
    known = {r.id: (r.subject, r.group) for r in dataset.recordings if r.subset in ("training-a", "training-b")}
    assert known == {"a0001": ("s1", "g1"), "a0002": ("s2", "g2"), "b0001": (None, None), "b0002": ("s4", "g4")}
    assert all(r.group is None for r in dataset.recordings if r.id[0] in "cdef")
    assert "records_metadata.csv" in dataset.grouping
    circumstances = {r.id: dict(r.metadata) for r in dataset.recordings if r.metadata}
    assert circumstances == {"a0001": {"sex": "F", "age": "25"}, "a0002": {"site": "Left of apex"}}


def test_metadata_without_circumstances_or_groups(root):
    (root / "physionet2016" / "records_metadata.csv").write_text("record,class,subject,group\na0001,-1,s1\n")
    dataset = physionet2016.dataset(root)
    assert (dataset.recordings[0].subject, dataset.recordings[0].group, dataset.grouping) == ("s1", None, "")
    assert dataset.recordings[0].metadata == {}


def test_clipped_recordings_are_used_and_noted(root):
    write_sound(root / "physionet2016" / "training-c" / "c0001.wav", np.clip(20 * sound(), -1, 1))
    dataset = physionet2016.dataset(root)
    assert dataset.quarantined == ()
    assert len(dataset.recordings) == 12
    (finding,) = dataset.noted
    assert (finding.id, finding.path) == ("c0001", "physionet2016/training-c/c0001.wav")
    assert finding.reason.startswith("clipped: ")


@pytest.mark.parametrize("name", ["training-d/REFERENCE.csv", "records_metadata.csv"])
@pytest.mark.parametrize("content", [b'record,"' + b"9" * 200_000, b"\0\xff\xfe\0" * 50, b"x" * 200_000, b"d0001,\xff"])
def test_damaged_tables(root, name, content):
    (root / "physionet2016" / name).write_bytes(content)
    with pytest.raises(UserError, match=name.split("/")[-1]):
        physionet2016.dataset(root)


def test_garbage_labels_nothing(root):
    (root / "physionet2016" / "training-d" / "REFERENCE.csv").write_text("d0001,nan\nd0002,1e308\n" + "9" * 100_000)
    found = reasons(physionet2016.dataset(root))
    assert {"d0001", "d0002"} < found.keys()
    assert max(map(len, found)) < 300


def test_metadata_without_groups_is_refused(root):
    (root / "physionet2016" / "records_metadata.csv").write_text("record,class\na0001,-1\n")
    with pytest.raises(UserError, match="lacks the columns subject, group"):
        physionet2016.dataset(root)


def test_contradictory_metadata(root):
    write_metadata(
        root, "a0001,1,,s1,g1,,,\na0002,1,,s2,g2,,,\na0002,1,,s2,g3,,,\nb0001,-1,,s,g,,,\nb0001,-1,,s,g,,,\n"
    )
    assert reasons(physionet2016.dataset(root)) == {
        "a0001": "contradictory labels: -1 in REFERENCE.csv, 1 in records_metadata.csv",
        "a0002": "records_metadata.csv gives it more than one subject or group",
    }


def damage(folder: pathlib.Path) -> dict[str, str]:
    """Adds one record for everything that can be wrong with a file; returns how each reason begins."""
    begins = {
        "a1001": "truncated: 1000 bytes of sound fewer",
        "a1002": "silent: every sample is 0",
        "a1003": "constant: every sample is 0.25",
        "a1004": "wrong sample rate: 4000 Hz, not 2000 Hz",
        "a1005": "holds samples that are NaN or infinite",
        "a1006": "holds samples that are NaN or infinite",
        "a1007": "the file is empty",
        "a1008": "cannot be decoded as audio",
        "a1009": "missing: listed in REFERENCE.csv, but there is no file",
        "a1010": "holds no samples",
        "a1011": "is not a file",
        "a1012": "does not exist",
    }
    append(folder / "REFERENCE.csv", "".join(f"{record},1\n" for record in begins))
    write_sound(folder / "a1001.wav")
    (folder / "a1001.wav").write_bytes((folder / "a1001.wav").read_bytes()[:-1000])
    write_sound(folder / "a1002.wav", np.zeros(100))
    write_sound(folder / "a1003.wav", np.full(100, 0.25))
    write_sound(folder / "a1004.wav", rate=4000)
    write_sound(folder / "a1005.wav", np.append(sound(), np.nan), subtype="FLOAT")
    write_sound(folder / "a1006.wav", np.append(sound(), -np.inf), subtype="FLOAT")
    (folder / "a1007.wav").write_bytes(b"")
    (folder / "a1008.wav").write_text("<html>404</html>")
    write_sound(folder / "a1010.wav", np.zeros(0))
    (folder / "a1011.wav").mkdir()
    (folder / "a1012.wav").symlink_to(folder / "nowhere.wav")
    return begins


def test_bad_files_are_quarantined(root):
    begins = damage(root / "physionet2016" / "training-a")
    dataset = physionet2016.dataset(root)
    assert len(dataset.recordings) == 12
    found = reasons(dataset)
    assert found.keys() == begins.keys()
    for record, beginning in begins.items():
        assert found[record].startswith(beginning)
    assert [item.path for item in dataset.quarantined] == [
        f"physionet2016/training-a/{record}.wav" for record in sorted(begins)
    ]


def test_bad_labels_are_quarantined(root):
    folder = root / "physionet2016" / "training-b"
    append(
        folder / "REFERENCE.csv",
        "b1001,1\nb1001,-1\n"  # twice, contradictory
        "b1002,1\nb1002,1\n"  # twice, the same
        "b1003,0\nb1004\n\n"
        "a1005,1\n"  # belongs to another folder
        " b1006 , -1 \r\n",
    )
    for record in ("b1001", "b1002", "b1003", "b1004", "a1005", "b1006", "b1007"):
        write_sound(folder / f"{record}.wav")
    dataset = physionet2016.dataset(root)
    assert reasons(dataset) == {
        "b1001": "contradictory labels in REFERENCE.csv: -1 and 1",
        "b1003": "no label: REFERENCE.csv says '0', neither -1 (normal) nor 1 (abnormal)",
        "b1004": "no label: REFERENCE.csv says '', neither -1 (normal) nor 1 (abnormal)",
        "a1005": "not a record of training-b, whose names begin with b",
        "b1007": "no label: not listed in REFERENCE.csv",
    }
    added = {r.id: r.label for r in dataset.recordings if r.id in ("b1002", "b1006")}
    assert added == {"b1002": "abnormal", "b1006": "normal"}


def test_a_name_cannot_leave_the_folder(root):
    append(root / "physionet2016" / "training-a" / "REFERENCE.csv", "/etc/passwd,1\na/../../a,1\n")
    assert set(reasons(physionet2016.dataset(root))) == {"/etc/passwd", "a/../../a"}


def test_a_name_that_is_no_text(root):
    folder = root / "physionet2016" / "training-a"
    pathlib.Path(os.fsdecode(os.fsencode(folder) + b"/a\xff.wav")).write_bytes((folder / "a0001.wav").read_bytes())
    (finding,) = physionet2016.dataset(root).quarantined
    assert (finding.id, finding.reason) == ("a\ufffd", "no label: not listed in REFERENCE.csv")
    assert quarantine.inspect(next(folder.glob("a\udcff.wav"))).reason.endswith("is not UTF-8: rename it")


def test_missing_folders_say_what_to_do(root):
    with pytest.raises(UserError, match=r"set --config\.data\.root or HSJAX_DATA .* https://physionet\.org"):
        physionet2016.dataset(root / "nowhere")
    (root / "physionet2016" / "training-c" / "REFERENCE.csv").unlink()
    with pytest.raises(UserError, match=r"lacks training-c/REFERENCE\.csv"):
        physionet2016.dataset(root)


def test_findings_are_remembered(root, tmp_path, monkeypatch):
    damage(root / "physionet2016" / "training-a")
    cache = tmp_path / "cache"
    cold = physionet2016.dataset(root, cache)
    inspected = []
    inspect = quarantine.inspect
    monkeypatch.setattr(quarantine, "inspect", lambda path: inspected.append(path.name) or inspect(path))
    warm = physionet2016.dataset(root, cache)
    assert inspected == ["a1012.wav"]  # the dangling link has nothing to be remembered by
    assert [(r.id, r.num_samples) for r in warm.recordings] == [(r.id, r.num_samples) for r in cold.recordings]
    assert warm.quarantined == cold.quarantined


def real_references(root: pathlib.Path) -> dict[str, tuple[str, str]]:
    """Record → (folder, label), read by hand."""
    return {
        row[0]: (path.parent.name, {"1": "abnormal", "-1": "normal"}[row[1]])
        for path in sorted((root / "physionet2016").glob("training-?/REFERENCE.csv"))
        for row in csv.reader(path.read_text().splitlines())
    }


@pytest.mark.realdata
def test_all_real_recordings(real_root, real_cache):
    references = real_references(real_root)
    with (real_root / "physionet2016" / "records_metadata.csv").open(newline="") as stream:
        metadata = {row["record"]: row for row in csv.DictReader(stream)}
    dataset = physionet2016.dataset(real_root, real_cache)
    assert dataset.quarantined == ()
    assert collections.Counter(finding.id[0] for finding in dataset.noted) == {"a": 3, "e": 58}  # clipped
    assert len({r.digest for r in dataset.recordings}) == len(references)
    assert [r.id for r in dataset.recordings] == sorted(references)
    assert len(references) > 2500
    for recording in dataset.recordings:
        folder, label = references[recording.id]
        assert (recording.subset, recording.label) == (folder, label)
        assert recording.group == metadata[recording.id]["group"]
        assert recording.subject == metadata[recording.id]["subject"]
        assert recording.metadata.get("sex", "") == metadata[recording.id]["gender"]
        assert recording.metadata.get("age", "") == metadata[recording.id]["age"]
        assert metadata[recording.id]["diagnosis"] not in recording.metadata.values()
        with wave.open(str(recording.path)) as file:
            assert recording.sample_rate == file.getframerate() == RATE
            assert recording.num_samples == file.getnframes()


@pytest.mark.realdata
def test_real_samples_against_the_standard_library(real_root, real_cache):
    for recording in physionet2016.dataset(real_root, real_cache).recordings[::400]:
        with wave.open(str(recording.path)) as file:
            expected = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 2**15
        np.testing.assert_array_equal(recording.read(), expected.astype(np.float32))
