"""What is kept of a run, and what is said beside it."""

import csv
import json

import pytest

from hsjax.report import keep, readme, tables
from hsjax.types import ResultRow, UserError


def row(metric, value, volatile=0, label=""):
    where = ("physionet2016", "paper", "student", 0, 0, "test", "segment", "jax", "features")
    return ResultRow(*where, metric, label, float(value), volatile=volatile)


@pytest.fixture
def run(tmp_path):
    rows = [
        row("accuracy", 0.9), row("latency_ms", 3.0, volatile=1), row("support", 5, label="N"),
        row("confusion@0.5", 4, label="N>N"), row("sd:support", 0, label="N"), row("recall", 0.8, label="N"),
    ]  # fmt: skip
    tables.write_results(tmp_path / "report" / tables.RESULTS, rows)
    (tmp_path / "report" / "data.json").write_text(json.dumps({"recordings": 2820}))
    config = {
        "command": "python -m hsjax.launch --config=configs/kd.py", "data": {"name": "physionet2016"},
        "protocols": ["paper", "grouped"], "seeds": [0, 1],
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    # A second seed has been begun, and is not in the tables.
    for seed in ("0", "1"):
        add_stage(tmp_path / "stages" / "paper" / seed / "student")
    # A model of scikit-learn.
    classical = tmp_path / "stages" / "paper" / "0" / "majority"
    classical.mkdir()
    (classical / "settings.json").write_text(json.dumps({"hsjax": "0.1.0", "stage.model": "majority"}))
    return tmp_path


def add_stage(stage):
    stage.mkdir(parents=True)
    (stage / "settings.json").write_text(
        json.dumps({"jax": "0.10.2", "hsjax": "0.1.0", "backend": "cpu", "stage.epochs": 20})
    )
    (stage / "metrics.jsonl").write_text('{"epoch": 1, "seconds": 2.5}\n{"epoch": 2, "seconds": 1.25}\n')


@pytest.mark.parametrize(
    ("flags", "metrics"),
    [([], ["accuracy", "recall"]), (["--counts"], ["accuracy", "support", "confusion@0.5", "sd:support", "recall"])],
)
def test_what_is_volatile_or_can_be_counted_is_left_out(run, flags, metrics):
    output = run / "kept.csv"
    assert keep.main([str(run), "--output", str(output), *flags]) == 0
    with output.open(newline="") as file:
        assert [one["metric"] for one in csv.DictReader(file)] == metrics


def test_beside_the_table_is_where_it_comes_from(run, capsys):
    output = run / "kept.csv"
    assert keep.main([str(run), "--output", str(output)]) == 0
    origin = json.loads((run / "kept.json").read_text())
    assert json.loads(capsys.readouterr().out) == origin
    assert origin["command"] == "python -m hsjax.launch --config=configs/kd.py"
    assert origin["recordings"] == 2820
    assert (origin["protocols"], origin["seeds"]) == (["paper"], [0])
    assert origin["epochs"] == {"student": 20}
    assert origin["training_seconds"] == {"student": 3.8}  # 3.75
    assert (origin["jax"], origin["hsjax"], origin["backend"]) == (["0.10.2"], ["0.1.0"], ["cpu"])


def test_what_is_no_run_or_no_table_is_told(run, capsys):
    with pytest.raises(UserError, match=r"is no \.csv"):
        keep.keep(run, run / "kept.txt")
    (run / "config.json").unlink()
    assert keep.main([str(run), "--output", str(run / "kept.csv")]) == 2
    assert "config.json is missing" in capsys.readouterr().err
    assert not (run / "kept.csv").exists()


def test_a_readme_without_marks_is_told():
    with pytest.raises(UserError, match="results: begin"):
        readme.replaced("# hsjax", "| a |")
    assert readme.replaced(f"a {readme.BEGIN} old {readme.END} b", "new") == (
        f"a {readme.BEGIN}\n\nnew\n\n{readme.END} b"
    )
