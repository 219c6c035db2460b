import base64
import io
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib.image
import numpy as np
import pytest

from hsjax.report import figures


def curve(name, *y):
    return figures.Curve(name, np.arange(1.0, len(y) + 1), np.array(y, float))


def training():
    losses = [curve("train", 0.9, 0.5), curve("validation", 0.95, 0.625)]
    return figures.training("kd, protocol grouped", losses, [curve("AUROC", 0.6, 0.875)], "validation metrics")


def confusion():
    return figures.confusion("kd", np.array([[90, 10], [1, 3]]), ("normal", "abnormal"))


def roc():
    return figures.roc("networks", [curve("kd: 0.912 (n = 104)", 0.0, 1.0)])


def size_accuracy():
    points = [figures.Point("kd", "network", 173e3, 0.91), figures.Point("kd", "tflite-int8-features", 47992.0, 0.905)]
    return figures.size_accuracy("Size and MAcc", points, "MAcc")


def example():
    samples = np.sin(np.arange(500) / 20).astype(np.float32)
    return figures.example(
        "normal: a0001", samples, 200.0, np.ones((33, 21), np.float32), 50.0, np.ones((13, 21), np.float32), 0.125
    )


PICTURES = [training, confusion, roc, size_accuracy, example]


@pytest.mark.parametrize("draw", PICTURES)
def test_the_same_numbers_give_the_same_bytes(draw):
    assert draw().content == draw().content


@pytest.mark.parametrize("draw", PICTURES)
def test_pictures_are_whole_and_of_a_phones_width(draw):
    picture = draw()
    if picture.media_type == "image/png":
        height, width, _ = matplotlib.image.imread(io.BytesIO(picture.content)).shape
    else:
        root = ElementTree.fromstring(picture.content)
        width, height = (float(root.get(side).removesuffix("pt")) * 160 / 72 for side in ("width", "height"))
    assert width == pytest.approx(4.2 * 160)
    assert 0.5 * width < height < 1.3 * width
    kind, content = picture.uri.split(",")
    assert kind == f"data:{picture.media_type};base64"
    assert base64.b64decode(content) == picture.content


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (training, ["kd, protocol grouped", "validation ends at 0.625 after 2 epochs", "AUROC ends at 0.875"]),
        (confusion, ["10 of 100 normal predicted abnormal", "3 of 4 abnormal predicted abnormal"]),
        (roc, ["networks", "kd: 0.912 (n = 104)"]),
        (size_accuracy, ["kd tflite-int8-features: 47,992 bytes, 0.905"]),
        (example, ["normal: a0001", "2.5 seconds", "13 feature coefficients"]),
    ],
)
def test_alternative_text_says_what_is_drawn(draw, said):
    for words in said:
        assert words in draw().alt


def test_a_class_without_examples_is_drawn():
    assert (
        "0 of 0 abnormal predicted normal"
        in figures.confusion("kd", np.array([[5, 0], [0, 0]]), ("normal", "abnormal")).alt
    )


def test_seeds_share_one_entry_of_the_legend():
    one = figures.training("kd", [curve("train", 0.9, 0.5)], [curve("AUROC", 0.6, 0.8)], "score")
    three = figures.training("kd", [curve("train", 0.9, 0.5)] * 3, [curve("AUROC", 0.6, 0.8)] * 3, "score")
    assert one.content.count(b"<!-- AUROC -->") == three.content.count(b"<!-- AUROC -->") == 1
    assert three.content.count(b"clip-path") > one.content.count(b"clip-path")


def test_no_global_state_of_matplotlib_is_used():
    code = "import sys, hsjax.report; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
