import base64
import csv
import re
import xml.etree.ElementTree

import numpy as np
import pytest
import sklearn.metrics

from hsjax.report import cells, page, tables
from hsjax.types import UserError
from tests.report.fabricated import PUBLISHED, fabricate


def identifiers(built):
    return [element["id"] for element in built.elements if "id" in element]


def test_page_stands_alone_and_is_well_formed(real):
    run_dir, _, built = real
    assert (run_dir / "report" / "index.html").is_file()
    for element in built.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert element.get(name, "#").startswith(("#", "data:image/")), element
        assert element["tag"] not in ("script", "link", "iframe", "object")
    assert "url(" not in built.source
    assert "@import" not in built.source
    assert len(set(identifiers(built))) == len(identifiers(built))
    assert {link["href"][1:] for link in built.all("a")} <= set(identifiers(built))
    assert built.all("img")
    assert all(len(image["alt"]) > 20 for image in built.all("img"))
    assert len(built.all("table")) == len(built.all("caption"))
    assert all(cell["scope"] in ("row", "col") for cell in built.all("th"))
    assert [element["text"] for element in built.all("h1")] == ["kd: physionet2016"]


def test_figures_on_the_page_are_those_of_the_tables(real):
    run_dir, rows, built = real
    cells = {"0.9876", "0.99"}  # the gate's
    for path in (run_dir / "report" / "results.csv", PUBLISHED):
        with path.open() as file:
            cells |= {row[name] for row in csv.DictReader(file) for name in ("value", "low", "high")}
    figures = built.all("data")
    assert len(figures) > 200
    for figure in figures:
        assert figure["value"] in cells
        shown = float(figure["text"].replace(",", ""))
        assert shown == pytest.approx(float(figure["value"]), abs=5.01e-4, rel=5e-3)
    (macc,) = [
        row for row in rows
        if (row.protocol, row.stage, row.unit, row.variant, row.metric) == ("grouped", "kd", "recording", "jax", "macc")
    ]  # fmt: skip
    header, *body = built.rows("MAcc per recording")
    (line,) = [line for line in body if line[0] == "kd"]
    assert f">{macc.value:.3f}<" in line[header.index("MAcc, grouped")]
    assert f">{macc.low:.3f}<" in line[header.index("MAcc, grouped")]
    assert "43,250" in line[header.index("parameters")]
    assert "grouped: 24 recordings of 12 groups" in built.source
    assert "kd, protocol grouped; best epoch 2" in [element["text"] for element in built.all("figcaption")]


def test_synthetic_data_is_stamped_everywhere(synthetic):
    _, built = synthetic
    (banner,) = [element for element in built.elements if element.get("class") == "banner"]
    assert banner["text"].startswith("SYNTHETIC DATA")
    captions = [element["text"] for element in built.all("caption") + built.all("figcaption")]
    ours = [caption for caption in captions if not caption.startswith("Published figures of settings")]
    assert all(caption.startswith("Synthetic data. ") for caption in ours)
    assert "made on other data (physionet2016) than ours (synthetic)" in built.source


def test_real_data_is_not_stamped(real):
    assert "synthetic" not in real[2].source.lower()


def test_several_seeds_show_mean_and_spread(synthetic):
    rows, built = synthetic
    header, *body = built.rows("Protocol grouped, per recording")
    assert [line[:2] for line in body[:3]] == [["student", "mean"], ["student", "0"], ["student", "1"]]
    values = [
        row.value for row in rows
        if isinstance(row.seed, int) and row.variant == "jax"
        and (row.protocol, row.stage, row.unit, row.metric) == ("grouped", "student", "recording", "auroc")
    ]  # fmt: skip
    shown = re.findall(r">(\d\.\d{3})<", body[0][header.index("AUROC")])
    assert shown == [f"{np.mean(values):.3f}", f"{np.std(values, ddof=1):.3f}"]
    assert "all seeds" in built.source


def test_gate_exports_and_quarantine(real):
    _, _, built = real
    header, *body = built.rows("Exported files and the networks")
    assert [line[0] for line in body] == ["kd", "kd"]
    assert "tflite-int8-features" in body[1][1]
    assert "failed" in body[1][header.index("gate")]
    assert ">0.988<" in body[1][header.index("agreement")]
    assert "47,992" in body[1][header.index("bytes")]
    assert ">0.0205<" in body[1][header.index("latency ms")]
    assert "+0.000" in body[1][header.index("AUROC, file minus network")]
    assert "fits" not in header
    devices = built.rows("Kinds of devices that each file fits")
    assert devices[0] == ["stage", "file", "mobile", "tiny"]
    assert [re.sub("<.*?>", "", cell) for cell in devices[1]] == ["kd", "tflite-int8-features", "✓", "✗"]
    assert len(devices) == 2
    gate = built.rows("was held against")
    assert [line[1] for line in gate[1:]] == ["same class", "operators"]  # what failed comes first
    assert "1 of 2 checks passed" in built.source
    assert "&lt;b&gt;every&lt;/b&gt;" in built.source
    assert "--config=configs/kd.py" in built.source


