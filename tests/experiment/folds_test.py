"""Several folds: each trained and scored by itself, their means in the tables, all of it on the page."""

import csv
import dataclasses
import functools
import json
import re

import numpy as np
import pytest

from hsjax import config as run_config
from hsjax.experiment import closing, evidence, run
from hsjax.experiment.context import Context, Training
from hsjax.report.tables import read_results
from hsjax.types import Beats, UserError
from tests import hurry


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
    with hurry.training():  # a program for each fold
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


def test_controls_that_cannot_be_learnt_are_left_out(finished, tmp_path):
    """All recordings of one sub-dataset but those of a single group: its name cannot be learnt from others."""
    context = Context(small(), finished)
    names = sorted({recording.subset for recording in context.dataset.recordings})
    first = next(recording.group for recording in context.dataset.recordings if recording.subset == names[0])
    kept = [
        dataclasses.replace(recording, subset="one" if recording.group == first else "other")
        for recording in context.dataset.recordings
    ]
    vars(context)["dataset"] = dataclasses.replace(context.dataset, recordings=tuple(kept))
    assert {row.metric.partition(":")[0] for row in evidence.control_rows(context)} == {"label_from_subset"}


def test_corrected_beats_are_other_data(finished):
    """As other samples are; recordings of an ECG have no label that could tell."""
    digests = set()
    for label in ("N", "V"):
        context = Context(small(), finished)
        beats = functools.partial(Beats, np.array([5]), np.array(["N"]), np.array([label]))
        first, *others = context.dataset.recordings
        changed = (dataclasses.replace(first, beats=beats), *others)
        vars(context)["dataset"] = dataclasses.replace(context.dataset, recordings=changed)
        digests.add(context.trained(Training("paper", 0, 0, "student")).settings["recordings"])
    assert len(digests) == 2


def test_the_closing_table_has_intervals_and_groups(finished):
    context = Context(small(), finished)
    title, (header, *lines) = closing.summary(context, "grouped")
    assert title.endswith("mean of 2 folds, seed 0, n = 40 of 40 groups")
    assert header == ("stage", "file", "MAcc", "AUROC")
    assert lines
    assert all(re.fullmatch(r"0\.\d{3} \.\d\d-\d?\.\d\d", line[2]) for line in lines)
    assert any("independent groups hold class" in remark for remark in closing.remarks(context, "grouped"))


def test_nothing_is_trained_where_a_fold_cannot_be(tmp_path):
    # The sub-datasets of the synthetic sounds are conditions, and without the normal ones nothing is normal.
    with pytest.raises(UserError, match=r"split_seed 0, fold N, leaves the training part without normal"):
        run.run(small(protocols=("leave-one-subset-out",)), tmp_path)
