"""Whole runs of every kind of objective: who teaches whom, what is begun with, and where all of them are found."""

import csv
import json
import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from hsjax import config as run_config
from hsjax.experiment import run
from hsjax.experiment.context import Context
from hsjax.train import read_log
from hsjax.types import UserError
from tests import hurry

MEMBERS = ("kd@temperature=1,alpha=0.1", "kd@temperature=7,alpha=0.1")
VIEWS = {"samples": {"gain": {"gain_db": (-6.0, 6.0)}}}


def stage(**changes):
    return run_config.train_stage("song-student", epochs=2, batch_size=16, **changes)


def small(*pipeline: str):
    config = run_config.base()
    config.name, config.command = "objectives", "pytest"
    config.data.synthetic.subjects, config.data.synthetic.recordings_per_subject = 24, 1
    config.data.synthetic.seconds = 5.0
    config.split.grouped.folds, config.evaluate.bootstrap = 1, 100
    sweep = run_config.grid(temperature=(1.0, 7.0), alpha=(0.1,))
    config.stages = {
        "teacher": stage(),
        "kd": stage(objective="distil", teacher="teacher", sweep=sweep),
        "hints": stage(objective="distil", teacher="teacher", hints={"attention": 10.0}, augment=VIEWS, average=True),
        "pre": stage(objective="contrastive", select="last", temperature=0.1, augment=VIEWS),
        "probe": stage(begin="pre", freeze=("*", "!logits")),
        "both": stage(objective="distil", teacher=f"teacher + {MEMBERS[1]}", alpha=0.5),
        "report": run_config.report_stage(),
    }
    config.pipeline = pipeline or ("teacher", "kd", "hints", "pre", "probe", "both", "report")
    return config


