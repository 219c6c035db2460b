import base64
import csv
import dataclasses
import html.parser
import json
import pathlib
import re
import xml.etree.ElementTree

import numpy as np
import pytest
import sklearn.metrics

from hsjax import evaluate
from hsjax.evaluate import Decided
from hsjax.report import cells, page, published, reading, tables, wording
from hsjax.types import CurveRow, Predictions, ResultRow, RunKey, UserError

PUBLISHED = pathlib.Path(__file__).parents[2] / "configs" / "published.csv"
VOID = {"meta", "img", "br", "wbr"}
STAGES = ("student", "kd")


def segments(key, classes=("normal", "abnormal"), separation=1.0):
    rng = np.random.default_rng([STAGES.index(key.stage), key.seed, len(key.protocol)])
    recording = np.repeat(np.arange(24), 3)
    label = (recording % len(classes)).astype(np.int32)
    logits = rng.normal(size=(len(recording), len(classes))) + separation * np.eye(len(classes))[label]
    return Predictions(
        key=key,
        unit="segment",
        classes=classes,
        recording=np.array([f"r{index:02d}" for index in recording]),
        start=np.tile([0.0, 2.5, 5.0], 24),
        group=np.array([f"s{index // 2:02d}" for index in recording]),
        label=label,
        probabilities=(np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32),
    )


def fabricate(run_dir, dataset="physionet2016", seeds=(0,), classes=("normal", "abnormal")):
    """A run's folder as the report stage leaves it, with everything that is optional."""
    report = run_dir / "report"
    report.mkdir(parents=True)
    positive = 1 if len(classes) == 2 else None
    settings = {"positive": positive, "resamples": 20, "seed": 0}
    predictions, rows, curves, decided = [], [], [], {}
    for protocol in ("paper", "grouped"):
        for seed in seeds:
            for stage in STAGES:
                of_stage = segments(RunKey(dataset, protocol, stage, seed), classes)
                for one in (of_stage, evaluate.recordings(of_stage)):
                    threshold = 0.4 if positive is not None else None
                    decided[protocol, seed, stage, one.unit] = Decided(one, threshold)
                    predictions.append(one)
                    rows += evaluate.score(one, threshold=threshold, **settings)
                for metric, value in (("parameters", 43250.0), ("macs", 1620480.0), ("best_epoch", 2.0)):
                    row = ResultRow(
                        dataset, protocol, stage, seed, 0, "", "model", "jax", "features", metric, "", value
                    )
                    rows.append(row)
                for epoch in (1, 2):
                    key = (dataset, protocol, stage, seed, 0, epoch)
                    curves += [CurveRow(*key, split, "loss", 1 / epoch) for split in ("train", "validation")]
                    curves.append(CurveRow(*key, "validation", "auroc", 0.5 + epoch / 10))
        for unit in ("segment", "recording"):
            sides = ([decided[protocol, seed, stage, unit] for seed in seeds] for stage in ("kd", "student"))
            rows += evaluate.difference(*sides, "kd - student", **settings)
    network = decided["grouped", 0, "kd", "recording"]
    key = dataclasses.replace(network.predictions.key, variant="tflite-int8")
    file = Decided(dataclasses.replace(network.predictions, key=key), network.threshold)
    predictions.append(file.predictions)
    rows += evaluate.score(file.predictions, threshold=file.threshold, **settings)
    rows += evaluate.difference([file], [network], "kd", **settings)
    agreeing = (dataset, "grouped", "kd", 0, 0, "test", "recording", "tflite-int8", "features", "agreement", "", 0.9876)
    rows.append(ResultRow(*agreeing, n=24, n_groups=12))
    for metric, value in (("bytes", 47992.0), ("latency_ms", 0.0204567)):
        where = (dataset, "grouped", "kd", 0, 0, "", "model", "tflite-int8", "features")
        rows.append(ResultRow(*where, metric, "", value, volatile=int(metric != "bytes")))
    rows += [ResultRow(*where, "fits", tier, fits, volatile=1) for tier, fits in (("mobile", 1.0), ("tiny", 0.0))]
    rows += evaluate.over_seeds(rows)
    tables.write_results(report / tables.RESULTS, rows)
    tables.write_predictions(report / tables.PREDICTIONS, predictions)
    tables.write_curves(report / tables.CURVES, curves)
    config = {
        "name": "kd", "command": "python -m hsjax.launch --config=configs/kd.py", "protocols": ["paper", "grouped"],
        "seeds": list(seeds), "notes": [], "published": "song2023", "pipeline": [*STAGES, "export", "report"],
        "evaluate": {"averages": ["both = student + kd"]},
    }  # fmt: skip
    (run_dir / "config.json").write_text(json.dumps(config))
    return rows


