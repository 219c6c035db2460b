import csv
import io
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from hsjax.data import __main__ as command


@pytest.fixture
def root(tmp_path):
    for letter in "abcdef":
        folder = tmp_path / "physionet2016" / f"training-{letter}"
        folder.mkdir(parents=True)
        (folder / "REFERENCE.csv").write_text(f"{letter}0001,1\n")
        soundfile.write(folder / f"{letter}0001.wav", np.array([0.0, 0.1]), 2000)
    return tmp_path


def test_check_healthy(root, capsys):
    assert command.main(["check", "physionet2016", f"--root={root}"]) == 0
    output = capsys.readouterr()
    assert output.out == "id,path,reason\n"
    assert output.err == "physionet2016: 6 recordings usable, 0 files quarantined\n"


def test_check_with_bad_files(root, capsys, monkeypatch):
    soundfile.write(root / "physionet2016/training-d/d0001.wav", np.zeros(5), 2000)
    monkeypatch.setenv("HSJAX_DATA", str(root))
    assert command.main(["check", "physionet2016"]) == 1
    output = capsys.readouterr()
    assert list(csv.DictReader(io.StringIO(output.out))) == [
        {"id": "d0001", "path": "physionet2016/training-d/d0001.wav", "reason": "silent: every sample is 0"}
    ]
    assert output.err == "physionet2016: 5 recordings usable, 1 files quarantined\n"


def test_mistakes_are_one_sentence(root, capsys):
    assert command.main(["check", "physionet2016", f"--root={root / 'nowhere'}"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert "--config.data.root" in output.err


@pytest.mark.parametrize("arguments", [[], ["check"], ["check", "nothing"], ["download", "physionet2016"]])
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
        "a0002,physionet2016/training-a/a0002.wav,no label: not listed in REFERENCE.csv"
    )
