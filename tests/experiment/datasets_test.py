"""A short run on a few real recordings of each further dataset: read, divided, trained, scored, on the page."""

import pathlib

import pytest

from hsjax import config as run_config
from hsjax.data.readers import circor, mitdb
from hsjax.experiment import run
from hsjax.report.tables import read_results
from tests import hurry


def small(name: str, root: pathlib.Path, **changes):
    config = run_config.base()
    config.name, config.command = name, "pytest"
    config.stages = {"student": run_config.train_stage("song-student", epochs=1), "report": run_config.report_stage()}
    config.pipeline = ("student", "report")
    settings = {"data.name": name, "data.root": str(root), "evaluate.bootstrap": 100}
    config.update_from_flattened_dict(settings | changes)
    return config


def link(source: pathlib.Path, target: pathlib.Path, names) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        (target / name).symlink_to(source / name)


def scored(workdir: pathlib.Path, unit: str) -> dict[tuple, float]:
    rows = read_results(workdir / "report" / "results.csv")
    assert (workdir / "report" / "index.html").is_file()
    return {
        (row.fold, row.metric, row.label): row
        for row in rows
        if (row.unit, row.split, row.stage) == (unit, "test", "student")
    }


@pytest.mark.realdata
def test_beats_of_mit_bih(real_root, tmp_path):
    """As the README says, on a few records."""
    records = ("100", "106", "200", "201", "209", "223")
    names = [f"{record}{suffix}" for record in records for suffix in (".hea", ".dat", ".atr")]
    link(real_root / mitdb.FOLDER, tmp_path / "data" / mitdb.FOLDER, names)
    config = small(
        "mitdb", tmp_path / "data", protocols=("inter-patient",), **{
            "prepare.cut": "beats", "prepare.sample_rate": 360, "prepare.window_seconds": 3.6,
            "prepare.hop_seconds": 3.6, "features.name": "birton", "split.inter-patient.validation": 0.4,
        },
    )  # fmt: skip
    run.run(config, tmp_path / "run")
    found = scored(tmp_path / "run", "segment")
    # Beats of 100 and 200 by the annotations: N, S, V.
    assert {label: row.value for (_, metric, label), row in found.items() if metric == "support"} == {
        "N": 2239 + 1743,
        "S": 33 + 30,
        "V": 1 + 826,
    }
    assert found[0, "accuracy", ""].n_groups == 2
    assert not scored(tmp_path / "run", "recording")


@pytest.mark.realdata
def test_yaseen_in_folds_of_sources(real_root, tmp_path):
    """Groups are found, and few of them are all tested in turn."""
    for folder in sorted((real_root / "yaseen2018").iterdir()):
        names = sorted(path.name for path in folder.glob("*.wav"))
        link(folder, tmp_path / "data" / "yaseen2018" / folder.name, names[::6])
    with hurry.training():  # a program for each fold
        run.run(small("yaseen2018", tmp_path / "data"), tmp_path / "run")
    found = scored(tmp_path / "run", "recording")
    files = len(list((tmp_path / "data").rglob("*.wav")))
    folds = {fold for fold, _, _ in found}
    assert "mean" in folds
    assert len(folds) > 3
    assert found["mean", "accuracy", ""].n == files
    assert sum(found[fold, "accuracy", ""].n for fold in folds - {"mean"}) == files
    assert found["mean", "accuracy", ""].n_groups < files / 2


@pytest.mark.realdata
def test_circor_patients(real_root, tmp_path):
    link(real_root, tmp_path / "data", [circor.FOLDER])
    config = small("circor", tmp_path / "data", **{"data.circor.label": "outcome", "prepare.hop_seconds": 1.25})
    run.run(config, tmp_path / "run")
    found = scored(tmp_path / "run", "recording")
    row = found["mean", "auroc", ""]
    assert (row.n, row.n_groups) == (34, 12)