def add_optional(run_dir):
    report = run_dir / "report"
    (report / "quarantine.csv").write_text(
        'id,path,used,reason\nr99,training-a/r99.wav,no,"silent: <b>every</b> sample is 0"\n'
    )
    check = {
        "model": "exports/kd/tflite-int8-features.tflite", "check": "same class", "value": 0.9876, "limit": 0.99,
        "passed": False, "detail": "24 recordings",
    }  # fmt: skip
    (report / "gate.json").write_text(
        json.dumps([check | {"check": "operators", "value": "builtin", "limit": None, "passed": True}, check])
    )
    np.savez(
        report / "examples.npz",
        samples=np.zeros((2, 500), np.float32),
        sample_rate=200,
        spectrogram=np.zeros((2, 33, 21), np.float32),
        max_hertz=50.0,
        features=np.zeros((2, 13, 21), np.float32),
        hop_seconds=0.125,
        title=np.array(["normal: r00", "abnormal: r01"]),
    )
    layers = [
        {"path": "conv", "type": "Conv", "shape": [4, 7, 2], "parameters": 18, "statistics": 0, "macs": 504},
        {"path": "logits", "type": "Dense", "shape": [2], "parameters": 6, "statistics": 0, "macs": 4},
    ]
    network = {"model": "<small>", "stages": ["student", "kd"], "input": [4, 7], "layers": layers}
    (report / "layers.json").write_text(json.dumps([network]))
    values = np.zeros((2, 2, 1, 2))
    values[0, 1] = [[0.25, -0.05]]
    (report / "explanations").mkdir()
    np.savez(
        report / "explanations" / "why-kd.npz",
        stage="kd", protocol="grouped", seed=0, seconds=2.0, classes=np.array(["normal", "abnormal"]),
        title=np.array(["abnormal: r01", "normal: r00"]), label=np.array([1, 0]),
        features=np.ones((2, 4, 6), np.float32), values=values,
        expected=np.array([[0.6, 0.4], [0.6, 0.4]]), output=np.array([[0.4, 0.6], [0.3, 0.7]]),
    )  # fmt: skip


