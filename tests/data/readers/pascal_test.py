import csv
import pathlib

import numpy as np
import pytest
import soundfile

from hsjax.data.readers import pascal
from hsjax.types import UserError

HEAD = "dataset,fname,label,sublabel\n"
SET_A = "a,set_a/artifact__201012172012.wav,artifact,\na,set_a/normal__201101070538.wav,normal,\n"
SET_B = (
    "b,set_b/Btraining_extrastole_127_1306764300147_C2.wav,extrastole,\n"
    "b,set_b/Btraining_murmur_noisymurmur_162_1307101835989_D.wav,murmur,noisymurmur\n"
    "b,set_b/Btraining_normal_171_1307971016233_D.wav,normal,\n"
    "b,set_b/Btraining_normal_Btraining_noisynormal_171_1307971016233_D.wav,normal,noisynormal\n"
)
FILES_A = ("artifact__201012172012", "normal__201101070538")
FILES_B = (
    "extrastole__127_1306764300147_C2",
    "murmur_noisymurmur_162_1307101835989_D",
    "normal__171_1307971016233_D",
    "normal_noisynormal_171_1307971016233_D",
)


def write(path: pathlib.Path, rate: int):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(len(path.name)).standard_normal(500), rate)


def append(path: pathlib.Path, text: str):
    path.write_text((path.read_text() if path.exists() else "") + text)


@pytest.fixture
def root(tmp_path):
    """The layout with tables, two and four recordings."""
    folder = tmp_path / "pascal"
    for name in FILES_A:
        write(folder / "set_a" / f"{name}.wav", 44100)
    for name in FILES_B:
        write(folder / "set_b" / f"{name}.wav", 4000)
    (folder / "set_a.csv").write_text(HEAD + SET_A)
    (folder / "set_b.csv").write_text(HEAD + SET_B)
    (folder / "set_a_timing.csv").write_text("fname,cycle,sound,location\n")
    return tmp_path


def reasons(dataset) -> dict[str, str]:
    return {item.id: item.reason for item in dataset.quarantined}


def test_healthy(root):
    dataset = pascal.dataset(root)
    assert (dataset.classes, dataset.positive, dataset.quarantined) == (
        ("normal", "murmur", "extra", "artifact"),
        None,
        (),
    )
    found = {r.id: (r.label, r.subset, r.subject, r.group, dict(r.metadata)) for r in dataset.recordings}
    noisy = {"sublabel": "noisy"}
    assert found == {
        FILES_A[0]: ("artifact", "set_a", None, "p-a-20101217", {}),
        FILES_A[1]: ("normal", "set_a", None, "p-a-20110107", {}),
        FILES_B[0]: ("extra", "set_b", "127", "p-b-127", {}),
        FILES_B[1]: ("murmur", "set_b", "162", "p-b-162", noisy),
        FILES_B[2]: ("normal", "set_b", "171", "p-b-171", {}),
        FILES_B[3]: ("normal", "set_b", "171", "p-b-171", noisy),
    }
    days = "set_a: the day of recording, people are unknown, two days being one source"
    assert dataset.grouping == f"{days}; set_b: the patient's number, three being one source"


def test_labels_and_sets(root):
    dataset = pascal.dataset(root, labels=pascal.Labels.PUBLISHED)
    assert dataset.classes == ("normal", "murmur", "extrahls", "artifact", "extrastole")
    assert {r.label for r in dataset.recordings} == {"artifact", "normal", "murmur", "extrastole"}
    dataset = pascal.dataset(root, sets=(pascal.Set.B,))
    assert dataset.classes == ("normal", "murmur", "extra")
    assert {r.subset for r in dataset.recordings} == {"set_b"}
    assert dataset.grouping == "set_b: the patient's number, three being one source"
    with pytest.raises(UserError, match=r"pascal\.sets"):
        pascal.dataset(root, sets=())


