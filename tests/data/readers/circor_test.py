import collections
import csv
import itertools
import pathlib
import pickle

import numpy as np
import pytest
import soundfile

from hsjax.data.readers import circor
from hsjax.types import HeartState, UserError

RATE = 4000
FOLDER = "the-circor-digiscope-phonocardiogram-dataset-1.0.3"
DETAILS = (
    "Murmur locations,Most audible location,Systolic murmur timing,Systolic murmur shape,Systolic murmur grading,"
    "Systolic murmur pitch,Systolic murmur quality,Diastolic murmur timing,Diastolic murmur shape,"
    "Diastolic murmur grading,Diastolic murmur pitch,Diastolic murmur quality"
)
HEAD = (
    "Patient ID,Recording locations:,Age,Sex,Height,Weight,Pregnancy status,Murmur,"
    f"{DETAILS},Outcome,Campaign,Additional ID\n"
)


def row(patient, sites, murmur="Absent", outcome="Normal", other="nan", height="98.0"):
    details = "AV,AV,Holosystolic,Plateau,I/VI,Low,Blowing,nan,nan,nan,nan,nan"
    return f"{patient},{sites},Child,Male,{height},15.9,False,{murmur},{details},{outcome},CC2015,{other}\n"


def write(folder: pathlib.Path, name: str, rate: int = RATE):
    samples = 0.1 * np.random.default_rng(sum(map(ord, name))).standard_normal(400)
    soundfile.write(folder / "training_data" / f"{name}.wav", samples, rate)


@pytest.fixture
def folder(tmp_path):
    """Two patients; one site of the second one recorded twice."""
    folder = tmp_path / FOLDER
    (folder / "training_data").mkdir(parents=True)
    (folder / "training_data.csv").write_text(
        HEAD + row(100, "AV+PV", "Present") + row(200, "MV+MV", "Unknown", "Abnormal", height="nan")
    )
    for name in ("100_AV", "100_PV", "200_MV_1", "200_MV_2"):
        write(folder, name)
    return folder


def append(folder: pathlib.Path, text: str):
    table = folder / "training_data.csv"
    table.write_text(table.read_text() + text)


def reasons(dataset) -> dict[str, str]:
    return {item.id: item.reason for item in dataset.quarantined}


def test_healthy(folder):
    dataset = circor.dataset(folder.parent)
    assert (dataset.classes, dataset.positive) == (("Absent", "Present", "Unknown"), None)
    assert (dataset.quarantined, dataset.noted) == ((), ())
    assert [(r.id, r.label, r.subject, r.group, r.subset) for r in dataset.recordings] == [
        ("100_AV", "Present", "100", "100", "CC2015"),
        ("100_PV", "Present", "100", "100", "CC2015"),
        ("200_MV_1", "Unknown", "200", "200", "CC2015"),
        ("200_MV_2", "Unknown", "200", "200", "CC2015"),
    ]
    outcomes = circor.dataset(folder.parent, label=circor.Label.OUTCOME)
    assert (outcomes.classes, outcomes.positive) == (("Normal", "Abnormal"), "Abnormal")
    assert [r.label for r in outcomes.recordings] == ["Normal", "Normal", "Abnormal", "Abnormal"]


def test_metadata_is_not_the_diagnosis(folder):
    for label in circor.Label:
        first, _, third, _ = circor.dataset(folder.parent, label=label).recordings
        known = {"age": "Child", "sex": "Male", "weight": "15.9", "pregnancy_status": "False", "campaign": "CC2015"}
        assert first.metadata == {"site": "AV", "height": "98.0"} | known
        assert third.metadata == {"site": "MV"} | known


def test_one_person_of_several_ids(folder):
    append(
        folder,
        row(300, "AV", other="100.0")
        + row(400, "AV", other="300")
        + row(500, "AV", other="9")
        # Two patients that name one that is not in the table.
        + row(600, "AV", other="9")
        + row(700, "AV", other="700"),
    )
    for patient in (300, 400, 500, 600, 700):
        write(folder, f"{patient}_AV")
    groups = {r.id: (r.subject, r.group) for r in circor.dataset(folder.parent).recordings}
    assert {groups[name] for name in ("100_AV", "100_PV", "300_AV", "400_AV")} == {("100", "100")}
    assert {groups[name] for name in ("500_AV", "600_AV")} == {("500", "500")}
    assert groups["700_AV"] == ("700", "700")


def test_faults(folder):
    append(
        folder,
        row(300, "AV+TV")  # TV is missing
        + row(400, "AV", "Absent")
        + row(400, "AV", "Present")
        + row(500, "AV", "Maybe")
        + row(600, "nan")
        + row(800, "Phc"),
    )
    for name in ("300_AV", "300_MV", "400_AV", "500_AV", "700_AV", "sound", "900_XX"):
        write(folder, name)
    write(folder, "800_Phc", rate=2000)
    dataset = circor.dataset(folder.parent)
    unnamed = "no label: its name is not that of a patient and one of AV, PV, TV, MV, Phc"
    assert reasons(dataset) == {
        "300_TV": "missing: 1 listed in training_data.csv, but 0 there",
        "400_AV": "contradictory labels in training_data.csv: Absent and Present",
        "500_AV": "no label: training_data.csv says 'Maybe', which is none of Absent, Present, Unknown",
        "600": "missing: training_data.csv lists the patient, but there is no recording",
        "700_AV": "no label: patient 700 is not listed in training_data.csv",
        "800_Phc": "wrong sample rate: 2000 Hz, not 4000 Hz",
        "sound": unnamed,
        "900_XX": unnamed,
    }
    assert [(item.id, item.reason) for item in dataset.noted] == [
        ("300_MV", "training_data.csv does not list MV among the patient's sites")
    ]
    assert {"300_AV", "300_MV"} <= {r.id for r in dataset.recordings}


