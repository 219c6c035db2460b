"""Pages of runs with a sweep, many stages compared with one, and a pre-trained one; every figure is made up."""

import dataclasses
import json
import re

import numpy as np
import pytest
import scipy.stats

from hsjax.report import curves, gains, page, reading, results, sweeps, tables
from hsjax.types import CurveRow, Predictions, ResultRow, RunKey

POINTS = {(1.0, 0.1): (0.70, 0.80), (1.0, 0.3): (0.72, 0.60), (7.0, 0.1): (0.65, 0.90), (7.0, 0.3): (0.60, 0.50)}
MEMBERS = {f"grid@temperature={t:g},alpha={a:g}": values for (t, a), values in POINTS.items()}
# Sorted neither by name nor by value: differences to the student, with intervals of half-width 0.02.
GAINS = {"fitnet": 0.05, "attention": -0.03, "crd": 0.01}
DATASET, PROTOCOL = "physionet2016", "grouped"
SEEDS = (0, 1)
TRAIN = {
    "kind": "train", "objective": "supervised", "model": "song-student", "options": {}, "begin": "", "pretrained": "",
    "teacher": "", "peer": "", "soft": "kd", "hints": {}, "temperature": 1.0, "alpha": 1.0,
}  # fmt: skip


def row(stage, seed, metric, value, split="test", unit="recording", **more):
    place = (DATASET, PROTOCOL, stage, seed, 0, split, unit, "jax", "features", metric, more.pop("label", ""))
    return ResultRow(*place, value, **{"n": 40, "n_groups": 20} | more)


def scored(stage, validation, test):
    """Three metrics of two seeds and of their mean, on both parts; what is no headline goes the other way."""
    for split, value in (("validation", validation), ("test", test)):
        for seed in SEEDS:
            off = 0.01 * (2 * seed - 1)
            yield row(stage, seed, "macc", value + off, split, low=value - 0.1, high=value + 0.1)
            yield row(stage, seed, "auroc", 1 - value - off, split)
            yield row(stage, seed, "accuracy", 0.5, split)
        for metric, mean in (("macc", value), ("auroc", 1 - value), ("accuracy", 0.5)):
            yield row(stage, "mean", metric, mean, split)
            yield row(stage, "mean", f"sd:{metric}", 0.0 if metric == "accuracy" else 0.0141421356, split)


def predictions(stage, seed):
    label = np.arange(8, dtype=np.int32) % 2
    name = np.array([f"r{index}" for index in range(8)])
    probability = np.linspace(0.2, 0.8, 8, dtype=np.float32)
    return Predictions(
        RunKey(DATASET, PROTOCOL, stage, seed), "recording", ("normal", "abnormal"), name, np.zeros(8), name, label,
        np.stack([1 - probability, probability], 1),
    )  # fmt: skip


def write(run_dir, rows):
    stages = {
        "student": TRAIN,
        "grid": TRAIN | {"objective": "distil", "teacher": "teacher"},
        "fitnet": TRAIN | {"objective": "distil", "teacher": "teacher", "soft": "none", "hints": {"fitnet": 100.0}},
        "attention": TRAIN | {"objective": "mutual", "peer": "song-student", "alpha": 0.5},
        "crd": TRAIN | {"objective": "distil", "teacher": "teacher", "temperature": 7.0, "alpha": 0.1},
        "pre": TRAIN | {"objective": "contrastive"},
    }
    shown = ("student", *MEMBERS, *GAINS)
    points = []
    for seed in SEEDS:
        for stage in (*shown, "pre"):
            for epoch in (1, 2):
                key = (DATASET, PROTOCOL, stage, seed, 0, epoch)
                points.append(CurveRow(*key, "train", "loss", 1 / epoch))
                if stage not in ("student", "pre"):
                    points += [CurveRow(*key, "train", name, 3 / epoch) for name in ("labels", "soft")]
                if stage != "pre":
                    points += [CurveRow(*key, "validation", name, 0.5 / epoch) for name in ("loss", "auroc", "macc")]
    folder = run_dir / "report"
    tables.write_results(folder / tables.RESULTS, rows)
    tables.write_predictions(
        folder / tables.PREDICTIONS, [predictions(stage, seed) for stage in shown for seed in SEEDS]
    )
    tables.write_curves(folder / tables.CURVES, points)
    config = {
        "name": "made-up",
        "command": "-",
        "notes": [],
        "published": "",
        "evaluate": {"averages": []},
        "protocols": [PROTOCOL],
        "seeds": SEEDS,
        "stages": stages,
    }
    (run_dir / "config.json").write_text(json.dumps(config | {"pipeline": [*stages, "report"]}))


