import csv
import hashlib
import io
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from hsjax.data import __main__ as command


@pytest.fixture
def root(tmp_path):
    for level, letter in enumerate("abcdef", 1):
        folder = tmp_path / "physionet2016" / f"training-{letter}"
        folder.mkdir(parents=True)
        (folder / "REFERENCE.csv").write_text(f"{letter}0001,1\n")
        soundfile.write(folder / f"{letter}0001.wav", np.array([0.0, 0.1 * level]), 2000)
    return tmp_path


def test_check_healthy(root, capsys):
    assert command.main(["check", "physionet2016", f"--root={root}"]) == 0
    output = capsys.readouterr()
    assert output.out == "id,path,used,reason\n"
    assert output.err == "physionet2016: 6 recordings usable, 0 of them noted, 0 files quarantined\n"


def test_check_with_bad_files(root, capsys, monkeypatch):
    soundfile.write(root / "physionet2016/training-d/d0001.wav", np.zeros(5), 2000)
    monkeypatch.setenv("HSJAX_DATA", str(root))
    assert command.main(["check", "physionet2016"]) == 1
    output = capsys.readouterr()
    assert list(csv.DictReader(io.StringIO(output.out))) == [
        {
            "id": "d0001",
            "path": "physionet2016/training-d/d0001.wav",
            "used": "no",
            "reason": "silent: every sample is 0",
        }
    ]
    assert output.err == "physionet2016: 5 recordings usable, 0 of them noted, 1 files quarantined\n"


def test_check_finds_copies_and_contradictions(root, capsys):
    for name in ("a0001", "b0001", "c0001"):
        soundfile.write(root / f"physionet2016/training-{name[0]}/{name}.wav", np.array([0.5, -0.5]), 2000)
    (root / "physionet2016/training-c/REFERENCE.csv").write_text("c0001,-1\n")
    assert command.main(["check", "physionet2016", f"--root={root}"]) == 1
    reasons = {row["id"]: row["reason"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert reasons == {
        "a0001": "same sound as c0001, which is labelled normal",
        "b0001": "same sound as c0001, which is labelled normal",
        "c0001": "same sound as a0001, which is labelled abnormal",
    }


def test_mistakes_are_one_sentence(root, capsys):
    assert command.main(["check", "physionet2016", f"--root={root / 'nowhere'}"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert "--root" in output.err


@pytest.mark.parametrize("arguments", [[], ["check"], ["check", "nothing"], ["audit"], ["cache"], ["download"]])
def test_wrong_commands(arguments):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2


def test_list(root, capsys, monkeypatch):
    monkeypatch.delenv("HSJAX_DATA", raising=False)
    assert command.main(["list", f"--root={root}"]) == 0
    listed = capsys.readouterr().out
    assert "synthetic: embedded" in listed
    assert f"physionet2016: present, {root / 'physionet2016'}" in listed
    assert "Liu et al. 2016" in listed
    assert "https://physionet.org/content/challenge-2016/" in listed
    assert command.main(["list", f"--root={root / 'nowhere'}"]) == 0
    assert "physionet2016: absent" in capsys.readouterr().out
    assert command.main(["list"]) == 0
    assert "HSJAX_DATA is set" in capsys.readouterr().out


def test_as_a_program(root):
    environment = os.environ | {"HSJAX_DATA": str(root)}
    soundfile.write(root / "physionet2016/training-a/a0002.wav", np.ones(5), 2000)
    result = subprocess.run(
        [sys.executable, "-m", "hsjax.data", "check", "physionet2016"], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 1
    assert result.stdout.splitlines()[1] == (
        "a0002,physionet2016/training-a/a0002.wav,no,no label: not listed in REFERENCE.csv"
    )


@pytest.fixture
def own(tmp_path):
    """Two classes of three recordings of noise, one of them a copy of another with a little noise on it."""
    rng = np.random.default_rng(0)
    for label in ("sick", "well"):
        (tmp_path / "own" / label).mkdir(parents=True)
        for index in range(3):
            soundfile.write(tmp_path / "own" / label / f"{label}{index}.wav", 0.1 * rng.standard_normal(4000), 2000)
    copy = soundfile.read(tmp_path / "own/sick/sick0.wav")[0][200:]
    soundfile.write(tmp_path / "own/well/copy.wav", copy + 0.001 * rng.standard_normal(3800), 2000)
    return tmp_path / "own"


def test_audit_of_own_recordings(own, capsys, tmp_path):
    lists = []
    for name, ids in {
        "train": ["sick/sick0.wav", "well/well0.wav", "absent"],
        "test": ["well/copy.wav", "well/well1.wav"],
    }.items():
        (tmp_path / name).write_text("\n".join(ids))
        lists.append(str(tmp_path / name))
    table = tmp_path / "out" / "audit.csv"
    assert command.main(["audit", "own", f"--path={own}", f"--csv={table}", "--lists", *lists[::-1]]) == 0
    printed = capsys.readouterr().out
    assert "test after train: 2 of 2 and 2 of 3 ids are present" in printed
    assert "Twins with two labels: 1 pairs" in printed
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    (pair,) = [row for row in rows if row["table"] == "contradicting"]
    assert {pathlib.PurePath(pair["item"]).stem, pathlib.PurePath(pair["other"]).stem} == {"copy", "sick0"}
    leaks = {
        row["metric"]: row["value"]
        for row in rows
        if (row["table"], row["item"], row["label"]) == ("leakage", "test after train", "")
    }
    assert (leaks["twin"], leaks["group"], leaks["recording"]) == ("1", "1", "0")


def test_audit_of_one_list_says_what_is_lacking(own, capsys, tmp_path):
    (tmp_path / "test").write_text("sick0\n")
    assert command.main(["audit", "own", f"--path={own}", "--lists", str(tmp_path / "test")]) == 2
    assert "two files or more" in capsys.readouterr().err


def test_audit_refuses_a_protocol_that_is_not_for_the_dataset(own, capsys):
    assert command.main(["audit", "own", f"--path={own}", "--protocol=inter-patient"]) == 2
    assert "needs records of MIT-BIH" in capsys.readouterr().err


def test_verify_names_what_disagrees(root, capsys):
    samples = np.array([3, -700], "<i2")
    soundfile.write(root / "physionet2016/training-a/a0001.wav", samples, 2000)
    good = hashlib.sha256(samples.tobytes()).hexdigest()
    lines = ["dataset,file,label,samplerate,seconds,sha256"]
    lines += [f"physionet2016,physionet2016/training-a/a0001.wav,Abnormal,2000,0.001,{good}"]
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    assert command.main(["verify", str(root / "manifest.csv"), f"--root={root}"]) == 0
    lines += [f"physionet2016,physionet2016/training-b/b0001.wav,Normal,2000,0.001,{good}"]
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    assert command.main(["verify", str(root / "manifest.csv"), f"--root={root}"]) == 1
    output = capsys.readouterr()
    assert output.out.startswith("physionet2016,physionet2016/training-b/b0001.wav,")
    assert "1 rows of" in output.err


def test_cache_of_nothing(tmp_path, capsys):
    assert command.main(["cache", str(tmp_path)]) == 0
    assert command.main(["cache", str(tmp_path), "--clear"]) == 0
    assert f"0 entries removed from {tmp_path}" in capsys.readouterr().err


def test_download_of_what_is_not_registered(tmp_path, capsys):
    assert command.main(["download", "nothing", f"--root={tmp_path}"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
