import pathlib

import numpy as np
import pytest
import soundfile

from hsjax.data.readers import own
from hsjax.types import UserError


def write(path: pathlib.Path, rate: int = 4000, silent: bool = False):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(sum(map(ord, path.name))).standard_normal(400)
    soundfile.write(path, samples * (not silent), rate, format="FLAC" if path.suffix == ".flac" else "WAV")


def reasons(dataset) -> dict[str, str]:
    return {item.path: item.reason for item in dataset.quarantined}


@pytest.fixture
def folder(tmp_path):
    """A newcomer's folder: one folder per class, and what else gathers there."""
    folder = tmp_path / "my recordings"
    write(folder / "healthy" / "Müller 1.wav")
    write(folder / "healthy" / "second visit" / "b.WAV", 8000)
    write(folder / "sick" / "c.flac", 44100)
    write(folder / "sick" / "d.wav")
    write(folder / "unlabelled" / "e.wav")
    write(folder / "at the top.wav")
    for name in ("healthy/._Müller 1.wav", "sick/.DS_Store", "__MACOSX/sick/c.wav", ".hidden/x.wav", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\0\5\26\7")
    return folder


def test_a_folder_per_class(folder, tmp_path):
    dataset = own.dataset(tmp_path, path="my recordings")
    assert (dataset.name, dataset.classes, dataset.positive) == ("own", ("healthy", "sick"), None)
    assert [(r.id, r.label, r.sample_rate, r.group) for r in dataset.recordings] == [
        ("healthy/Müller 1.wav", "healthy", 4000, None),
        ("healthy/second visit/b.WAV", "healthy", 8000, None),
        ("sick/c.flac", "sick", 44100, None),
        ("sick/d.wav", "sick", 4000, None),
    ]
    assert [r.id for r in dataset.unlabelled] == ["at the top.wav", "unlabelled/e.wav"]
    assert (dataset.quarantined, dataset.grouping) == ((), "")
    absolute = own.dataset(tmp_path / "elsewhere", path=str(folder))
    assert [(r.id, r.path) for r in absolute.recordings] == [(r.id, r.path) for r in dataset.recordings]


def test_the_positive_class_is_the_second(folder, tmp_path):
    dataset = own.dataset(tmp_path, path="my recordings", positive="healthy")
    assert (dataset.classes, dataset.positive) == (("sick", "healthy"), "healthy")
    with pytest.raises(UserError, match=r"classes healthy, sick: set --config\.data\.own\.positive to one of them"):
        own.dataset(tmp_path, path="my recordings", positive="ill")
    write(folder / "third" / "f.wav")
    assert own.dataset(tmp_path, path="my recordings").classes == ("healthy", "sick", "third")
    with pytest.raises(UserError, match=r"positive to nothing, it is for two classes"):
        own.dataset(tmp_path, path="my recordings", positive="sick")


def test_bad_files_are_quarantined(folder, tmp_path):
    write(folder / "sick" / "silent.wav", silent=True)
    (folder / "sick" / "telephone.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    (folder / "sick" / "empty.wav").touch()
    found = reasons(own.dataset(tmp_path, path="my recordings"))
    assert found.keys() == {f"my recordings/sick/{name}" for name in ("silent.wav", "telephone.m4a", "empty.wav")}
    assert found["my recordings/sick/telephone.m4a"].startswith("cannot be decoded as audio")


def test_a_class_of_bad_files(folder, tmp_path):
    write(folder / "third" / "silent.wav", silent=True)
    with pytest.raises(UserError, match=r"no recording of class third can be used \(silent: .*\): mend or remove"):
        own.dataset(tmp_path, path="my recordings")


def test_newcomers_mistakes(tmp_path):
    def refused(reason: str, path: str):
        with pytest.raises(UserError, match=reason + r".*(one folder of recordings per class|data\.own\.path)"):
            own.dataset(tmp_path, path=path)

    refused("no recordings are named", "")
    refused("does not exist", "nowhere")
    refused("does not exist", "x" * 5000)
    refused("does not exist", "~nobody-of-that-name/recordings")
    (tmp_path / "empty").mkdir()
    refused(r"holds no recordings \(.*\.flac.*\.wav", "empty")
    write(tmp_path / "flat" / "a.wav")
    refused("the 1 recordings of .*flat have no label", "flat")
    write(tmp_path / "outer" / "inner" / "a" / "a.wav")
    write(tmp_path / "outer" / "inner" / "b" / "b.wav")
    refused(r"are of one class \(inner\), two are needed", "outer")
    refused(r"a\.wav is not text|a\.wav is not a text table|lacks the columns|is not text in UTF-8", "flat/a.wav")
    (tmp_path / "t.csv").write_text("path;class\na.wav;x\n")
    refused("lacks the columns file, label", "t.csv")


def write_table(root: pathlib.Path, text: str, encoding: str = "utf-8") -> str:
    (root / "table.csv").write_text(text, encoding=encoding)
    return "table.csv"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table(tmp_path, delimiter, encoding):
    write(tmp_path / "my sounds" / "Müller.wav")
    write(tmp_path / "b.flac", 8000)
    write(tmp_path / "c.wav")
    lines = [
        " File ,Subject,GROUP,Label,subset,device,age",
        "my sounds\\Müller.wav,m,g1,murmur,clinic,Littmann,",
        "./b.flac,b,g2,normal,,nan,31",
        f"{tmp_path}/c.wav,c,g3,,,,",
        ",,,,,,",
        "",
    ]
    path = write_table(tmp_path, "\r\n".join(lines).replace(",", delimiter), encoding)
    dataset = own.dataset(tmp_path, path=path, positive="murmur")
    assert (dataset.classes, dataset.positive) == (("normal", "murmur"), "murmur")
    assert dataset.grouping == "column group of table.csv"
    assert dataset.quarantined == ()
    b, muller = dataset.recordings
    assert (b.id, b.label, b.subject, b.group, b.subset, b.metadata) == (
        "b.flac",
        "normal",
        "b",
        "g2",
        "",
        {"age": "31"},
    )
    assert (muller.id, muller.label, muller.subset) == ("my sounds/Müller.wav", "murmur", "clinic")
    assert muller.metadata == {"device": "Littmann"}
    assert [(r.path, r.group) for r in dataset.unlabelled] == [(tmp_path / "c.wav", "g3")]


def test_names_of_another_system(tmp_path):
    """A table with composed letters, written on Windows, and files from a Mac, where they are decomposed."""
    write(tmp_path / "Mu\u0308ller.wav")
    write(tmp_path / "b.wav")
    dataset = own.dataset(tmp_path, path=write_table(tmp_path, "file,label\nM\u00fcller.wav,x\nb.wav,y\n"))
    assert [r.id for r in dataset.recordings] == ["M\u00fcller.wav", "b.wav"]


def test_subjects_are_the_groups_where_there_are_no_others(tmp_path):
    for name in "abc":
        write(tmp_path / f"{name}.wav")
    text = "file,label,subject\na.wav,x,1\nb.wav,y,1\nc.wav,y,\n"
    dataset = own.dataset(tmp_path, path=write_table(tmp_path, text))
    assert [r.group for r in dataset.recordings] == ["1", "1", None]
    assert dataset.grouping == "column subject of table.csv"
    text = "file,label,subject,group\na.wav,x,1,g\nb.wav,y,1,h\nc.wav,y,2,h\n"
    with pytest.raises(UserError, match="has subject 1 in the groups g and h: give all recordings of a subject one"):
        own.dataset(tmp_path, path=write_table(tmp_path, text))


def test_bad_rows_are_quarantined(tmp_path):
    for name in ("a", "b", "c", "d"):
        write(tmp_path / f"{name}.wav")
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    (tmp_path / "folder.wav").mkdir()
    text = (
        "file,label,age\na.wav,x,1\nb.wav,y,1\nb.wav,y,1\nc.wav,x,1\n./c.wav,y,1\nd.wav,x,1\nd.wav,x,2\n"
        f",x,\nnowhere.wav,x,\n{'l' * 9000}.wav,y,\nbroken.wav,x,\nfolder.wav,x,\n../../../../../../etc/passwd,x,\n"
    )
    dataset = own.dataset(tmp_path, path=write_table(tmp_path, text))
    assert [r.id for r in dataset.recordings] == ["a.wav", "b.wav"]
    found = {item.id: item.reason for item in dataset.quarantined}
    missing = "missing: listed in table.csv, but there is no such file"
    assert found.pop("../../../../../../etc/passwd") != ""
    assert found.pop("broken.wav").startswith("cannot be decoded as audio")
    assert found == {
        "c.wav": "listed more than once, and not the same each time: lines 5, 6 of table.csv",
        "d.wav": "listed more than once, and not the same each time: lines 7, 8 of table.csv",
        "line 9": "line 9 of table.csv names no file",
        "nowhere.wav": missing,
        "folder.wav": missing,
        f"{'l' * 200}...": missing,
    }
