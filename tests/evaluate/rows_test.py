import dataclasses

import numpy as np
import pytest

from hsjax.evaluate import rows
from hsjax.evaluate.bootstrap import Decided
from hsjax.types import Predictions, ResultRow, RunKey

# Twelve groups of one unit: positives 0-3, of them three at 0.6 or more and one at 0.55; one negative at 0.58.
LABEL = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0], np.int32)
SCORE = np.array([0.9, 0.8, 0.6, 0.55, 0.58, 0.4, 0.4, 0.3, 0.3, 0.2, 0.1, 0.1], np.float32)
IDS = np.array([f"r{index:02d}" for index in range(12)])
PREDICTIONS = Predictions(
    key=RunKey("physionet2016", "grouped", "kd", 2, variant="tflite-int8", input="features"),
    unit="recording",
    classes=("normal", "abnormal"),
    recording=IDS,
    start=np.zeros(12),
    group=IDS,
    label=LABEL,
    probabilities=np.stack([1 - SCORE, SCORE], 1),
)


def by_metric(result):
    table = {(row.metric, row.label): row for row in result}
    assert len(table) == len(result)
    return table


def test_score_by_hand():
    table = by_metric(rows.score(PREDICTIONS, threshold=0.59, positive=1, resamples=50, seed=0))
    # At 0.59: TP 3, FN 1, FP 0, TN 8. At 0.5: TP 4, FN 0, FP 1, TN 7.
    expected = {
        "accuracy": 11 / 12, "sensitivity": 3 / 4, "specificity": 1, "macc": 7 / 8, "precision": 1, "f1": 6 / 7,
        "accuracy@0.5": 11 / 12, "sensitivity@0.5": 1, "specificity@0.5": 7 / 8, "precision@0.5": 4 / 5,
        "macro_recall": 7 / 8, "macro_precision": (1 + 8 / 9) / 2, "macro_f1": (6 / 7 + 16 / 17) / 2,
        "auroc": 31 / 32,
    }  # fmt: skip
    for metric, value in expected.items():
        row = table[metric, ""]
        assert row.value == pytest.approx(value), metric
        assert row.low <= row.value <= row.high
        assert (row.n, row.n_groups, row.volatile) == (12, 12, 0)
    assert table["precision", "normal"].value == pytest.approx(8 / 9)
    assert table["recall@0.5", "normal"].value == pytest.approx(7 / 8)
    assert table["support", "abnormal"].value == 4
    cells = {label: row.value for (metric, label), row in table.items() if metric == "confusion"}
    assert cells == {"normal>normal": 8, "normal>abnormal": 0, "abnormal>normal": 1, "abnormal>abnormal": 3}
    assert table["confusion@0.5", "normal>abnormal"].value == 1
    assert table["threshold", "abnormal"].value == 0.59
    for metric, label in (("threshold", "abnormal"), ("support", "normal"), ("confusion", "normal>normal")):
        assert table[metric, label].low is None


def test_average_is_the_mean_over_models_on_the_same_drawn_groups():
    """At 0.59 eleven of twelve are right; of the model that says the opposite, by hand, one; so in every resample."""
    other = dataclasses.replace(
        PREDICTIONS,
        key=dataclasses.replace(PREDICTIONS.key, stage="other"),
        probabilities=PREDICTIONS.probabilities[:, ::-1],
    )
    table = by_metric(
        rows.average([Decided(PREDICTIONS, 0.59), Decided(other, 0.41)], "both", positive=1, resamples=50, seed=0)
    )
    row = table["accuracy", ""]
    assert row.value == pytest.approx((11 / 12 + 1 / 12) / 2)
    assert (row.low, row.high) == (pytest.approx(0.5), pytest.approx(0.5))
    assert (row.stage, row.seed, row.n, row.n_groups) == ("both", 2, 12, 12)


def test_score_carries_the_key():
    row = rows.score(PREDICTIONS, threshold=0.5, positive=1, resamples=2, seed=0)[0]
    assert {field.name: getattr(row, field.name) for field in dataclasses.fields(RunKey)} == dataclasses.asdict(
        PREDICTIONS.key
    )
    assert row.unit == "recording"


def test_score_without_threshold_decides_for_the_likeliest():
    table = by_metric(rows.score(PREDICTIONS, threshold=None, positive=1, resamples=2, seed=0))
    assert table["sensitivity", ""].value == 1
    assert not any(metric.endswith("@0.5") or metric == "threshold" for metric, _ in table)


def test_score_refuses_nothing():
    columns = ("recording", "start", "group", "label", "probabilities")
    empty = dataclasses.replace(PREDICTIONS, **{name: getattr(PREDICTIONS, name)[:0] for name in columns})
    with pytest.raises(ValueError, match="no unit"):
        rows.score(empty, threshold=0.5, positive=1, seed=0)


def seeded(predictions, seed, flip=0):
    """With the scores of the first `flip` units turned round."""
    probabilities = predictions.probabilities.copy()
    probabilities[:flip] = probabilities[:flip, ::-1]
    return dataclasses.replace(
        predictions, key=dataclasses.replace(predictions.key, seed=seed), probabilities=probabilities
    )