class Page(html.parser.HTMLParser):
    """Elements with their attributes and text; fails on tags that do not nest."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements, self._open = [], []
        self.feed(self.source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]

    def rows(self, caption):
        """Cells of the one table whose caption holds these words."""
        (match,) = [part for part in self.source.split("<table>")[1:] if caption in part.split("</caption>")[0]]
        lines = match.split("</table>")[0].split("<tr>")[1:]
        return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in lines]


# Pages are drawn once for all tests that only read them.


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A run on real data with everything that is optional: its folder, results and page."""
    run_dir = tmp_path_factory.mktemp("real")
    rows = fabricate(run_dir)
    add_optional(run_dir)
    return run_dir, rows, Page(page.build(run_dir, PUBLISHED))


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """A run of two seeds on synthetic data."""
    run_dir = tmp_path_factory.mktemp("synthetic")
    rows = fabricate(run_dir, dataset="synthetic", seeds=(0, 1))
    add_optional(run_dir)
    return rows, Page(page.build(run_dir, PUBLISHED))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A run of three classes without anything that is optional: its folder and page."""
    run_dir = tmp_path_factory.mktemp("bare")
    fabricate(run_dir, classes=("AS", "MR", "N"))
    return run_dir, Page(page.build(run_dir, None))


@pytest.fixture(scope="module")
def bare(three):
    """Its page."""
    return three[1]


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


def test_published_figures_stand_beside_ours(real):
    _, rows, built = real
    header, *body = built.rows("(Song et al., EMBC 2023, Tables II and III, protocol paper, 3,421 segments)")
    assert header == ["stage", "figure", "published", "ours, paper (the paper&#x27;s)", "ours, grouped"]
    (line,) = [line for line in body if line[:2] == ["kd", "accuracy at 0.5"]]
    ours = {
        row.protocol: row.value for row in rows
        if (row.stage, row.unit, row.metric) == ("kd", "segment", "accuracy@0.5")
    }  # fmt: skip
    assert ours["paper"] != ours["grouped"]
    assert ">0.885<" in line[2]
    assert f">{ours['paper']:.3f}<" in line[3]
    assert f">{ours['grouped']:.3f}<" in line[4]
    assert "were made on other data" not in built.source
    further = {line[0]: line for line in built.rows("settings that this run does not train")}
    assert ">0.874<" in further["grid@T=1,<wbr>alpha=0.3"][1]


def test_published_figures_have_their_n_and_say_whether_ours_reach_them(real):
    _, rows, built = real
    _, *body = built.rows("(Song et al., EMBC 2023, Tables II and III, protocol paper, 3,421 segments)")
    (sizes,) = [line for line in body if line[:2] == ["kd", "segments (groups)"]]
    assert [re.sub("<.*?>", "", cell) for cell in sizes[2:]] == ["3,421", "72 (12)", "72 (12)"]
    for metric, name, theirs in (
        ("accuracy@0.5", "accuracy at 0.5", 0.885),
        ("specificity@0.5", "specificity at 0.5", 0.936),
    ):
        (line,) = [line for line in body if line[:2] == ["kd", name]]
        for cell, protocol in zip(line[3:], ("paper", "grouped"), strict=True):
            (ours,) = [
                row.value for row in rows
                if (row.stage, row.unit, row.metric, row.protocol) == ("kd", "segment", metric, protocol)
            ]  # fmt: skip
            assert ("not reached" not in cell) == (ours >= theirs - 5e-4)
            assert "reached" in cell
    # Counts of a network are neither reached nor missed.
    (parameters,) = [line for line in body if line[:2] == ["kd", "parameters"]]
    assert "43,300" in parameters[2]
    assert "43,250" in parameters[3]
    assert "reached" not in "".join(parameters)


def test_what_the_split_gives_away_and_what_differs_is_said(tmp_path):
    fabricate(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"notes": ["No <weights> at hand."]}))
    known = {"examples": 2320, "of_trained_recording": 2310, "of_trained_group": 2315, "of_trained_twin": None}
    clean = {"examples": 5276, "of_trained_recording": 0, "of_trained_group": 0, "of_trained_twin": 0}
    part = {"examples": 1, "recordings": 1, "groups": 1, "groups_by_class": {"normal": 1, "abnormal": 1}}
    parts = dict.fromkeys(("train", "validation", "test"), part)
    fold = {"fold": 0, "note": "", "warning": None, "parts": parts}
    described = {
        "recordings": 2350, "hours": 1.0, "groups": 3, "grouping": "", "unlabelled": 0,
        "subsets": {"training-a": 409, "training-e": 1941}, "distribution": {"training-a": 409, "training-e": 2141},
        "folds": [fold | {"protocol": "paper", "known": known}, fold | {"protocol": "grouped", "known": clean}],
    }  # fmt: skip
    (tmp_path / "report" / "data.json").write_text(json.dumps(described))
    source = page.build(tmp_path, PUBLISHED).read_text(encoding="utf-8")
    assert (
        "Audit of protocol paper, tested examples: 2,310 of 2,320 are of a recording that was trained on; "
        "2,315 of 2,320 of a group" in source
    )
    assert "none of 5,276 tested examples is of a recording or group in training, near-copies looked for" in source
    assert "<li>No &lt;weights&gt; at hand.</li>" in source
    assert (
        "2,350 of 2,550 recordings of the official distribution are used: training-a 409 of 409, "
        "training-e 1,941 of 2,141." in source
    )


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


def test_claims_of_a_text_stand_beside_means_and_differences(tmp_path):
    """> 0.8 on average, and 0.02 to 0.04 more of one stage than of the other."""
    rows = fabricate(tmp_path, seeds=(0, 1))
    where = {"dataset": "physionet2016", "protocol": "paper", "unit": "recording", "variant": "jax"}
    where |= {"fold": 0, "split": "test", "input": "features", "label": "", "n": 24, "n_groups": 12}
    rows += [
        ResultRow(**where, stage="both", seed=seed, metric=metric, value=value)
        for seed, metric, value in (
            (0, "accuracy", 0.85),
            (evaluate.MEAN, "accuracy", 0.8),
            ("mean", "sd:accuracy", 0.01),
        )
    ]
    tables.write_results(tmp_path / "report" / tables.RESULTS, rows)
    head = "dataset,protocol,stage,seed,fold,split,unit,variant,input,metric,label,value,low,high,n,n_groups,volatile\n"
    line = "physionet2016,paper,{},song2023,0,test,recording,claimed,features,{},,{},,,0\n"
    claims = tmp_path / "claims.csv"
    claims.write_text(
        head + line.format("both", "accuracy", "0.8,,")
        + line.format("kd - student", "difference:accuracy", "0.02,0.02,0.04")
    )  # fmt: skip
    made = published.section(reading.load(tmp_path, claims)).written()
    lines = [re.sub(r"<[^>]*>", " ", part) for part in made.split("<tr>")]
    (average,) = [line.split() for line in lines if "accuracy" in line and "both" in line]
    # 0.8 is not more than 0.8.
    assert " ".join(average).startswith("both accuracy claimed: more than 0.800 0.800 &nbsp;&plusmn;&nbsp; 0.010 not")
    (gain,) = [line for line in lines if "difference of accuracy" in line]
    assert "claimed: +0.020 to +0.040" in " ".join(gain.split())
    wanted = ("kd - student", "paper", "recording", "difference:accuracy")
    (ours,) = [row.value for row in rows if (row.stage, row.protocol, row.unit, row.metric) == wanted]
    assert f"{ours:+.3f}" in gain
    assert ("not reached" in gain) == (ours < 0.02)


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


def test_sizes_of_files_are_in_mebibytes():
    """Mahapatra's 1.62 of MobileNetV3-Small."""
    rows = tables.read_results(PUBLISHED)
    (row,) = (row for row in rows if (row.stage, row.metric) == ("mobilenetv3", "bytes:onnx-int8-dynamic-all"))
    assert wording.metric(row.metric) == "MiB, onnx-int8-dynamic-all"
    assert ">1.62<" in cells.mebibytes(row.value)


