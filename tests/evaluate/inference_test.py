"""Rows of calibration, operating points and tests, against arithmetic by hand and other libraries."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics as sklearn_metrics

from hsjax.evaluate import inference
from hsjax.evaluate.bootstrap import Decided
from hsjax.evaluate.rows import template
from hsjax.types import Predictions, RunKey


def predictions(score, label, seed=0, split="test") -> Predictions:
    score = np.asarray(score, np.float32)
    ids = np.array([f"r{index:03d}" for index in range(len(score))])
    return Predictions(
        RunKey("made", "grouped", "kd", seed, split=split), "recording", ("normal", "abnormal"), ids,
        np.zeros(len(score)), ids, np.asarray(label, np.int32), np.stack([1 - score, score], 1),
    )  # fmt: skip


def test_calibration_by_hand():
    # Two bins: ten at .2, of which four are positive, and ten at .8, of which nine are.
    made = predictions([0.2] * 10 + [0.8] * 10, [1] * 4 + [0] * 6 + [1] * 9 + [0])
    found = {row.metric: row for row in inference.calibration_rows(made, positive=1, seed=0)}
    assert found["ece"].value == pytest.approx((0.2 + 0.1) / 2)
    assert found["brier"].value == pytest.approx(sklearn_metrics.brier_score_loss(made.label, made.probabilities[:, 1]))
    assert found["ece"].low <= found["ece"].value <= found["ece"].high
    assert 0 < found["ece_of_noise"].value < 0.3
    assert (found["ece"].n, found["ece"].n_groups, found["ece"].stage) == (20, 20, "kd")


def test_operating_point_is_chosen_on_validation():
    validation = predictions([*np.arange(10) / 10, 0.85, 0.95], [0] * 10 + [1] * 2, split="validation")
    # Nine of ten negatives are .8 or less, and halfway to .85 no positive is lost.
    test = predictions([0.1, 0.2, 0.7, 0.83, 0.82, 0.84, 0.86, 0.9], [0] * 4 + [1] * 4)
    found = {row.metric: row for row in inference.operating_rows(validation, test, positive=1, seed=0)}
    assert found["threshold@specificity0.9"].value == pytest.approx(0.825)
    assert found["sensitivity@specificity0.9"].value == 3 / 4
    assert found["specificity@specificity0.9"].value == 3 / 4


def test_significance_of_paired_decisions():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 30)
    scores = label + rng.normal(size=(2, 60))
    a, b = (predictions(scipy.special.expit(score), label) for score in scores)
    shuffled = rng.permutation(60)
    mixed = dataclasses.replace(
        b, **{name: getattr(b, name)[shuffled] for name in ("recording", "start", "group", "label", "probabilities")}
    )
    rows = list(inference.significance_rows([Decided(a, 0.5)], [Decided(mixed, 0.6)], "a - b", positive=1))
    found = {row.metric: row.value for row in rows}
    right = [(side.probabilities[:, 1] >= at) == label for side, at in ((a, 0.5), (b, 0.6))]
    only = [int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())]
    assert found["p:mcnemar"] == pytest.approx(scipy.stats.binomtest(only[0], sum(only)).pvalue)
    assert 0 < found["p:delong"] < 1
    assert {row.stage for row in rows} == {"a - b"}
    assert "p:wilcoxon:accuracy" not in found


def test_many_seeds_are_compared_by_wilcoxon():
    label = np.repeat([0, 1], 10)
    sides = [[], []]
    for seed in range(6):
        for side, wrong in zip(sides, (seed, seed + 1 + seed), strict=True):
            score = np.where(label == 1, 0.9, 0.1)
            score[:wrong] = 0.8
            side.append(Decided(predictions(score, label, seed), 0.5))
    found = {row.metric: row for row in inference.significance_rows(*sides, "a - b", positive=1)}
    # The first is better in all six: the exact two-sided p is 2 / 2**6.
    assert found["p:wilcoxon:accuracy"].value == pytest.approx(2 / 64)
    assert (found["p:wilcoxon:accuracy"].seed, found["p:wilcoxon:accuracy"].n) == ("all", 6)


def test_one_tailed_z_test_by_hand():
    label = np.tile([0, 1], 100)
    sides = []
    for wrong in (20, 50):
        score = np.where(label == 1, 0.9, 0.1)
        score[:wrong] = 1 - score[:wrong]
        # A threshold at which all would be called normal: the likelier class counts.
        sides.append([Decided(predictions(score, label), 0.95)])
    (row,) = inference.proportion_rows(*sides, "kd - student", positive=1)
    # 180 and 150 of 200: pooled .825.
    z = (0.9 - 0.75) / np.sqrt(0.825 * 0.175 * (1 / 200 + 1 / 200))
    assert row.value == pytest.approx(scipy.stats.norm.sf(z))
    assert (row.metric, row.stage, row.n, row.n_groups) == ("p:z-one-tailed:accuracy@0.5", "kd - student", 200, 200)
    (other_way,) = inference.proportion_rows(*sides[::-1], "student - kd", positive=1)
    assert other_way.value == pytest.approx(1 - row.value)


def test_holm_within_each_seed():
    def rows(seed, values):
        blank = template(RunKey("made", "paper", "a - b", seed), "recording", 80, 39)
        return [dataclasses.replace(blank, metric=name, value=value) for name, value in values]

    first = rows(0, [("p:mcnemar", 0.01), ("p:mcnemar", 0.04), ("p:delong", 0.001), ("p:mcnemar", 0.03)])
    found = list(inference.holm_rows([*first, *rows(1, [("p:mcnemar", 0.5)])]))
    assert [(row.seed, row.metric) for row in found] == [(0, "p:mcnemar:holm")] * 3 + [(1, "p:mcnemar:holm")]
    assert [row.value for row in found] == pytest.approx([0.03, 0.06, 0.06, 0.5])