def rows(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def content(folder: pathlib.Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def variables(folder: pathlib.Path):
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore((folder / "variables").absolute())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder, and what the teacher's was before anybody learnt from it."""
    workdir = tmp_path_factory.mktemp("objectives")
    with hurry.training():
        run.run(small("teacher"), workdir)
        before = content(workdir / "stages" / "grouped" / "0" / "teacher")
        run.run(small(), workdir)
    return workdir, before


@pytest.fixture(scope="module")
def stages(finished):
    return finished[0] / "stages" / "grouped" / "0"


def test_a_teacher_is_left_as_it_was(finished, stages):
    assert finished[1]
    assert content(stages / "teacher") == finished[1]
    front_ends = [np.load(stages / name / "features.npz") for name in ("teacher", "hints", "pre")]
    for name in front_ends[0].files:
        np.testing.assert_array_equal(front_ends[0][name], front_ends[1][name])
        np.testing.assert_array_equal(front_ends[0][name], front_ends[2][name])


def test_members_are_stages_of_their_own_and_what_learns_no_classes_has_no_figures(finished):
    report = finished[0] / "report"
    scored = {"teacher", *MEMBERS, "hints", "probe", "both"}
    results = [row for row in rows(report / "results.csv") if row["metric"] == "auroc" and row["unit"] == "recording"]
    assert {row["stage"] for row in results} == scored
    assert {row["stage"] for row in rows(report / "predictions.csv")} == scored
    curves = rows(report / "curves.csv")
    assert {row["stage"] for row in curves} == scored | {"pre"}
    of_pre = {(row["split"], row["metric"]) for row in curves if row["stage"] == "pre"}
    assert of_pre == {("train", "loss"), ("train", "contrast")}
    assert {row["metric"] for row in curves if row["stage"] == "hints" and row["split"] == "train"} == {
        "loss", "labels", "soft", "hint_attention",
    }  # fmt: skip


def test_a_probe_of_earlier_weights_moves_the_logits_alone(stages):
    before, after = variables(stages / "pre"), variables(stages / "probe")
    same = jax.tree_util.tree_map_with_path(
        lambda path, one, other: (np.array_equal(one, other), path[1].key == "logits"), before, after
    )
    found = jax.tree.leaves(same, is_leaf=lambda leaf: isinstance(leaf, tuple))
    assert all(equal != of_logits for equal, of_logits in found)
    assert {of_logits for _, of_logits in found} == {True, False}


def test_the_loss_of_a_member_is_weighed_by_its_own_constants(stages):
    for name in MEMBERS:
        for row in read_log(stages / name / "metrics.jsonl"):
            terms = row["train"]
            assert terms["loss"] == pytest.approx(0.1 * terms["labels"] + 0.9 * terms["soft"], rel=1e-5)
    settings = json.loads((stages / MEMBERS[1] / "settings.json").read_text())
    assert (settings["stage.temperature"], settings["stage.alpha"]) == (7.0, 0.1)
    of_both = json.loads((stages / "both" / "settings.json").read_text())
    assert (of_both["teacher.stage.temperature"], of_both["teacher1.stage.temperature"]) == (1.0, 7.0)


def test_only_what_is_missing_is_trained_again_and_to_the_same_weights(finished, stages):
    """One member begins anew, another goes on after its first epoch; the others are left alone."""
    before = variables(stages / MEMBERS[1])
    done = {path: path.stat().st_mtime_ns for path in stages.rglob("done.json")}
    again = stages / MEMBERS[1] / "done.json"
    again.unlink()
    for path in (stages / MEMBERS[1] / "checkpoints").glob("2*"):
        for file in sorted(path.rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
        path.rmdir() if path.is_dir() else path.unlink()
    with hurry.training():
        run.run(small(), finished[0])
    changed = {path for path in done if path.stat().st_mtime_ns != done[path]}
    assert changed == {again}
    jax.tree.map(np.testing.assert_array_equal, variables(stages / MEMBERS[1]), before)
    assert len(read_log(stages / MEMBERS[1] / "metrics.jsonl")) == 2


def test_examples_are_mixed_for_all_members_where_they_are_for_one(tmp_path):
    """They are one program, whoever comes first; a share of 0 mixes nothing."""
    config = small()
    config.stages.teacher.sweep = run_config.grid(mixup=(0.0, 0.3))
    config.pipeline = ("teacher",)
    made = [Context(config, tmp_path).learner(f"teacher@mixup={value}", steps=4) for value in ("0", "0.3")]
    assert made[0] == made[1]
    assert made[0].objective.mix


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages.kd.soft": "kdd"}, r"config\.stages\.kd.*soft is 'kdd'; it must be one of kd, bce"),
        ({"stages.teacher.labels": "bec"}, "labels is 'bec'; it must be one of cross-entropy, bce, focal"),
        ({"stages.hints.hints": {"fitnets": 1.0}}, "hints is 'fitnets'; it must be one of fitnet"),
        ({"stages.hints.taps": {"attention": ("conv9", "")}}, r"config\.stages\.hints: the student has no tap 'conv9'"),
        ({"stages.pre.contrast.loss": "simclr"}, "contrast.loss is 'simclr'; it must be one of nt-xent"),
        ({"stages.kd.soft": "standardised"}, r"stages\.kd\.soft is 'standardised', which of 2 classes keeps nothing"),
        ({"stages.probe.freeze": ("*", "!logit")}, "nothing to freeze is called '!logit'"),
        ({"stages.pre.augment": {"samples": {"gian": {}}}}, "augment.samples has no 'gian'; did you mean 'gain'"),
        ({"stages.teacher.objective": "supervise"}, "objective is 'supervise'; it must be one of supervised, distil"),
        ({"stages.teacher.select": "loss"}, "select is 'loss'; it must be one of"),
    ],
)
def test_mistakes_stop_before_any_work(changes, message, tmp_path):
    config = small()
    with config.unlocked():
        for key, value in changes.items():
            *sections, last = key.split(".")
            place = config
            for section in sections:
                place = place[section]
            if isinstance(value, dict):
                place[last] = run_config.ConfigDict(value)
            else:
                place[last] = value
    with pytest.raises(UserError, match=message) as caught:
        run.run(config, tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "stages").exists()
