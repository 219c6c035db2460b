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
        "why": run_config.explain_stage(models=("student",), examples=2, background=3, patches=(2, 3), evaluations=12),
        "report": run_config.report_stage(),
    }
    config.pipeline = ("student", "majority", "logistic", "clusters", "why", "report")
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


def test_shap_values_share_out_the_probabilities_of_the_network(finished):
    with np.load(finished / "report" / "explanations" / "why-student.npz") as stored:
        found = dict(stored)
    assert found["values"].shape == (2, 2, 2, 3)
    np.testing.assert_allclose(found["values"].sum((2, 3)) + found["expected"], found["output"], atol=1e-6)
    predicted = folder.load_predictions(finished / "stages" / "grouped" / "0" / "student" / "predictions-test.npz")
    for title, output in zip(found["title"], found["output"], strict=True):
        # Each window is one of those that were tested, of the recording that its title names.
        its = predicted.probabilities[predicted.recording == str(title).partition(": ")[2].partition(" ")[0]]
        assert np.abs(its - output).max(axis=1).min() < 1e-5
    page = (finished / "report" / "index.html").read_text()
    assert "What the networks go by" in page
    assert page.count("SHAP values of student, protocol grouped, seed 0 on") == 2


def test_networks_are_told_layer_by_layer(finished):
    (network,) = json.loads((finished / "report" / "layers.json").read_text())
    assert (network["model"], network["stages"], network["input"]) == ("song-student", ["student"], [13, 101])
    assert sum(layer["parameters"] for layer in network["layers"]) == 43_250  # Song et al., Table I
    assert [layer["path"] for layer in network["layers"]][-1] == "logits"
    assert "43,250 parameters" in (finished / "report" / "index.html").read_text()


def test_what_is_finished_is_not_fitted_again(finished, monkeypatch):
    monkeypatch.setattr("hsjax.evaluate.explanations.explain", lambda *_, **__: pytest.fail("explained again"))
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
        (settings(**{"stages.why.models": ("logistic",)}), "name train stages of config.pipeline that learn"),
        (settings(**{"stages.why.protocol": "paper"}), "explains protocol paper, seed 0, which the run does not train"),
        (settings(**{"stages.why.patches": (14, 1)}), "evaluations is 12; give 28 or more"),
        (settings(**{"stages.why.patches": (14, 1), "stages.why.evaluations": 28}), "do not fit features of 13 x"),
        (settings(**{"stages.why.patches": (1, 1)}), "one of them above 1"),
        (settings(**{"stages.why.examples": 0}), "at least one window"),
    ):
        with pytest.raises(UserError, match=words):
            run.run(config, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_without_the_library_the_extra_is_named_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("hsjax.evaluate.explanations.installed", lambda: False)
    with pytest.raises(UserError, match=r"pip install 'hsjax\[explain\]', or leave 'why' out"):
        run.run(settings(), tmp_path / "none")
    assert not (tmp_path / "none").exists()