@pytest.fixture(scope="module")
def rows():
    made = [each for stage, values in MEMBERS.items() for each in scored(stage, *values)]
    made += [each for each in scored("student", 0.6, 0.75) if each.split == "test"]
    made += [each for stage in GAINS for each in scored(stage, 0.6, 0.75) if each.split == "test"]
    made.append(row("student", 0, "threshold", 0.5, label="abnormal"))
    for stage, value in GAINS.items():
        bounds = {"low": value - 0.02, "high": value + 0.02}
        made.append(row(f"{stage} - student", "all", "difference:macc", value, **bounds))
    return made


@pytest.fixture(scope="module")
def shown(rows, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("sweep")
    write(run_dir, rows)
    return reading.load(run_dir, None)


def lines(written):
    """Rows of the first table in some markup, each a list of cells."""
    body = written.split("<table>")[1].split("</table>")[0]
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in body.split("<tr>")[1:]]


def test_validation_alone_selects(shown):
    section = sweeps.section(shown).written()
    # By MAcc on validation T = 1, alpha = 0.3; on the test part it would be T = 7, alpha = 0.1.
    (verdict,) = re.findall(r"<p>(Selected on validation.*?)</p>", section)
    assert re.sub("<[^>]*>", "", verdict) == (
        "Selected on validation: T = 1, alpha = 0.3 (MAcc there 0.720). On the test part its MAcc is 0.600, that of "
        "student, which learns the classes alone, 0.750 (means over seeds)."
    )
    header, *body = lines(section)
    assert header[:3] == ["constants", "MAcc, validation", "AUROC, validation"]
    assert [re.sub("<[^>]*>|selected", "", line[0]) for line in body] == [
        "T = 1, alpha = 0.1", "T = 1, alpha = 0.3", "T = 7, alpha = 0.1", "T = 7, alpha = 0.3", "student (plain)",
    ]  # fmt: skip
    assert ["selected" in line[0] for line in body] == [False, True, False, False, False]
    assert [re.findall(r">(0\.\d{3})<", line[header.index("MAcc, test")]) for line in body[:2]] == [
        ["0.800", "0.014"],
        ["0.600", "0.014"],
    ]
    assert "40 (20)" in body[0][header.index("n (groups), validation")]


def test_equals_on_validation_are_told_apart_by_auroc(rows, tmp_path):
    def even(one):
        both = one.split == "validation" and one.metric == "macc"
        return dataclasses.replace(one, value=0.7) if both else one

    write(tmp_path, [even(one) for one in rows])
    verdict = sweeps.section(reading.load(tmp_path, None)).written()
    assert "<strong>T = 7, alpha = 0.3</strong>" in verdict  # the highest AUROC there, 1 - 0.60


def test_without_figures_of_validation_nothing_is_selected(rows, tmp_path):
    write(tmp_path, [one for one in rows if one.split == "test"])
    section = sweeps.section(reading.load(tmp_path, None)).written()
    assert "no point is selected" in section
    assert "Selected" not in section
    assert "selected</strong>" not in section


def test_pictures_of_a_grid_show_both_parts_and_the_plain_student(shown):
    alts = re.findall(r'alt="([^"]*)"', sweeps.section(shown).written())
    assert [alt.partition(" of ")[0] for alt in alts] == ["MAcc", "AUROC", "accuracy"]
    assert "validation: T = 1, alpha = 0.1: 0.700" in alts[0]
    assert "test: T = 1, alpha = 0.1: 0.800" in alts[0]
    assert "student: 0.750" in alts[0]