def test_unlabelled_files(root):
    folder = root / "pascal"
    append(folder / "set_a.csv", "a,set_a/__201101051104.wav,,\na,set_a/__201101051105.wav,,\n")
    append(folder / "set_b.csv", "b,set_b/Bunlabelledtest_101_1305030823364_B.wav,,\n")
    write(folder / "set_a" / "Aunlabelledtest__201101051104.wav", 44100)
    write(folder / "set_a" / "__201101051105.wav", 44100)
    write(folder / "set_b" / "Bunlabelledtest__101_1305030823364_B.wav", 4000)
    dataset = pascal.dataset(root)
    assert dataset.quarantined == ()
    assert [(r.id, r.label, r.group) for r in dataset.unlabelled] == [
        ("Aunlabelledtest__201101051104", "", "p-a-20110105"),
        ("Aunlabelledtest__201101051105", "", "p-a-20110105"),
        ("Bunlabelledtest__101_1305030823364_B", "", "p-b-101"),
    ]


def test_archives_of_the_challenge(tmp_path):
    """Its zips, unpacked: no tables, the folder is the label. The ids are those of the layout with tables."""
    folder = tmp_path / "pascal"
    write(folder / "Atraining_artifact" / "201012172012.wav", 44100)
    write(folder / "Atraining_extrahls" / "201101091153.wav", 44100)
    write(folder / "Atraining_normal" / "Atraining_normal" / "normal__201101070538.wav", 44100)
    write(folder / "Aunlabelledtest" / "201101051104.wav", 44100)
    write(folder / "setB" / "Btraining_extrasystole" / "Btraining_extrastole" / "127_1306764300147_C2.wav", 4000)
    write(folder / "setB" / "Btraining_murmur" / "Btraining_noisymurmur" / "162_1307101835989_D.wav", 4000)
    write(folder / "setB" / "Training B Normal" / "171_1307971016233_D.wav", 4000)
    write(folder / "Btraining_noisynormal" / "171_1307971016233_D.wav", 4000)
    write(folder / "Bunlabelledtest" / "101_1305030823364_B.wav", 4000)
    write(folder / "Atraining_murmur" / "normal__201101070539.wav", 44100)
    (folder / "Atraining_normal_seg.csv").write_text("fname,cycle,sound,location\n")
    dataset = pascal.dataset(tmp_path, labels=pascal.Labels.PUBLISHED)
    assert {r.id: r.label for r in dataset.recordings} == {
        "artifact__201012172012": "artifact",
        "extrahls__201101091153": "extrahls",
        "normal__201101070538": "normal",
        "extrastole__127_1306764300147_C2": "extrastole",
        "murmur_noisymurmur_162_1307101835989_D": "murmur",
        "normal__171_1307971016233_D": "normal",
        "normal_noisynormal_171_1307971016233_D": "normal",
    }
    assert [r.id for r in dataset.unlabelled] == [
        "Aunlabelledtest__201101051104",
        "Bunlabelledtest__101_1305030823364_B",
    ]
    assert [item.reason for item in dataset.quarantined] == ["no label: 'murmur and normal' is no class of set a"]