def test_networks_are_drawn_and_listed(real):
    *_, built = real
    (picture,) = [one for one in built.all("img") if one["alt"].startswith("Layers of <small>")]
    assert "student, kd" in picture["alt"]
    assert "24 parameters, 508 multiply-accumulates" in picture["alt"]
    drawn = base64.b64decode(picture["src"].partition("base64,")[2])
    boxes = xml.etree.ElementTree.fromstring(drawn)
    words = [element.text for element in boxes if element.tag.endswith("text")]
    assert words[:3] == ["input", None, "4 x 7"]
    assert "4 x 7 x 2; 18 parameters, 504 MACs" in words
    widths = {one.get("fill"): float(one.get("width")) for one in boxes if one.get("height") == "2"}
    # 6 of 24 parameters and 4 of 508 multiply-accumulates of 376 pixels, the last layer's.
    assert widths == {"#0072B2": 94, "#D55E00": 3}
    _, first, last = built.rows("&lt;small&gt; (student, kd), input 4 x 7")
    assert first == ["conv", "Conv", "4 x 7 x 2", "18", "504"]
    assert last == ["logits", "Dense", "2", "6", "4"]


def test_shap_values_are_shown_with_classes_and_sums(real):
    *_, built = real
    pictures = [one for one in built.all("img") if one["alt"].startswith("SHAP values")]
    right, wrong = (one["alt"] for one in pictures)
    assert "kd, protocol grouped, seed 0 on abnormal: r01" in right
    # The decided class first; its largest patch is the first of two, in a window of two seconds.
    assert "for abnormal the values of 1 x 2 patches sum to +0.20, and the largest, +0.25" in right
    assert "row 1 from below at 0.0 to 1.0 s" in right
    assert right.index("for abnormal") < right.index("for normal")
    assert all(one["src"].startswith("data:image/png;base64,") for one in pictures)
    assert "decided rightly (normal 0.40, abnormal 0.60)" in built.source
    assert "decided wrongly: abnormal (normal 0.30, abnormal 0.70)" in built.source
    assert wrong.index("for abnormal") < wrong.index("for normal")


def test_parts_that_a_run_lacks_are_left_out(bare):
    assert {"glance", "results", "exports", "training", "confusion", "reproduce"} <= set(identifiers(bare))
    assert not {"gate", "examples", "quarantine", "published", "roc", "networks", "explanations"} & set(
        identifiers(bare)
    )


def test_more_than_two_classes_have_no_positive_one(bare):
    header, *_ = bare.rows("Macro recall per recording")
    assert "macro recall, grouped" in header
    assert not {"sensitivity", "MAcc", "threshold"} & {cell["text"] for cell in bare.all("th")}


def test_what_is_not_defined_is_a_dash():
    assert cells.number(float("nan")) == '<data value="nan">&ndash;</data>'


def test_every_class_has_its_sensitivity_and_precision(three, real):
    run_dir, built = three
    header, counts, *body = built.rows(
        "Protocol grouped, per segment of the test part, decided for the likeliest class: "
    )
    assert header[2:] == [f"{name}, {what}" for name in ("AS", "MR", "N") for what in ("sensitivity", "precision")]
    (one,) = [
        one for one in tables.read_predictions(run_dir / "report" / tables.PREDICTIONS)
        if (one.key.protocol, one.key.stage, one.key.variant, one.unit) == ("grouped", "kd", "jax", "segment")
    ]  # fmt: skip
    precision, recall, _, support = sklearn.metrics.precision_recall_fscore_support(
        one.label, one.probabilities.argmax(1)
    )
    assert [re.sub("<.*?>", "", cell) for cell in counts[2::2]] == [str(count) for count in support]
    (line,) = [line for line in body if line[0] == "kd"]
    for cell, value in zip(line[2:], np.stack([recall, precision], 1).ravel(), strict=True):
        assert f">{value:.3f}<" in cell
    assert "classes" not in identifiers(real[2])


def test_the_same_run_gives_the_same_page(real):
    run_dir, _, built = real
    assert page.build(run_dir, PUBLISHED).read_text(encoding="utf-8") == built.source
    assert not list((run_dir / "report").glob("*.partial"))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match=re.escape("config.json is missing")):
        page.build(tmp_path, None)
    fabricate(tmp_path)
    (tmp_path / "report" / tables.CURVES).unlink()
    with pytest.raises(UserError, match=re.escape("curves.csv is missing")):
        page.build(tmp_path, None)
