import importlib.util
import pathlib
import re

import numpy as np
import pytest
import sklearn.metrics

from hsjax.evaluate import bootstrap, coverage, delong
from hsjax.evaluate.panel import panel


@pytest.fixture(scope="module")
def simulation():
    path = pathlib.Path(__file__).parent.parent / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("label_of", ["subject", "unit"])
def test_the_simulation_knows_the_truth(simulation, label_of):
    population = simulation.Population(label_of)
    part, weaker = population.sample(np.random.default_rng(0), 40000)
    truth = population.rates(population.separation)
    positive, score = part.label == 1, part.probabilities[:, 1]
    predicted = score >= population.prevalence
    assert truth["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(positive, score), abs=0.005)
    assert truth["auprc"] == pytest.approx(sklearn.metrics.average_precision_score(positive, score), abs=0.01)
    assert truth["f1"] == pytest.approx(sklearn.metrics.f1_score(positive, predicted), abs=0.005)
    assert truth["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(positive, predicted), abs=0.005)
    found = sklearn.metrics.roc_auc_score(positive, weaker.probabilities[:, 1])
    assert population.rates(population.weaker)["auroc"] == pytest.approx(found, abs=0.005)


def held(simulation, population, num_groups, trials):
    """Part of the intervals of each figure that hold the truth."""
    truth = population.rates(population.separation)
    rng = np.random.default_rng(num_groups)
    hits = {name: [] for name in ("accuracy", "sensitivity", "auroc", "clustered", "delong")}
    for trial in range(trials):
        part, _ = population.sample(rng, num_groups)
        scored = panel(part, population.prevalence, 1, np.unique(part.group))
        estimates = bootstrap.estimates(scored, resamples=200, seed=trial)
        score, positive = part.probabilities[:, 1], part.label == 1
        intervals = {name: estimates[name, ""].interval for name in ("accuracy", "sensitivity", "auroc")}
        intervals["clustered"] = delong.area(score, positive, part.group).interval
        intervals["delong"] = delong.area(score, positive).interval
        for name, interval in intervals.items():
            if interval is not None:
                hits[name].append(interval[0] <= truth.get(name, truth["auroc"]) <= interval[1])
    return {name: np.mean(values) for name, values in hits.items()}


def test_intervals_hold_the_truth_where_groups_suffice(simulation):
    population = simulation.Population("subject", prevalence=0.5)
    found = held(simulation, population, 60, 100)
    assert coverage.warning(60, {"negative": 30, "positive": 30}) is None
    # 95 % nominal, a point or three less for the bootstrap of 30 groups a class; 100 samples have an error of 2 points.
    for name in ("accuracy", "sensitivity", "auroc", "clustered"):
        assert 0.87 <= found[name] <= 0.995, name
    # Taking the units of a subject for independent ones.
    assert found["delong"] < 0.85


def test_where_groups_are_too_few_the_intervals_fail_and_the_warning_says_so(simulation):
    found = held(simulation, simulation.Population("subject"), 12, 60)
    assert found["sensitivity"] < 0.85
    assert found["auroc"] < 0.9
    sentence = coverage.warning(12, {"negative": 9, "positive": 3})
    assert "3 of 12" in sentence
    assert "class positive" in sentence


def test_warnings():
    assert coverage.warning(200, {"a": 150, "b": 50}) is None
    assert coverage.warning(200, {"a": 200, "b": 200, "c": 30}) is None
    assert "No group holds class b" in coverage.warning(200, {"a": 200, "b": 0})
    assert "Only 9 independent groups" in coverage.warning(9, {"a": 5, "b": 5})
    assert "worthless" in coverage.warning(200, {"a": 200, "b": 2})
    # The fewer groups, the less is held.
    sentences = [coverage.warning(200, {"a": 200, "b": n}) for n in (3, 5, 10, 20, 29)]
    shares = [int(re.search(r"truth in (\d+) %", sentence).group(1)) for sentence in sentences]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]
    for n_groups, groups_of in ((5, {}), (5, {"a": 6})):
        with pytest.raises(ValueError, match="cannot hold"):
            coverage.warning(n_groups, groups_of)


def test_groups_by_class_counts_groups():
    label, group = np.array([0, 0, 1, 1, 1]), np.array(["x", "y", "x", "x", "z"])
    assert coverage.groups_by_class(label, group, ("a", "b", "c")) == {"a": 2, "b": 2, "c": 0}