def test_rows_and_files_that_do_not_meet(root):
    folder = root / "pascal"
    append(
        folder / "set_a.csv",
        "a,set_a/normal__201101070539.wav,normal,\n"  # no file
        "a,set_a/normal__201101070540.wav,normal,\na,set_a/normal__201101070540.wav,murmur,\n"
        "a,set_a/normal__201101070541.wav,murmur,\n"
        "a,set_a/normal__201101070542.wav,healthy,\n"
        "a,set_a/normal__201101070543.wav,normal,loud\n"
        "a,set_a/normal__201101070544.wav,,\n"
        "a,set_a/normal.wav,normal,\n"
        "a,/set_a/normal__201101070545.wav,normal,\na,set_a\\normal__201101070545.wav,Normal,\n"  # one file, twice
        "a,set_a/201101070546.wav,normal,\n"
        "a,set_a/normal__201101070548.wav,normal,\na,set_a/murmur__201101070548.wav,murmur,\n",
    )
    for number in (540, 541, 542, 543, 544, 545):
        write(folder / "set_a" / f"normal__201101070{number}.wav", 44100)
    write(folder / "set_a" / "201101070546.wav", 44100)  # no label in its name, but a row
    write(folder / "set_a" / "201101070548.wav", 44100)  # no label in its name, and two rows
    write(folder / "set_a" / "murmur__201101070547.wav", 44100)  # no row
    write(folder / "set_a" / "heart.wav", 44100)
    write(folder / "set_b" / "extrastole__127_1306764300147_C3.wav", 8000)
    append(folder / "set_b.csv", "b,set_b/Btraining_extrastole_127_1306764300147_C3.wav,extrastole,\n")
    dataset = pascal.dataset(root)
    two = "contradictory labels in set_a.csv: murmur and normal"
    assert reasons(dataset) == {
        "normal__201101070539": "missing: listed in set_a.csv, but there is no file",
        "normal__201101070540": two,
        "murmur__201101070540": two,
        "murmur__201101070541": "contradictory labels in set_a.csv: murmur for a file of that name",
        "normal__201101070541": "no label: not listed in set_a.csv as normal",
        "healthy__201101070542": "contradictory labels in set_a.csv: healthy for a file of that name",
        "normal__201101070542": "no label: not listed in set_a.csv as normal",
        "normal_noisynormal_201101070543": "set_a.csv gives it the sublabel 'loud'",
        "normal__201101070543": "no label: not listed in set_a.csv as normal",
        "Aunlabelledtest__201101070544": "contradictory labels in set_a.csv: none for a file of that name",
        "normal__201101070544": "no label: not listed in set_a.csv as normal",
        "normal__set_a/normal.wav": "its name in set_a.csv holds no number of set a",
        "murmur__201101070547": "no label: not listed in set_a.csv as murmur",
        "normal__201101070548": "missing: listed in set_a.csv, but there is no file",
        "murmur__201101070548": "missing: listed in set_a.csv, but there is no file",
        "Aunlabelledtest__201101070548": "no label: set_a.csv lists its number more than once",
        "heart": "no label: its name holds no number of set A or B",
        "extrastole__127_1306764300147_C3": "wrong sample rate: 8000 Hz, not 4000 Hz",
    }
    assert {"normal__201101070545", "normal__201101070546"} <= {r.id for r in dataset.recordings}


def test_missing_parts_say_what_to_do(root):
    with pytest.raises(UserError, match=r"set --config\.data\.root or HSJAX_DATA .* http://www\.peterjbentley"):
        pascal.dataset(root / "nowhere")
    (root / "pascal" / "set_b.csv").unlink()
    for name in FILES_B:
        (root / "pascal" / "set_b" / f"{name}.wav").unlink()
    with pytest.raises(UserError, match=r"holds nothing of set b: .* leave b out"):
        pascal.dataset(root)
    assert len(pascal.dataset(root, sets=(pascal.Set.A,)).recordings) == 2


@pytest.mark.realdata
def test_all_real_recordings(real_root, real_cache):
    dataset = pascal.dataset(real_root, real_cache, labels=pascal.Labels.PUBLISHED)
    assert (dataset.quarantined, dataset.unlabelled) == ((), ())
    read = {recording.path: recording for recording in dataset.recordings}
    assert read.keys() == set((real_root / "pascal").glob("set_?/*.wav"))
    listed = 0
    for part in "ab":
        with (real_root / "pascal" / f"set_{part}.csv").open(newline="") as table:
            for row in csv.DictReader(table):
                # How the distribution renames: set B's rows have the archive's prefix, and clean ones lack a _.
                name = pathlib.PurePosixPath(row["fname"]).name
                if part == "b":
                    name = name.removeprefix("Btraining_")
                    if not row["sublabel"]:
                        name = name.replace(f"{row['label']}_", f"{row['label']}__")
                recording = read[real_root / "pascal" / f"set_{part}" / name]
                assert (recording.label, recording.subset) == (row["label"], f"set_{part}")
                assert recording.metadata == ({"sublabel": "noisy"} if row["sublabel"] else {})
                info = soundfile.info(recording.path)
                assert info.samplerate == {"a": 44100, "b": 4000}[part]
                assert (recording.sample_rate, recording.num_samples) == (info.samplerate, info.frames)
                listed += 1
    assert listed == len(read) > 400
    assert len({recording.group for recording in dataset.recordings}) > 100
    four = pascal.dataset(real_root, real_cache)
    assert [r.id for r in four.recordings] == [r.id for r in dataset.recordings]
    assert sum(r.label == "extra" for r in four.recordings) == sum(r.label[:5] == "extra" for r in dataset.recordings)
    # Whoever holds the sounds to be one source: 101, 103 and 146, and two days.
    groups = {recording.group for recording in dataset.recordings}
    assert groups & {"p-b-101", "p-b-103", "p-b-146", "p-a-20110801", "p-a-20110822"} == {"p-b-101", "p-a-20110801"}
