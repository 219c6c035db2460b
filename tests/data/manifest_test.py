import csv
import dataclasses
import hashlib
import pathlib
import struct
import types
import wave

import numpy as np
import pytest
import soundfile
import wfdb

from hsjax.data import manifest
from hsjax.data.readers import circor, mitdb, pascal, physionet2016, yaseen2018
from hsjax.types import Dataset, Finding, UserError

READERS = {reader.NAME: reader for reader in (physionet2016, yaseen2018, pascal, circor, mitdb)}


@pytest.fixture
def root(tmp_path):
    """One recording of each dataset, and what else the readers insist on."""
    rng = np.random.default_rng(0)

    def sound(name: str, rate: int, seconds: float = 0.5, channels: int = 1):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal((int(seconds * rate), channels)), rate)

    for letter in "abcdef":
        sound(f"physionet2016/training-{letter}/{letter}0001.wav", 2000)
        (tmp_path / f"physionet2016/training-{letter}/REFERENCE.csv").write_text(f"{letter}0001,-1\n")
    sound("physionet2016/training-a/a0001.wav", 2000, 1.23455, channels=2)
    for label in yaseen2018.CLASSES:
        sound(f"yaseen2018/{label}_New_3주기/New_{label}_001.wav", 8000)
    sound("pascal/set_a/extrahls__201101070953.wav", 44100)
    (tmp_path / "pascal/set_a.csv").write_text(
        "dataset,fname,label,sublabel\na,set_a/extrahls__201101070953.wav,extrahls,\n"
    )
    sound("pascal/set_b/normal_noisynormal_101_1305030823364_B.wav", 4000)
    (tmp_path / "pascal/set_b.csv").write_text(
        "dataset,fname,label,sublabel\n"
        "b,set_b/Btraining_normal_Btraining_noisynormal_101_1305030823364_B.wav,normal,noisynormal\n"
    )
    sound(f"{circor.FOLDER}/training_data/2530_AV.wav", 4000)
    (tmp_path / circor.FOLDER / "training_data.csv").write_text(
        "Patient ID,Recording locations:,Age,Sex,Height,Weight,Pregnancy status,Murmur,Outcome,Campaign,Additional ID\n"
        "2530,AV,Child,Female,98.0,15.9,False,Present,Abnormal,CC2015,nan\n"
    )
    folder = tmp_path / mitdb.FOLDER
    folder.mkdir()
    signals = np.stack([np.arange(720) % 50 / 100, -np.arange(720) % 70 / 100], axis=1)
    wfdb.wrsamp("901", 360, ["mV"] * 2, ["V5", "MLII"], p_signal=signals, fmt=["212"] * 2, write_dir=str(folder))
    wfdb.wrann("901", "atr", np.array([5, 20, 60, 100]), list("NLV/"), write_dir=str(folder))
    return tmp_path


STATED = {
    "physionet2016/training-a/a0001.wav": ("physionet2016", "Normal"),
    "yaseen2018/MR_New_3주기/New_MR_001.flac": ("yaseen2018", "MR"),  # kept as FLAC, restored as WAV
    "pascal/set_a/extrahls__201101070953.wav": ("pascal", "extrahls"),
    "pascal/set_b/normal_noisynormal_101_1305030823364_B.wav": ("pascal", "normal/noisynormal"),
    f"{circor.FOLDER}/training_data/2530_AV.wav": ("circor", "Present/Abnormal"),
    f"{mitdb.FOLDER}/901.dat": ("mitdb", "N=2 V=1 Q=1"),
}


def stated(root: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a true manifest, by the standard library."""
    rows = []
    for file, (dataset, label) in STATED.items():
        if file.endswith(".dat"):
            # Format 212 by hand: two samples of 12 bits in three bytes.
            content = (root / file).read_bytes()
            samples = []
            for first, middle, second in struct.iter_unpack("3B", content):
                for value in (first | (middle & 15) << 8, second | (middle >> 4) << 8):
                    samples.append(value - 4096 if value >= 2048 else value)
            data, rate, seconds = struct.pack(f"<{len(samples)}h", *samples), 360, 2.0
        else:
            with wave.open(str(root / file).replace(".flac", ".wav")) as sound:
                rate, seconds = sound.getframerate(), sound.getnframes() / sound.getframerate()
                data = sound.readframes(sound.getnframes())
        digest = hashlib.sha256(data).hexdigest()
        values = (dataset, file, label, str(rate), str(round(seconds, 4)), digest)
        rows.append(dict(zip(manifest.COLUMNS, values, strict=True)))
    return rows


def problems(root: pathlib.Path, rows: list[dict[str, str]]) -> list[Finding]:
    path = root / "manifest.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, [*manifest.COLUMNS[::-1], "more"])
        table.writeheader()
        table.writerows(rows)
    return manifest.verify(path, root, None, READERS)


def test_all_is_as_stated(root):
    assert problems(root, stated(root)) == []


@pytest.mark.parametrize("index", range(len(STATED)))
def test_what_is_not_so_is_found(root, index):
    rows = stated(root)
    rows[index] |= {"label": "V=1", "samplerate": "1", "seconds": "1.2347", "sha256": "0" * 64}
    (finding,) = problems(root, rows)
    assert (finding.id, finding.path) == (rows[index]["dataset"], rows[index]["file"])
    for name in ("label", "samplerate", "sha256", "seconds"):
        assert f"{name} is " in finding.reason
    assert ", not V=1" in finding.reason.replace("v=1", "V=1")


def test_each_column_counts_alone(root):
    for name, wrong in (("label", "abnormal"), ("samplerate", "nan"), ("seconds", "nan"), ("sha256", "")):
        rows = stated(root)[:1]
        rows[0][name] = wrong
        (finding,) = problems(root, rows)
        assert finding.reason.startswith(f"{name} is ")
        assert ";" not in finding.reason


def test_files_that_no_reader_uses(root):
    rows = stated(root)
    (root / rows[0]["file"]).write_bytes(b"")
    rows += [dict(rows[1], dataset="x"), dict(rows[0], file="../a0002.wav")]
    assert [(finding.path, finding.reason) for finding in problems(root, rows)] == [
        (rows[0]["file"], "in quarantine: the file is empty"),
        (rows[1]["file"], "there is no reader of 'x'"),
        ("../a0002.wav", "the reader does not know this file"),
    ]


def test_a_dataset_that_is_missing(root):
    rows = stated(root)
    (root / "pascal").rename(root / "gone")
    found = problems(root, rows)
    assert [finding.id for finding in found] == ["pascal", "pascal"]
    assert found[0].reason.startswith("cannot be read: ")


def test_a_reader_that_decodes_something_else(root):
    def dataset(root, cache_dir=None) -> Dataset:
        read = physionet2016.dataset(root, cache_dir)
        return dataclasses.replace(
            read, recordings=tuple(dataclasses.replace(one, digest="0" * 64) for one in read.recordings)
        )

    path = root / "manifest.csv"
    problems(root, stated(root)[:1])
    (finding,) = manifest.verify(path, root, None, {"physionet2016": types.SimpleNamespace(dataset=dataset)})
    assert finding.reason == "the reader has decoded other samples than these"


def test_what_is_no_manifest(root):
    (root / "manifest.csv").write_text("dataset,file\n")
    with pytest.raises(UserError, match="lacks the columns label, samplerate, seconds, sha256"):
        manifest.verify(root / "manifest.csv", root, None, READERS)
