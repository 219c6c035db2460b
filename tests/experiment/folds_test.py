"""Several folds: each trained and scored by itself, their means in the tables, all of it on the page."""

import csv
import json

import pytest

from hsjax import config as run_config
from hsjax.experiment import run
from hsjax.report.tables import read_results
from hsjax.types import UserError


def small(**changes):
    config = run_config.base()
    config.name, config.command = "folds", "pytest"
    config.stages = {"student": run_config.train_stage("song-student", epochs=1), "report": run_config.report_stage()}
    config.pipeline = ("student", "report")
    config.update_from_flattened_dict(
        {
            "data.synthetic.subjects": 40,
            "data.synthetic.recordings_per_subject": 1,
            "data.synthetic.seconds": 5.0,
            "evaluate.bootstrap": 100,
            "split.grouped.folds": 2,
        }
        | changes
    )
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("folds")
    run.run(small(), workdir)
    return workdir


def test_every_recording_is_tested_once(finished):
    with (finished / "report" / "predictions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["split"], row["unit"]) == ("test", "recording")]
    assert {row["fold"] for row in rows} == {"0", "1"}
    assert len(rows) == len({row["recording"] for row in rows}) == 40


def test_means_are_of_the_folds(finished):
    rows = [row for row in read_results(finished / "report" / "results.csv") if row.unit == "recording"]
    found = {row.fold: row for row in rows if (row.metric, row.split) == ("sensitivity", "test")}
    assert set(found) == {0, 1, "mean"}
    assert found["mean"].value == pytest.approx((found[0].value + found[1].value) / 2)
    assert found["mean"].n == found[0].n + found[1].n == 40


def test_each_fold_has_its_own_folder_and_place_on_the_page(finished):
    for fold in (0, 1):
        assert (finished / "stages" / "grouped" / "0" / f"fold-{fold}" / "student" / "done.json").is_file()
    page = (finished / "report" / "index.html").read_text()
    assert page.count('id="folds"') == 1
    data = json.loads((finished / "report" / "data.json").read_text())
    parts = [fold["parts"] for fold in data["folds"]]
    assert sum(part["test"]["recordings"] for part in parts) == 40
    assert all(sum(part[name]["recordings"] for name in part) == 40 for part in parts)


def test_the_same_command_again_trains_nothing(finished):
    done = finished / "stages" / "grouped" / "0" / "fold-1" / "student" / "done.json"
    before = done.stat().st_mtime_ns
    run.run(small(), finished)
    assert done.stat().st_mtime_ns == before


def test_nothing_is_trained_where_a_fold_cannot_be(tmp_path):
    # The sub-datasets of the synthetic sounds are conditions, and without the normal ones nothing is normal.
    with pytest.raises(UserError, match="leave-one-subset-out with seed 0, fold N leaves the training part without"):
        run.run(small(protocols=("leave-one-subset-out",)), tmp_path)
