"""Published figures beside ours, and what the table of them holds."""

import json
import re

import pytest

from hsjax import evaluate
from hsjax.report import cells, page, published, reading, tables, wording
from hsjax.types import ResultRow
from tests.report.fabricated import PUBLISHED, fabricate


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