def test_birton_s_sizes_are_of_one_form_each():
    """Table 6's .98 is no float network, zipped."""
    rows = [row for row in tables.read_results(PUBLISHED) if row.seed == "birton"]
    table = {(row.stage, row.metric): row.value for row in rows}
    assert table["mobilenet-qp", "zipped_bytes:tflite-int8"] == 980_000
    assert table["mobilenet-p", "zipped_bytes:jax"] == 1_880_000
    assert table["mobilenet-q", "micro_precision"] == 0.897
    assert table["efficientnet-qp", "micro_recall"] == 0.905
    assert all(":" in row.metric for row in rows if row.unit == "model")
    assert wording.metric("zipped_bytes:jax") == "zipped bytes, weights alone"


def test_published_table_is_that_of_the_paper():
    rows = tables.read_results(PUBLISHED)
    assert {row.variant for row in rows} == {"published", "claimed"}
    rows = [row for row in rows if row.seed == "song2023"]
    table = {(row.stage, row.metric): row.value for row in rows}
    assert table["teacher", "accuracy@0.5"] == 0.905
    assert table["kd", "specificity@0.5"] == 0.936
    assert table["grid@temperature=7,alpha=0.7", "macro_f1@0.5"] == 0.8
    assert table["student", "parameters"] == 43300
    # Song et al. 2023, Table II: the sum of each row over its ten models, in per cent.
    sums = {
        "accuracy": 873.4,
        "macro_recall": 818.9,
        "macro_precision": 839.5,
        "macro_f1": 828.2,
        "specificity": 930.5,
    }
    for metric, total in sums.items():
        # The point of the grid that the paper goes on with is there under both names.
        assert table["kd", f"{metric}@0.5"] == table["grid@temperature=7,alpha=0.1", f"{metric}@0.5"]
        others = ("kd", "mobilenet_small", "mobilenet_large", "li2021", "cardioxnet")  # Table III
        values = [value for (stage, name), value in table.items() if name == f"{metric}@0.5" and stage not in others]
        assert len(values) == 10
        assert 100 * sum(values) == pytest.approx(total)
