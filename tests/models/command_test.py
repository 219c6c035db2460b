import csv
import functools
import io
import re
import subprocess
import sys

import pytest

from hsjax import models
from hsjax.models import __main__ as command
from hsjax.models.resnet import ResNet

BAD = {
    "summary song-studnet": "no network is called 'song-studnet'; there are .*song-student",
    "summary song-studnet --option channels=1": "no network is called 'song-studnet'",
    "summary song-student --input 13": "--input is COEFFICIENTSxFRAMES",
    "summary song-student --input 13x0": "--input is COEFFICIENTSxFRAMES",
    "summary song-student --input 13xx101": "--input is COEFFICIENTSxFRAMES",
    "summary song-student --input 2x3": "the input is too small: at conv2",
    "summary song-student --option width=3": "song-student has no option 'width'",
    "summary song-student --option width": "--option is NAME=VALUE",
    "convert missing.pth": "there is no file missing.pth to convert",
    "list --input 3": "--input is COEFFICIENTSxFRAMES",
}


@pytest.mark.parametrize("line", BAD)
def test_mistakes_are_one_sentence_and_exit_code_2(capsys, line):
    assert command.main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(BAD[line], err)
    assert err.count("\n") == 1


@pytest.mark.parametrize("line", ["", "sumary", "summary song-student --classes 0", "summary song-student --depth x"])
def test_mistakes_of_the_command_line_itself(capsys, line):
    with pytest.raises(SystemExit) as ended:
        command.main(line.split())
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_summary_is_readable_at_80_columns_and_when_piped(capsys):
    assert command.main(["summary", "song-student"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["layer", "type", "output", "parameters", "MACs"]
    assert lines[1].split() == ["conv1", "ConvReluMaxPool", "6x50x16", "160", "189,072"]
    text = "\n".join(lines)
    assert "\x1b" not in text
    # Song et al.'s count; MACs and the first pool's input and output by hand.
    for figure in ("43,250 trained, 0 running statistics", "1,609,904", "103,232 bytes in float32, 25,808 in int8"):
        assert figure in text


def test_summary_on_a_terminal_fits_it(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    assert command.main(["summary", "song-teacher", "--classes", "5"]) == 0
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:3] == ["conv4", "ConvReluMaxPool", "7x8x128"] for line in lines)


def test_summary_as_csv(capsys):
    assert command.main(["summary", "song-student", "--csv", "--classes", "3"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["layer", "type", "output", "parameters", "statistics", "macs"]
    assert rows[-1] == {
        "layer": "logits", "type": "Dense", "output": "3", "parameters": "51", "statistics": "0", "macs": "48",
    }  # fmt: skip
    assert sum(int(row["parameters"]) for row in rows) == 43_250 + 17


def test_list_names_every_network_with_parameters_and_options(capsys, monkeypatch):
    chosen = {name: models.MODELS[name] for name in ("song-student", "song-teacher")}
    monkeypatch.setattr(command, "MODELS", chosen)
    assert command.main(["list"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^song-student +43,250 +widths=\(16,32\) hidden=16$", text, re.MULTILINE)
    assert re.search(r"^song-teacher +254,594 +widths=\(32,64,128,128\)$", text, re.MULTILINE)
    assert command.main(["list", "--input", "2x3", "--csv"]) == 0
    assert "song-student,other input," in capsys.readouterr().out


def test_list_leaves_no_network_out(capsys, monkeypatch):
    monkeypatch.setattr(command, "parameter_count", lambda variables: 0)  # counting needs the networks traced
    monkeypatch.setattr(command.jax, "eval_shape", lambda *arguments: None)
    assert command.main(["list", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["network"] for row in rows] == sorted(models.MODELS)


@pytest.fixture
def resnet(monkeypatch):
    """Registers a small network with options of several types."""
    made = functools.partial(ResNet, blocks=(1, 1), bottleneck=False, width=4)
    monkeypatch.setitem(models.MODELS, "small", made)


def rows_of(capsys, *options):
    words = [word for option in options for word in ("--option", option)]
    assert command.main(["summary", "small", "--csv", *words]) == 0
    return {row["layer"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}


def test_options(capsys, resnet):
    def kernel(channels, width, bias):
        return str(49 * channels * width + bias * width)

    assert rows_of(capsys)["stem/conv"]["parameters"] == kernel(3, 4, True)
    changed = rows_of(capsys, "channels=1", "width=6", "variant=torchvision", "blocks=(2,1,1)", "bottleneck=true")
    assert changed["stem/conv"]["parameters"] == kernel(1, 6, False)
    assert {"stage1/block2/conv3/conv", "stage3/block1/conv1/conv"} <= set(changed)
    assert "stage3/block1/conv1/conv" not in rows_of(capsys, "bottleneck=False")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("channels=many", "channels is of type int, such as 3, not 'many'"),
        ("channels=1.5", "channels is of type int"),
        ("bottleneck=1", "bottleneck is of type bool"),
        ("blocks=3", r"blocks is of type tuple, such as \(1,1\)"),
        ("blocks=__import__('os')", "blocks is of type tuple"),
        ("variant=caffe", "variant is one of keras, torchvision, not 'caffe'"),
        ("padding=valid", "set padding to symmetric or same"),
        ("execution=fast", "no option 'execution'"),
        ("blocks=('a',)", "blocks of small is 'a'; it must be a whole number"),
    ],
)
def test_wrong_options(capsys, resnet, option, words):
    assert command.main(["summary", "small", "--option", option]) == 2
    err = capsys.readouterr().err
    assert re.search(words, err)
    assert err.count("\n") == 1


def test_channels_that_the_stem_is_not_for(capsys, resnet):
    assert command.main(["summary", "small", "--input", "20x20x2"]) == 2
    assert "takes maps of 3 channels or one, got 2" in capsys.readouterr().err


def test_depth(capsys, resnet):
    assert command.main(["summary", "small", "--depth", "1", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    layers = [row["layer"] for row in rows]
    assert layers[:3] == ["stem", "stage1", "stage2"]
    assert layers[-1] == "logits"
    assert not any("/" in layer for layer in layers)


def test_weights_say_where_they_are(capsys):
    assert command.main(["weights"]) == 0
    text = capsys.readouterr().out
    assert "resnet18: torchvision, 1000 classes\n  https://download.pytorch.org/models/resnet18-f37072fd.pth" in text


def test_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "hsjax.models", "summary", "nothing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("no network is called 'nothing'")
