import collections
import pathlib
import re
import unicodedata

import numpy as np
import pytest
import soundfile

from hsjax.data.readers import yaseen2018
from hsjax.types import UserError

RATE = 8000
CLASSES = ("AS", "MR", "MS", "MVP", "N")
KOREAN = "_New_3주기"


def write(path: pathlib.Path, seed: int = 0, rate: int = RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(800), rate)


def distribution(root: pathlib.Path, name=lambda label: f"{label}{KOREAN}") -> pathlib.Path:
    """Two files per class in folders called `name(label)`."""
    for index, label in enumerate(CLASSES):
        for number in (1, 2):
            write(root / "yaseen2018" / name(label) / f"New_{label}_{number:03d}.wav", 10 * index + number)
    return root


def reasons(dataset) -> dict[str, str]:
    return {item.path: item.reason for item in dataset.quarantined}


def test_healthy(tmp_path):
    dataset = yaseen2018.dataset(distribution(tmp_path))
    assert (dataset.name, dataset.classes, dataset.positive) == ("yaseen2018", CLASSES, None)
    assert (dataset.quarantined, dataset.noted, dataset.unlabelled, dataset.grouping) == ((), (), (), "")
    assert [r.id for r in dataset.recordings] == [f"New_{label}_00{n}" for label in CLASSES for n in (1, 2)]
    assert [r.label for r in dataset.recordings] == [label for label in CLASSES for _ in (1, 2)]
    assert {(r.subset, r.subject, r.group, r.sample_rate, r.num_samples) for r in dataset.recordings} == {
        ("", None, None, RATE, 800)
    }


@pytest.mark.parametrize(
    "name",
    [
        lambda label: unicodedata.normalize("NFC", label + KOREAN),
        lambda label: unicodedata.normalize("NFD", label + KOREAN),
        lambda label: f"{label}_New_3\u2534\u2553\u2592\u0393",  # the same letters, garbled by an unzip
        lambda label: f"{label}_New_3",
        lambda label: f"{label}_New",
        lambda label: label,
        lambda label: f"{label.lower()} new",
        lambda label: "Normal" if label == "N" else label,
        lambda label: f"Heart-sounds-master/{label}{KOREAN}",
        lambda label: f"{label}{KOREAN}/{label}{KOREAN}",
        lambda label: f"N-Z/{label}",
    ],
)
def test_folders_by_any_name(tmp_path, name):
    dataset = yaseen2018.dataset(distribution(tmp_path, name))
    assert [r.label for r in dataset.recordings] == [label for label in CLASSES for _ in (1, 2)]
    assert dataset.quarantined == ()


def test_a_file_in_the_wrong_folder(tmp_path):
    folder = distribution(tmp_path) / "yaseen2018"
    write(folder / "AS_New_3주기" / "New_MVP_007.wav", 7)
    write(folder / "Notes" / "New_N_008.wav", 8)  # a name that only begins like that of a class
    write(folder / "New_N_009.wav", 9)
    write(folder / "N_New_3주기" / "mine.WAV", 10)
    write(folder / "N_New_3주기" / "slow.wav", 11, rate=4000)
    (folder / "N_New_3주기" / "._New_N_001.wav").write_bytes(b"Mac OS X")
    dataset = yaseen2018.dataset(tmp_path)
    nowhere = "no label: it lies in no folder whose name begins with AS, MR, MS, MVP or N"
    assert reasons(dataset) == {
        "yaseen2018/AS_New_3주기/New_MVP_007.wav": "contradictory labels: AS by its folder, MVP by its name",
        "yaseen2018/Notes/New_N_008.wav": nowhere,
        "yaseen2018/New_N_009.wav": nowhere,
        "yaseen2018/N_New_3주기/slow.wav": "wrong sample rate: 4000 Hz, not 8000 Hz",
    }
    assert [r.label for r in dataset.recordings if r.path is not None and r.path.name == "mine.WAV"] == ["N"]


def test_a_name_that_is_not_utf_8(tmp_path):
    """As an old unzip leaves the Korean letters; a report must not choke on it either."""
    folder = distribution(tmp_path) / "yaseen2018"
    write(folder / "x" / "New_AS_009.wav")
    (folder / "x").rename(folder / "AS_New_3\udcc1\udcd6")
    assert reasons(yaseen2018.dataset(tmp_path)) == {
        "yaseen2018/AS_New_3\ufffd\ufffd/New_AS_009.wav": (
            "its name, or that of a folder around it, is not UTF-8: rename it"
        )
    }


def test_two_folders_of_one_class(tmp_path):
    folder = distribution(tmp_path) / "yaseen2018"
    write(folder / "MS_New" / "New_MS_001.wav", 21)  # the same sound
    write(folder / "MS_New" / "New_MS_002.wav", 99)  # another one of that name
    write(folder / "MS_New" / "New_MS_003.wav", 98)
    dataset = yaseen2018.dataset(tmp_path)
    different = "2 files of this name sound different: remove all but one"
    same = "the same recording as yaseen2018/MS_New/New_MS_001.wav, which is used"
    assert reasons(dataset) == {
        "yaseen2018/MS_New_3주기/New_MS_001.wav": same,
        "yaseen2018/MS_New/New_MS_002.wav": different,
        "yaseen2018/MS_New_3주기/New_MS_002.wav": different,
    }
    assert [r.id for r in dataset.recordings if r.label == "MS"] == ["New_MS_001", "New_MS_003"]


def test_missing_folders_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"set --config\.data\.root or HSJAX_DATA .* https://github"):
        yaseen2018.dataset(tmp_path)
    folder = distribution(tmp_path) / "yaseen2018"
    for label in ("MR", "N"):
        (folder / f"{label}{KOREAN}").rename(folder / f"{label}x")
    with pytest.raises(UserError, match=r"name begins with MR, N: complete it from https"):
        yaseen2018.dataset(tmp_path)


@pytest.mark.realdata
def test_all_real_recordings(real_root, real_cache):
    dataset = yaseen2018.dataset(real_root, real_cache)
    assert dataset.quarantined == ()
    by_path = {recording.path: recording for recording in dataset.recordings}
    paths = sorted((real_root / "yaseen2018").glob("*/*.wav"))
    assert len(paths) > 700
    assert by_path.keys() == set(paths)
    for path in paths:
        label = re.fullmatch(r"New_([A-Z]+)_\d{3}", path.stem)
        info = soundfile.info(path)
        assert label is not None
        assert by_path[path].label == label[1]
        assert by_path[path].id == path.stem
        assert (by_path[path].sample_rate, by_path[path].num_samples) == (info.samplerate, info.frames)
    assert all(count > 100 for count in collections.Counter(r.label for r in dataset.recordings).values())