def test_missing_parts_say_what_to_do(folder):
    with pytest.raises(UserError, match=r"set --config\.data\.root or HSJAX_DATA .* https://physionet"):
        circor.dataset(folder)
    (folder / "training_data.csv").write_text("Patient ID,Age,Murmur\n100,Child,Absent\n")
    with pytest.raises(UserError, match=r"lacks the columns Recording locations:, .*Campaign: restore it from https"):
        circor.dataset(folder.parent)


def test_states(folder):
    # 10 samples are 2.5 ms. The third state begins before the second one ends, and the last outlasts the sound.
    lines = "0\t0.0025\t0\n0.0025\t0.005\t1\n0.00475\t0.01\t2\n0.0125\t0.1001\t4\n"
    (folder / "training_data" / "100_AV.tsv").write_text(lines)
    recording = pickle.loads(pickle.dumps(circor.dataset(folder.parent).recordings[0]))
    states = recording.annotation()
    expected = [HeartState.UNKNOWN] * 10 + [HeartState.S1] * 9 + [HeartState.SYSTOLE] * 21
    expected += [HeartState.UNKNOWN] * 10 + [HeartState.DIASTOLE] * 350
    assert states.dtype == np.int8
    np.testing.assert_array_equal(states, expected)
    assert circor.dataset(folder.parent).recordings[1].annotation is None


@pytest.mark.parametrize(
    "content",
    [
        b"0\t0.01\t5\n",
        b"0\t0.01\t1.5\n",
        b"0\t0.01\t-1\n",
        b"0.01\t0.01\t1\n",
        b"-0.01\t0.01\t1\n",
        b"0.02\t0.03\t1\n0.01\t0.02\t2\n",
        b"0\t1e12\t1\n",
        b"0\tnan\t1\n",
        b"0\tinf\t1\n",
        b"0\t0.01\tnan\n",
        b"0\t0.01\n",
        b"0 0.01 1\n",
        b"0\t" + b"9" * 5000 + b"\t1\n",
        b"\x00\xff\xfe\x80",
        b"0\t0.01\t1\n" * 500_000,
    ],
    ids=range(15),
)
def test_damaged_states_are_unknown(folder, content):
    path = folder / "training_data" / "100_AV.tsv"
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"100_AV\.tsv is no list of heart states"):
        states = circor.read_states(path, 400)
    np.testing.assert_array_equal(states, np.zeros(400, np.int8))


@pytest.mark.realdata
def test_all_real_recordings(real_root, real_cache):
    with (real_root / FOLDER / "training_data.csv").open(newline="") as table:
        patients = {line["Patient ID"]: line for line in csv.DictReader(table)}
    for label, column in ((circor.Label.MURMUR, "Murmur"), (circor.Label.OUTCOME, "Outcome")):
        dataset = circor.dataset(real_root, real_cache, label=label)
        assert (dataset.quarantined, dataset.noted, dataset.unlabelled) == ((), (), ())
        paths = {recording.path for recording in dataset.recordings}
        assert paths == set((real_root / FOLDER / "training_data").glob("*.wav"))
        assert len(paths) == sum(len(line["Recording locations:"].split("+")) for line in patients.values()) > 30
        for recording in dataset.recordings:
            patient, site = recording.id.split("_")
            info = soundfile.info(recording.path)
            assert recording.label == patients[patient][column]
            assert (recording.group, recording.metadata["site"]) == (patient, site)
            assert recording.metadata.get("height", "nan") == patients[patient]["Height"]
            assert (recording.sample_rate, recording.num_samples) == (info.samplerate, info.frames)
            assert info.samplerate == RATE


@pytest.mark.realdata
def test_real_states(real_root, real_cache):
    """Each state lasts as long as its file says, and they follow on each other as in a heart."""
    cycle = [HeartState.S1, HeartState.SYSTOLE, HeartState.S2, HeartState.DIASTOLE, HeartState.S1]
    order = set(itertools.pairwise(cycle))
    followed = collections.Counter()
    for recording in circor.dataset(real_root, real_cache).recordings:
        states = recording.annotation()
        table = np.loadtxt(recording.path.with_suffix(".tsv"), delimiter="\t")
        for state in HeartState:
            marked = table[table[:, 2] == state]
            seconds = (marked[:, 1] - marked[:, 0]).sum()
            unsaid = recording.num_samples / RATE - table[-1, 1] + table[0, 0] if state is HeartState.UNKNOWN else 0
            rounding = (len(marked) + 2) / RATE
            assert np.sum(states == state) / RATE == pytest.approx(seconds + unsaid, abs=rounding)
        before, after = states[:-1], states[1:]
        changes = (before != after) & (before != HeartState.UNKNOWN) & (after != HeartState.UNKNOWN)
        for pair in zip(before[changes], after[changes], strict=True):
            followed["" if pair in order else recording.id, *pair] += 1
    # One S2 of 40 ms lies between a diastole and an S1, as published.
    assert {key: count for key, count in followed.items() if key[0]} == {
        ("84721_AV", HeartState.DIASTOLE, HeartState.S2): 1,
        ("84721_AV", HeartState.S2, HeartState.S1): 1,
    }
    assert all(followed["", *pair] > 400 for pair in order)