def test_difference_by_hand():
    ours = [Decided(seeded(PREDICTIONS, seed), 0.5) for seed in (0, 1)]
    # Seed 0 loses one positive of four, seed 1 two: sensitivity falls by 3/8 on average.
    theirs = [Decided(seeded(PREDICTIONS, 0, flip=1), 0.5), Decided(seeded(PREDICTIONS, 1, flip=2), 0.5)]
    table = by_metric(rows.difference(ours, theirs, "kd - student", positive=1, resamples=50, seed=0))
    row = table["difference:sensitivity", ""]
    assert row.value == pytest.approx(3 / 8)
    assert row.low <= row.value <= row.high
    assert (row.stage, row.seed, row.variant, row.n, row.n_groups) == ("kd - student", "all", "tflite-int8", 12, 12)
    assert table["difference:specificity", ""].value == 0
    assert not any("confusion" in metric or "support" in metric for metric, _ in table)
    alone = rows.difference(ours[:1], theirs[:1], "kd - student", positive=1, resamples=2, seed=0)
    assert {row.seed for row in alone} == {0}


def test_over_seeds_by_hand():
    base = ResultRow(
        "d", "grouped", "kd", 0, 0, "test", "segment", "jax", "features", "auroc", "", 0.8, 0.7, 0.9, 12, 6
    )
    other = dataclasses.replace(base, seed=1, value=0.9)
    third = dataclasses.replace(base, seed=2, value=0.4, n=13)
    lone = dataclasses.replace(base, metric="macc")
    mean, spread = rows.over_seeds([base, lone, other])
    assert mean == dataclasses.replace(base, seed="mean", value=mean.value, low=None, high=None)
    assert mean.value == pytest.approx(0.85)
    assert spread.metric == "sd:auroc"
    assert spread.value == pytest.approx(np.sqrt(2) * 0.05)
    assert (mean.n, mean.n_groups) == (12, 6)
    mean, spread = rows.over_seeds([base, other, third, dataclasses.replace(base, seed="all")])
    assert mean.value == pytest.approx(0.7)
    assert spread.value == pytest.approx(np.sqrt((0.01 + 0.04 + 0.09) / 2))
    assert (mean.n, mean.n_groups) == (None, 6)


# Two folds of the same twelve units: the first has the first half of each class.
FIRST = np.array([0, 1, 4, 5, 6, 7])
FOLDS = [
    dataclasses.replace(
        PREDICTIONS,
        key=dataclasses.replace(PREDICTIONS.key, fold=fold),
        **{
            name: getattr(PREDICTIONS, name)[index]
            for name in ("recording", "start", "group", "label", "probabilities")
        },
    )
    for fold, index in enumerate((FIRST, np.setdiff1d(np.arange(12), FIRST)))
]


def test_folds_by_hand():
    decided = [Decided(FOLDS[0], 0.85), Decided(FOLDS[1], 0.59)]
    table = by_metric(rows.over_folds(decided, positive=1, resamples=200, seed=0))
    # First fold at 0.85: TP 1 of 2, TN 4 of 4. Second at 0.59: TP 1 (0.6) of 2, TN 4 of 4.
    # Areas: 8 of 8 pairs, and 8 of 8 (0.55 and 0.6 above 0.3).
    expected = {"sensitivity": 0.5, "specificity": 1.0, "accuracy": 10 / 12, "sensitivity@0.5": 1.0,
                "specificity@0.5": (3 / 4 + 1) / 2, "auroc": 1.0}  # fmt: skip
    for metric, value in expected.items():
        row = table[metric, ""]
        assert row.value == pytest.approx(value), metric
        assert (row.fold, row.seed, row.n, row.n_groups) == ("mean", 2, 12, 12)
        assert row.low <= row.value <= row.high
    assert table["support", "normal"].value == 8
    assert table["confusion", "abnormal>normal"].value == 2
    assert ("threshold", "abnormal") not in table


def test_a_fold_without_a_class_does_not_hide_the_others():
    alone = dataclasses.replace(
        FOLDS[1],
        **{name: getattr(FOLDS[1], name)[2:] for name in ("recording", "start", "group", "label", "probabilities")},
    )
    table = by_metric(rows.over_folds([Decided(FOLDS[0], 0.85), Decided(alone, 0.59)], positive=1, resamples=5, seed=0))
    assert table["sensitivity", ""].value == 0.5  # of the first alone
    assert table["auroc", ""].value == 1.0
    assert table["specificity", ""].value == 1.0


def test_differences_over_folds_are_one_row():
    decided = [Decided(fold, 0.59) for fold in FOLDS]
    found = rows.difference(decided, decided, "a - b", positive=1, resamples=5, seed=0)
    assert {(row.fold, row.seed, row.value) for row in found if row.metric == "difference:auroc"} == {("mean", 2, 0.0)}


def test_folds_decided_in_different_ways_are_refused():
    with pytest.raises(ValueError, match="all or none"):
        rows.over_folds([Decided(FOLDS[0], 0.5), Decided(FOLDS[1], None)], positive=1, seed=0)