def test_what_each_loss_brought_is_sorted_and_adjusted(shown):
    section = gains.section(shown)
    assert section.title == "What each loss brought"
    header, *body = lines(section.written())
    assert [line[0] for line in body] == ["fitnet", "crd", "attention"]
    assert [line[1] for line in body] == [
        "teacher: fitnet of weight 100",
        "teacher: kd, T 7, alpha 0.1",
        "a peer, song-student: T 1, alpha 0.5",
    ]
    # The normal distribution behind each interval, then Holm by hand: three, two and one times the sorted p-values.
    p = {stage: 2 * scipy.stats.norm.sf(abs(value) / (0.02 / 1.959964)) for stage, value in GAINS.items()}
    expected = {"fitnet": 3 * p["fitnet"], "attention": 2 * p["attention"], "crd": p["crd"]}
    assert expected["fitnet"] < expected["attention"] < expected["crd"] == pytest.approx(0.327, abs=1e-3)
    for line in body:
        (value,) = re.findall(r'value="([^"]*)"', line[header.index("p, Holm: MAcc")])
        assert float(value) == pytest.approx(expected[line[0]], rel=1e-5)
    assert "<strong>" in body[0][header.index("MAcc, difference")]
    assert "<strong>" not in body[1][header.index("MAcc, difference")]
    (alt,) = re.findall(r'alt="([^"]*)"', section.written())
    assert "fitnet +0.050 (+0.030 to +0.070); crd +0.010 (-0.010 to +0.030); attention -0.030" in alt


def test_p_value_of_an_interval():
    # The worked example of Altman and Bland (2011): a ratio of 0.81, 0.70 to 0.94, as logarithms; p = 0.005.
    low, value, high = np.log([0.70, 0.81, 0.94])
    found = gains.p_of_interval(row("a - b", 0, "difference:macc", value, low=low, high=high))
    assert found == pytest.approx(0.005, abs=5e-4)
    assert gains.p_of_interval(row("a - b", 0, "difference:macc", 0.1)) is None
    assert gains.p_of_interval(row("a - b", 0, "difference:macc", 0.0, low=0.0, high=0.0)) is None


def test_members_show_means_and_fold_their_seeds(shown):
    glance = [line[0] for line in lines(results.glance(shown).written())[1:]]
    assert glance[:2] == ["student", "grid@T=1,<wbr>alpha=0.1"]
    assert len(glance) == 1 + 4 + 3
    written = results.everything(shown).written()
    body = [(line[0], line[1]) for line in lines(written)[1:]]
    assert [seed for stage, seed in body if stage == "student"] == ["mean", "0", "1"]
    assert [seed for stage, seed in body if stage.startswith("grid")] == ["mean"] * 4
    folded = written.split("<details>")[1]
    assert {line[1] for line in lines(folded)[1:]} == {"0", "1"}


def test_training_draws_each_kind_of_curve_where_it_belongs(shown):
    section = curves.section(shown).written()
    alts = re.findall(r'alt="([^"]*)"', section)
    of_stages = {alt.split(" of ")[1].partition(",")[0]: alt for alt in alts if alt.startswith("Training curves")}
    assert list(of_stages) == ["student", "fitnet", "attention", "crd", "pre", "grid"]
    assert "soft" not in of_stages["fitnet"]
    assert "MAcc ends at 0.25" in of_stages["fitnet"]
    assert "T = 1, alpha = 0.3 ends at 0.25" in of_stages["grid"]
    assert "pre-training, no classes are learnt" in section
    terms = [alt for alt in alts if alt.startswith("Terms")]
    assert [re.findall("of ([a-z]+),", alt)[0] for alt in terms] == ["fitnet", "attention", "crd"]
    assert "soft ends at 1.5" in terms[0]
    assert section.index("<details>") < section.index("Terms of the training loss of")
    assert shown.pretraining == ["pre"]


def test_the_lead_counts_members_and_names_pre_training(rows, tmp_path):
    write(tmp_path, rows)
    text = page.build(tmp_path, None).read_text(encoding="utf-8")
    assert "Stages student, fitnet, attention, crd and grid (4 members) on the dataset" in text
    assert "Pre-training, which learns no classes: pre." in text
