"""Classical models and clusters beside a network, in the same tables and on the same examples."""

import csv
import json

import numpy as np
import pytest

from hsjax import config as run_config
from hsjax.experiment import folder, run
from hsjax.types import UserError
from tests import hurry


def settings(**changes):
    config = run_config.base()
    config.name = "fits"
    config.data.synthetic.subjects, config.data.synthetic.recordings_per_subject = 40, 1
    config.data.synthetic.seconds = 5.0
    config.evaluate.bootstrap = 100
    config.stages = {
        "student": run_config.train_stage("song-student", epochs=1),
        "majority": run_config.classical_stage("majority"),
        "logistic": run_config.classical_stage("logistic-regression"),
        "clusters": run_config.cluster_stage("student", clusters=(2, 4)),
        "report": run_config.report_stage(),
    }
    config.pipeline = ("student", "majority", "logistic", "clusters", "report")
    config.evaluate.differences = ("clusters - student", "logistic - majority")
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("fits")
    with hurry.training():
        run.run(settings(), workdir)
    return workdir


def results(workdir):
    with (workdir / "report" / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_they_predict_the_examples_of_the_network(finished):
    for split in ("validation", "test"):
        stages = finished / "stages" / "grouped" / "0"
        network = folder.load_predictions(stages / "student" / f"predictions-{split}.npz")
        for name in ("majority", "logistic", "clusters"):
            theirs = folder.load_predictions(stages / name / f"predictions-{split}.npz")
            assert theirs.key.stage == name
            np.testing.assert_array_equal(theirs.recording, network.recording)
            np.testing.assert_array_equal(theirs.start, network.start)
            np.testing.assert_allclose(theirs.probabilities.sum(axis=1), 1, rtol=1e-6)


def test_tables_and_page_compare_them(finished):
    found = {(row["stage"], row["unit"], row["metric"]): row for row in results(finished) if row["split"] == "test"}
    # Everyone has the same probability, and ties count half.
    assert float(found["majority", "recording", "auroc"]["value"]) == 0.5
    for pair in ("clusters - student", "logistic - majority"):
        assert (pair, "recording", "difference:auroc") in found
        assert (pair, "recording", "p:mcnemar") in found
    page = (finished / "report" / "index.html").read_text()
    assert "logistic" in page
    assert "clusters" in page


def test_the_number_of_clusters_is_on_record(finished):
    done = json.loads((finished / "stages" / "grouped" / "0" / "clusters" / "done.json").read_text())
    assert done["clusters"] in (2, 4)


def test_what_is_finished_is_not_fitted_again(finished, monkeypatch):
    monkeypatch.setattr("hsjax.evaluate.classical.fit_predict", lambda *_, **__: pytest.fail("fitted again"))
    monkeypatch.setattr("hsjax.evaluate.clustering.fit", lambda *_, **__: pytest.fail("fitted again"))
    run.run(settings(), finished)
    with pytest.raises(UserError, match=r"made with other settings: stage\.clusters"):
        run.run(settings(**{"stages.clusters.clusters": (3,)}), finished)


def test_what_contradicts_itself_stops_before_any_work(tmp_path):
    exporting = settings()
    exporting.stages.export = run_config.export_stage(models=("logistic",))
    exporting.pipeline = (*exporting.pipeline, "export")
    for config, words in (
        (exporting, "'logistic', which is no network"),
        (settings(**{"stages.clusters.of": "logistic"}), "name a train stage before it"),
        (settings(**{"stages.clusters.clusters": (1,)}), "give numbers from 2 on"),
        (settings(**{"stages.clusters.rule": "vote"}), "composition, nearest-centroid"),
        (settings(**{"stages.logistic.model": "logit"}), "logistic-regression"),
    ):
        with pytest.raises(UserError, match=words):
            run.run(config, tmp_path / "none")
    assert not (tmp_path / "none").exists()
