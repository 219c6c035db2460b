"""What the README and those of the rooms say is so: the two commands, and tables of results."""

import csv
import pathlib
import re

import numpy as np

from hsjax.models import MODELS
from hsjax.report import readme
from tests.benchmarks import kills

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DATA, DSP, MODELS_PAGE, TRAIN = (
    (ROOT / "hsjax" / room / "README.md").read_text() for room in ("data", "dsp", "models", "train")
)
NOTES = (ROOT / "configs" / "results" / "README.md").read_text()
RESULTS = ROOT / "configs" / "results" / "kd-physionet2016.csv"

HEADER = """\
| protocol | network | accuracy, segments | published | MAcc, recordings | AUROC, recordings |
|---|---|---|---|---|---|
"""


def rows(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def figure(protocol: str, stage: str, unit: str, metric: str, variant: str = "jax") -> str:
    row = next(
        row
        for row in rows(RESULTS)
        if (row["protocol"], row["stage"], row["unit"], row["metric"], row["variant"], row["seed"])
        == (protocol, stage, unit, metric, variant, "0")
    )
    value, low, high = (f"{float(row[name]):.3f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def published(stage: str) -> str:
    row = next(
        row
        for row in rows(ROOT / "configs" / "published.csv")
        if (row["stage"], row["metric"]) == (stage, "accuracy@0.5")
    )
    return f"{float(row['value']):.3f}"


def table() -> str:
    lines = []
    for protocol in ("paper", "grouped"):
        for stage in ("teacher", "student", "kd"):
            theirs = published(stage) if protocol == "paper" else "-"
            accuracy = figure(protocol, stage, "segment", "accuracy@0.5")
            recordings = [figure(protocol, stage, "recording", metric) for metric in ("macc", "auroc")]
            lines.append(f"| {protocol} | {stage} | {accuracy} | {theirs} | {' | '.join(recordings)} |\n")
    files = [figure("grouped", "kd", "recording", metric, "tflite-int8") for metric in ("macc", "auroc")]
    lines.append(f"| grouped | kd, int8 file through `predict` | - | - | {' | '.join(files)} |\n")
    return HEADER + "".join(lines)


def test_the_table_of_results_is_that_of_the_committed_run():
    assert table() in NOTES


def test_the_figures_of_the_papers_beside_ours_are_up_to_date():
    """`python -m hsjax.report.readme` makes them anew."""
    assert readme.replaced(README, readme.table(ROOT)) == README


def test_the_figures_of_the_papers_are_those_of_the_tables():
    lines = [line for line in README.splitlines() if line.startswith("| Song, windows | kd | accuracy at 0.5 |")]
    over_seeds = {
        row["metric"]: float(row["value"])
        for row in rows(RESULTS)
        if (row["protocol"], row["stage"], row["unit"], row["variant"], row["seed"], row["label"])
        == ("grouped", "kd", "segment", "jax", "mean", "")
    }
    free = f"{over_seeds['accuracy@0.5']:.3f} ± {over_seeds['sd:accuracy@0.5']:.3f}"
    ours = figure("paper", "kd", "segment", "accuracy@0.5")
    assert lines == [
        f"| Song, windows | kd | accuracy at 0.5 | {published('kd')} | {ours} | {free} | 2,320 (269); 5,276 (69) |"
    ]


def test_the_table_of_protocols_is_that_of_the_committed_run():
    found = {
        (row["protocol"], row["fold"], row["unit"], row["metric"], row["label"]): row
        for row in rows(RESULTS.parent / "protocols-physionet2016.csv")
    }

    def cell(protocol: str, fold: str, unit: str, metric: str) -> str:
        row = found[protocol, fold, unit, metric, ""]
        value, low, high = (f"{float(row[name]):.3f}" for name in ("value", "low", "high"))
        return f"{value} ({low} to {high})"

    for protocol, fold in (("paper", "0"), ("grouped", "0"), ("leave-one-subset-out", "mean")):
        cells = [cell(protocol, fold, "segment", "accuracy@0.5")]
        cells += [cell(protocol, fold, "recording", metric) for metric in ("macc", "auroc")]
        row = found[protocol, fold, "recording", "auroc", ""]
        assert f"| {protocol} | {' | '.join(cells)} | {int(row['n']):,} of {row['n_groups']} groups |" in DATA
    text = " ".join(DATA.split())
    left_out = (found["leave-one-subset-out", f"training-{letter}", "recording", "auroc", ""] for letter in "abcdef")
    assert "AUROC is " + ", ".join(f"{float(row['value']):.2f}" for row in left_out) in text
    assert f"with accuracy {cell('', '', 'recording', 'subset_from_audio:accuracy')[:-1]};" in text
    assert (
        f"always the largest: {float(found['', '', 'recording', 'subset_from_audio:majority', '']['value']):.3f}"
        in text
    )
    assert f"the label with AUROC {cell('', '', 'recording', 'label_from_subset:auroc')}" in text


def test_the_audit_of_the_readme_is_the_committed_one():
    text = " ".join(DATA.split())
    yaseen, physionet = (rows(RESULTS.parent / f"audit-{name}.csv") for name in ("yaseen2018", "physionet2016"))

    def value(audit: list[dict[str, str]], **wanted: str) -> dict[str, str]:
        (row,) = (row for row in audit if all(row[name] == cell for name, cell in wanted.items()))
        return row

    def leaks(audit: list[dict[str, str]], item: str, metric: str) -> dict[str, str]:
        return value(audit, table="leakage", item=item, label="", metric=metric)

    normal = value(yaseen, table="twins", label="N", metric="sources")
    assert f"{normal['value']} of them normal" in text
    random = leaks(yaseen, "random 70/20/10", "any")
    assert f"for {100 * int(random['value']) / int(random['n']):.1f} % of its test files" in text
    lists = leaks(physionet, "test.txt after train.txt + pretrain-only.txt", "group")
    assert f"test {lists['value']} of {lists['n']} recordings at hand whose group was trained on" in text
    grouped = leaks(physionet, "grouped", "twin")
    assert f"`grouped` has {grouped['value']} of {grouped['n']} tested recordings with a twin" in text
    age = value(physionet, table="metadata", item="age, known", metric="auroc")
    assert f"AUROC {float(age['value']):.2f} ({float(age['low']):.2f} to {float(age['high']):.2f})" in text


def test_the_committed_fuzz_has_no_failure():
    table = {row["format"]: row for row in rows(RESULTS.parent / "fuzz-readers.csv")}
    assert table.keys() == {"wav", "flac", "hea", "dat", "atr", "mat", "csv", "tsv", "all"}
    assert int(table["all"]["mutants"]) >= 10_000
    assert {row["failed"] for row in table.values()} == {"0"}


def test_the_differences_over_seeds_are_those_of_the_committed_run():
    text = " ".join(TRAIN.split())
    for unit, metric in (
        ("recording", "auroc"),
        ("recording", "macc"),
        ("segment", "auroc"),
        ("segment", "accuracy@0.5"),
    ):
        row = next(
            row
            for row in rows(RESULTS)
            if (row["protocol"], row["stage"], row["seed"], row["unit"], row["metric"])
            == ("grouped", "kd - student", "all", unit, f"difference:{metric}")
        )
        value, low, high = (f"{float(row[name]):+.3f}" for name in ("value", "low", "high"))
        assert f"{value} ({low} to {high})" in text


def test_the_two_commands_are_one_line_each():
    install = re.findall(r"^    (pip install .* && .*)$", README, re.MULTILINE)
    assert [line.rpartition(" && ")[2] for line in install] == [
        "python -m hsjax.launch --config=configs/kd.py",
        "pytest",
    ]
    assert all("-c constraints.txt" in line for line in install)


def test_the_readme_takes_minutes_and_its_links_lead_somewhere():
    """At 240 words a minute, the table of results aside."""
    words = readme.replaced(README, "").split()
    assert len(words) < 5 * 240
    pages = {place: (ROOT / place).read_text() for place in re.findall(r"\]\((hsjax/[^)]*)\)", README)}
    assert len(pages) == len(list((ROOT / "hsjax").rglob("README.md")))


def test_constraints_name_versions_and_no_address():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[^\s@/]+", line) for line in lines)


def test_the_signals_example_runs():
    """As a newcomer pastes it; the names that it leaves behind are what its comments say."""
    section = DSP.split("## Segmentation")[0]
    code = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))
    names: dict = {}
    exec(compile(code, "hsjax/dsp/README.md", "exec"), names)
    assert names["features"].shape == (13, 1 + len(names["sound"]) // 50)
    assert 40 < float(names["heart"].rhythm.heart_rate) < 120
    assert set(np.unique(names["heart"].states)) == {1, 2, 3, 4}
    assert names["stretched"].shape == names["clean"].shape
    assert names["frames"].shape == names["features"].shape


def test_the_segmentation_table_is_the_committed_one():
    table = rows(RESULTS.parent / "segmentation.csv")

    def f1(subset: str, tolerance: str, method: str) -> dict[str, str]:
        key = ("physionet2016", "test", subset, method, "S1+S2", tolerance, "f1")
        names = ("dataset", "part", "subset", "method", "sound", "tolerance_ms", "metric")
        (row,) = (row for row in table if tuple(row[name] for name in names) == key)
        return row

    for tolerance in ("100", "60"):
        overall = f1("all", tolerance, "springer")
        value, low, high = (f"{float(overall[name]):.3f}" for name in ("value", "low", "high"))
        cells = [
            f"{tolerance} ms",
            f"{value} ({low} to {high})",
            f"{float(f1('all', tolerance, 'peaks')['value']):.3f}",
        ]
        cells += [f"{float(f1(f'training-{letter}', tolerance, 'springer')['value']):.3f}" for letter in "abcdef"]
        assert "| " + " | ".join(cells) + " |" in DSP
    assert (overall["onsets"], overall["n"], overall["n_groups"]) == ("31833", "517", "65")


def test_the_r_peaks_of_the_readme_are_the_committed_ones():
    found = {
        row["record"]: row
        for row in rows(RESULTS.parent / "r-peaks-mitdb.csv")
        if (row["detector"], row["part"], row["flutter"]) == ("hsjax", "whole", "excluded")
    }
    text = " ".join(DSP.split())
    assert (found["odd"]["records"], found["odd"]["beats"], found["all"]["records"]) == ("19", "42696", "39")
    for metric in ("sensitivity", "positive_predictivity"):
        value, low, high = (f"{float(found['odd'][metric + end]):.4f}" for end in ("", "_low", "_high"))
        assert f"{value} ({low} to {high})" in text
    sensitivity, ppv = (f"{float(found['all'][name]):.4f}" for name in ("sensitivity", "positive_predictivity"))
    assert f"{sensitivity} and {ppv} on all 39" in text


def test_the_training_speed_of_the_readme_is_the_committed_one():
    """Ratios of processor time on one core, to two decimals."""
    names = {
        "Song's student": "song-student",
        "Song's teacher": "song-teacher",
        "SqueezeNet 1.1": "squeezenet",
        "MobileNetV3-Small": "mobilenetv3-small",
        "ResNet-18 on 50 x 2805": "resnet18",
    }
    found = {}
    for row in rows(ROOT / "configs" / "results" / "training-speed.csv"):
        if row["unit"] != "ms of CPU" or not row["work"].endswith("1 core"):
            continue
        ratio, low, high = (float(row[key]) for key in ("ratio", "ratio_low", "ratio_high"))
        found[row["work"].split(", batch")[0], row["peer"]] = f"{ratio:.2f} ({low:.2f} to {high:.2f})"
    table = MODELS_PAGE
    shown = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert {name for name, *_ in shown} == set(names)
    for name, default, channels_last in shown:
        assert default == found[names[name], "torch"]
        assert channels_last == found.get((names[name], "torch, channels last"), "not measured")


def test_the_speed_of_the_sweep_is_the_committed_one():
    text = " ".join(TRAIN.split())
    found = {row["peer"]: row for row in rows(RESULTS.parent / "sweep-speed.csv") if row["unit"] == "ms"}
    assert found.keys() == {"hsjax, one after another", "torch", "torch, channels last"}
    for row in found.values():
        ratio, low, high = (f"{float(row[name]):.2f}" for name in ("ratio", "ratio_low", "ratio_high"))
        assert f"{ratio} ({low} to {high}) times" in text


def test_the_kills_of_the_readme_are_the_committed_ones():
    (row,) = (row for row in rows(RESULTS.parent / "kills.csv") if row["mode"] == "kills")
    assert row["identical"] == row["chains"]
    text = " ".join(TRAIN.split())
    assert (
        f"{row['kills']} kills at random moments made {row['chains']} chains of restarts, all {row['chains']}" in text
    )
    assert sum(int(row[phase]) for phase in kills.PHASES) == int(row["kills"])


def test_the_readme_counts_the_networks():
    assert len(MODELS) == 22
    assert "Twenty-two networks by name" in MODELS_PAGE
    assert "twenty-two networks by name" in README


def test_the_table_of_losses_is_that_of_the_committed_run():
    found = rows(RESULTS.parent / "distillation-physionet2016.csv")

    def of(stage: str, metric: str) -> list[dict[str, str]]:
        return [row for row in found if (row["stage"], row["metric"], row["unit"]) == (stage, metric, "recording")]

    def over_seeds(stage: str, metric: str) -> str:
        values = [float(row["value"]) for row in of(stage, metric) if row["seed"] in ("0", "1", "2")]
        assert len(values) == 3
        return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"

    def difference(stage: str, metric: str) -> str:
        (row,) = of(f"{stage} - student", f"difference:{metric}")
        value, low, high = (f"{float(row[name]):+.3f}" for name in ("value", "low", "high"))
        return f"{value} ({low} to {high})"

    stages = dict.fromkeys(row["stage"] for row in found if " - " not in row["stage"])
    for stage in stages:
        cells = [over_seeds(stage, metric) for metric in ("auroc", "macc")]
        cells += ["-", "-"] if stage in ("teacher", "student") else [difference(stage, m) for m in ("auroc", "macc")]
        assert f"| {stage} | {' | '.join(cells)} |" in TRAIN
    assert len(stages) == 18


def test_the_figures_of_the_grid_are_those_of_the_committed_run():
    found = rows(RESULTS.parent / "grid-physionet2016.csv")
    text = " ".join(TRAIN.split())
    for stage in ("grid@temperature=1,alpha=0.3", "student", "grid@temperature=7,alpha=0.1"):
        values = [
            float(row["value"]) for row in found
            if (row["stage"], row["metric"], row["unit"]) == (stage, "auroc", "recording") and row["seed"] != "mean"
        ]  # fmt: skip
        assert f"{np.mean(values):.3f} (" in text
        assert f"{min(values):.3f} to {max(values):.3f})" in text
