"""Small distributions around one file each, of every format that a reader opens: what the fuzz starts from.

What writes the files is imported where it does, because workers, which begin anew after each crash, need none of it.
"""

import collections
import csv
import dataclasses
import io
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from hsjax.data.readers import circor, mitdb, pascal, physionet2016, yaseen2018

FORMATS = ("wav", "flac", "hea", "dat", "atr", "mat", "csv", "tsv")


@dataclasses.dataclass(frozen=True)
class Case:
    """One file and what a reader needs around it.

    Attributes:
      format: one of `FORMATS`, or whatever a test calls it.
      reader: module and function, `hsjax.data.readers.mitdb:dataset`.
      files: the whole distribution, path below the root → content.
      target: which of them is mutated.
      options: of the reader.
    """

    format: str
    reader: str
    files: Mapping[str, bytes]
    target: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """For people: reader and file."""
        return f"{self.reader.partition(':')[0].rpartition('.')[2]} {self.target}"


def made() -> tuple[Case, ...]:
    """Cases of all formats, written by other libraries."""
    return (*_physionet2016(), *_yaseen2018(), *_pascal(), *_circor(), *_own(), *_mitdb(_ecg))


def real(root: pathlib.Path) -> tuple[Case, ...]:
    """Cases around the smallest real files below a folder of distributions; of absent distributions, none."""
    found = []
    wavs = _smallest(root, "physionet2016/training-a/*.wav")
    if wavs:
        files = _physionet2016_files() | {"physionet2016/training-a/a0001.wav": wavs[0].read_bytes()}
        found.append(Case("wav", _reader(physionet2016), files, "physionet2016/training-a/a0001.wav"))
    for path in _smallest(root, "physionet2016/annotations/hand_corrected/*/*.mat", 2):
        found.append(_states(path.read_bytes()))
    for path in _smallest(root, "yaseen2018/AS*/*.wav"):
        files = _yaseen2018_files() | {"yaseen2018/AS_New_3/New_AS_001.wav": path.read_bytes()}
        found.append(Case("wav", _reader(yaseen2018), files, "yaseen2018/AS_New_3/New_AS_001.wav"))
    for path in _smallest(root, f"{circor.FOLDER}/training_data/*.tsv"):
        files = _circor_files(seconds=40.0) | {f"{circor.FOLDER}/training_data/2530_AV.tsv": path.read_bytes()}
        found.append(Case("tsv", _reader(circor), files, f"{circor.FOLDER}/training_data/2530_AV.tsv"))
    for path in sorted((root / mitdb.FOLDER).glob("20*.hea"))[:2]:
        found += _mitdb(lambda folder, path=path: _cut(folder, path.with_suffix("")))
    return tuple(found)


def _reader(module: Any, function: str = "dataset") -> str:
    return f"{module.__name__}:{function}"


def _smallest(root: pathlib.Path, pattern: str, count: int = 1) -> list[pathlib.Path]:
    return sorted(root.glob(pattern), key=lambda path: (path.stat().st_size, path))[:count]


def _sound(rate: int, seconds: float = 0.1, kind: str = "WAV", subtype: str = "PCM_16", channels: int = 1) -> bytes:
    import soundfile

    samples = 0.2 * np.random.default_rng(len(subtype)).standard_normal((int(rate * seconds), channels))
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=subtype)
    return stream.getvalue()


def _table(*rows: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _physionet2016_files() -> dict[str, bytes]:
    files = {f"physionet2016/training-{letter}/REFERENCE.csv": b"" for letter in "abcdef"}
    files["physionet2016/training-a/REFERENCE.csv"] = b"a0001,-1\na0002,1\n"
    files["physionet2016/training-a/a0001.wav"] = _sound(2000)
    files["physionet2016/training-a/a0002.wav"] = _sound(2000, 0.2)
    files["physionet2016/records_metadata.csv"] = _table(
        ("record", "class", "diagnosis", "subject", "group", "gender", "age", "site"),
        ("a0001", "-1", "Normal", "a-C19", "a-C19", "F", "35", "Left of apex"),
        ("a0002", "1", "MVP, mild", "a-C20", "a-C20", "", "", ""),
    )
    return files


def _physionet2016() -> list[Case]:
    import scipy.io

    files = _physionet2016_files()
    sound = "physionet2016/training-a/a0001.wav"
    kinds = [("WAV", subtype, 1) for subtype in ("PCM_16", "PCM_U8", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM")]
    kinds += [("WAVEX", "PCM_24", 2), ("RF64", "PCM_16", 1)]
    reader = _reader(physionet2016)
    found = [
        Case("wav", reader, files | {sound: _sound(2000, 0.1, kind, subtype, channels)}, sound)
        for kind, subtype, channels in kinds
    ]
    for table in ("training-a/REFERENCE.csv", "records_metadata.csv"):
        found.append(Case("csv", reader, files, f"physionet2016/{table}"))
    cells = np.empty((4, 2), object)
    for row, (index, name) in enumerate(((1, "S1"), (40, "systole"), (90, "S2"), (120, "diastole"))):
        cells[row] = [np.array([[index]]), np.array([name], object)]
    for compressed in (False, True):
        stream = io.BytesIO()
        scipy.io.savemat(stream, {"state_ans": cells}, do_compression=compressed)
        found.append(_states(stream.getvalue()))
    return found


def _states(content: bytes) -> Case:
    target = "physionet2016/annotations/hand_corrected/training-a_StateAns/a0001_StateAns.mat"
    return Case("mat", _reader(physionet2016), _physionet2016_files() | {target: content}, target)


def _yaseen2018_files() -> dict[str, bytes]:
    return {
        f"yaseen2018/{label}_New_3/New_{label}_00{number}.wav": _sound(8000, 0.02 * number)
        for label in yaseen2018.CLASSES
        for number in (1, 2)
    }


def _yaseen2018() -> list[Case]:
    return [Case("wav", _reader(yaseen2018), _yaseen2018_files(), "yaseen2018/AS_New_3/New_AS_001.wav")]


def _pascal() -> list[Case]:
    sounds = {
        "pascal/set_a/normal__201103090635.wav": _sound(44100, 0.02),
        "pascal/set_b/normal_noisynormal_101_1305030823364_B.wav": _sound(4000),
    }
    tables = {
        "pascal/set_a.csv": _table(
            ("dataset", "fname", "label", "sublabel"), ("a", "set_a/normal__201103090635.wav", "normal", "")
        ),
        "pascal/set_b.csv": _table(
            ("dataset", "fname", "label", "sublabel"),
            ("b", "set_b/Btraining_normal_noisynormal_101_1305030823364_B.wav", "normal", "noisynormal"),
        ),
    }
    timing = "pascal/set_a_timing.csv"
    marks = _table(
        ("fname", "cycle", "sound", "location"),
        ("set_a/normal__201103090635.wav", "1", "S1", "200"),
        ("set_a/normal__201103090635.wav", "1", "S2", "500"),
    )
    found = [Case("csv", _reader(pascal), sounds | tables, table) for table in tables]
    found += [Case("wav", _reader(pascal), sounds | tables, sound) for sound in sounds]
    found.append(Case("csv", "hsjax.data.readers.pascal_timings:read", {**sounds, timing: marks}, timing))
    return found


def _circor_files(seconds: float = 0.5) -> dict[str, bytes]:
    columns = (
        "Patient ID,Recording locations:,Age,Sex,Height,Weight,Pregnancy status,Murmur,Outcome,Campaign,Additional ID"
    )
    return {
        f"{circor.FOLDER}/training_data.csv": _table(
            tuple(columns.split(",")),
            ("2530", "AV+MV", "Child", "Female", "98.0", "15.9", "False", "Absent", "Normal", "CC2015", "nan"),
        ),
        f"{circor.FOLDER}/training_data/2530_AV.wav": _sound(4000, seconds),
        f"{circor.FOLDER}/training_data/2530_MV.wav": _sound(4000, 0.1),
        f"{circor.FOLDER}/training_data/2530_AV.tsv": b"0\t.1\t0\n.1\t0.2\t1\n0.2\t0.3\t2\n0.3\t0.4\t3\n0.4\t0.5\t4\n",
    }


def _circor() -> list[Case]:
    files = _circor_files()
    table, sound, _, states = files
    kinds = {"csv": table, "wav": sound, "tsv": states}
    return [Case(kind, _reader(circor), files, target) for kind, target in kinds.items()]


def _own() -> list[Case]:
    reader = "hsjax.data.readers.own:dataset"
    files = {
        "mine/well/1.wav": _sound(3000),
        "mine/ill/1.flac": _sound(3000, kind="FLAC"),
        "mine/ill/2.flac": _sound(3000, 0.2, kind="FLAC"),
    }
    table = "mine/table.csv"
    rows = [
        ("file", "label", "subject"),
        ("well/1.wav", "well", "a"),
        ("ill/1.flac", "ill", "b"),
        ("ill/2.flac", "ill", "c"),
    ]
    found = [Case("csv", reader, files | {table: _table(*rows)}, table, {"path": table})]
    semicolons = "\n".join("\t".join(row) for row in rows).encode()
    found.append(Case("tsv", reader, files | {table: semicolons}, table, {"path": table}))
    for subtype, channels in (("PCM_16", 1), ("PCM_24", 2), ("PCM_S8", 1)):
        content = _sound(3000, 0.1, "FLAC", subtype, channels)
        found.append(Case("flac", reader, files | {"mine/ill/1.flac": content}, "mine/ill/1.flac", {"path": "mine"}))
    return found


def _mitdb(write: Any) -> list[Case]:
    """Cases of one record, which `write` puts into a folder as 901."""
    with tempfile.TemporaryDirectory() as temporary:
        write(pathlib.Path(temporary))
        files = {f"{mitdb.FOLDER}/{path.name}": path.read_bytes() for path in sorted(pathlib.Path(temporary).iterdir())}
    return [
        Case(kind, _reader(mitdb), files, f"{mitdb.FOLDER}/901.{kind}", {"labels": labels})
        for kind, labels in (("hea", "aami"), ("dat", "birton"), ("atr", "aami-nsv"))
    ]


def _ecg(folder: pathlib.Path) -> None:
    import wfdb

    signals = np.stack([np.arange(720) % 50 / 100, -np.arange(720) % 70 / 100], axis=1)
    wfdb.wrsamp("901", 360, ["mV"] * 2, ["MLII", "V5"], p_signal=signals, fmt=["212"] * 2, write_dir=str(folder))
    symbols = ["+", "N", "V", "~", "[", "!", "]", "f", "L"]
    wfdb.wrann("901", "atr", np.arange(5, 705, 78), symbols, write_dir=str(folder), aux_note=["(N"] + [""] * 8)


def _cut(folder: pathlib.Path, record: pathlib.Path) -> None:
    """The first ten seconds of a real record."""
    import wfdb

    read = wfdb.rdrecord(str(record), sampto=3600, physical=False)
    wfdb.wrsamp(
        "901", 360, read.units, read.sig_name, d_signal=read.d_signal, fmt=read.fmt, adc_gain=read.adc_gain,
        baseline=read.baseline, comments=read.comments, write_dir=str(folder),
    )  # fmt: skip
    marks = wfdb.rdann(str(record), "atr", sampto=3600)
    wfdb.wrann("901", "atr", marks.sample, marks.symbol, aux_note=marks.aux_note, write_dir=str(folder))


def write(case: Case, root: pathlib.Path) -> None:
    """Writes the distribution of a case below a folder."""
    for name, content in case.files.items():
        path = root / name
        os.makedirs(path.parent, exist_ok=True)
        path.write_bytes(content)


def by_format(cases: tuple[Case, ...]) -> Mapping[str, list[Case]]:
    """The cases of every format."""
    found = collections.defaultdict(list)
    for case in cases:
        found[case.format].append(case)
    return found
