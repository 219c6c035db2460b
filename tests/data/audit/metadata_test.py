import numpy as np
import pytest
import sklearn.metrics

from hsjax.data.audit import metadata
from hsjax.types import Dataset


@pytest.fixture
def dataset(make, rng):
    """Two classes; sex says nothing, site something, age everything except where it is missing."""

    def made(n: int = 120, per_group: int = 2) -> Dataset:
        some = []
        for index in range(n):
            sick = index // per_group % 2 == 1
            known = {"sex": rng.choice(["f", "m"]), "site": "apex" if (rng.random() < 0.9) == sick else "base"}
            if rng.random() < 0.9:
                known["age"] = str(round((50 if sick else 20) + 10 * rng.random()))
            some.append(
                make(
                    f"r{index:03}",
                    np.ones(1000 + int(rng.integers(500))),
                    label="sick" if sick else "well",
                    subset="one",
                    group=f"g{index // per_group}",
                    metadata=known,
                )
            )
        return Dataset("small", ("sick", "well"), "sick", False, tuple(some))

    return made


def test_each_feature(dataset):
    made = dataset()
    rows = {row.feature: row for row in metadata.predictability(made)}
    # One subset and one rate tell nothing; what is not known of all is also judged where it is known.
    assert list(rows) == ["duration", "age", "age, known", "sex", "site", metadata.ALL]
    known = rows.pop("age, known")
    with_age = [each for each in made.recordings if "age" in each.metadata]
    assert (known.n, known.n_groups) == (len(with_age), len({each.group for each in with_age}))
    assert known.n < 120
    assert {(row.chance, row.n, row.n_groups) for row in rows.values()} == {(0.5, 120, 60)}
    for name in ("sex", "duration"):
        assert rows[name].auroc_low < 0.5 < rows[name].auroc_high
    # Nine of ten by site, which a rule that follows it reaches.
    site = [(each.metadata["site"] == "apex") == (each.label == "sick") for each in dataset().recordings]
    assert rows["site"].balanced_accuracy == pytest.approx(np.mean(site), abs=0.07)
    assert rows["age"].balanced_accuracy == pytest.approx(0.95, abs=0.05)
    assert rows["age"].auroc_low > 0.85
    assert rows[metadata.ALL].auroc > rows["site"].auroc
    assert rows["sex"].values == 2
    for row in rows.values():
        assert row.auroc_low <= row.auroc <= row.auroc_high


def test_missing_is_a_value(make):
    """Where only the sick were asked, that somebody was asked gives it away."""
    some = [
        make(f"{i:03}", np.ones(100), label="sick" if i % 2 else "well", metadata={"asked": "yes"} if i % 2 else {})
        for i in range(60)
    ]
    (row,) = metadata.predictability(Dataset("small", ("sick", "well"), None, False, tuple(some)))
    assert (row.feature, row.values, row.balanced_accuracy, row.auroc) == ("asked", 2, 1.0, 1.0)
    assert row.n_groups == 60


def test_groups_are_kept_together(make, rng):
    """A name of the group predicts nothing for other groups, although it goes with the label."""
    drawn = rng.integers(2, size=60)
    some = [
        make(f"{i:03}", np.ones(100), label="ab"[drawn[i // 4]], group=f"g{i // 4}", metadata={"id": f"n{i // 4}"})
        for i in range(240)
    ]
    (row,) = metadata.predictability(Dataset("small", ("a", "b"), None, False, tuple(some)))
    assert row.n_groups == 60
    assert row.balanced_accuracy < 0.7


def test_three_classes(make):
    some = [make(f"{i:03}", np.ones(100 * (1 + i % 3)), label="abc"[i % 3]) for i in range(60)]
    (row,) = metadata.predictability(Dataset("small", ("a", "b", "c"), None, False, tuple(some)))
    assert row.chance == pytest.approx(1 / 3)
    assert (row.feature, row.balanced_accuracy, row.auroc) == ("duration", 1.0, 1.0)


def test_metrics_equal_sklearns(rng):
    label = rng.integers(3, size=60)
    probability = np.round(rng.dirichlet(np.ones(3), 60) + np.eye(3)[label] / 2, 1)
    fold = np.zeros(60, int)
    expected = np.mean([sklearn.metrics.roc_auc_score(label == one, probability[:, one]) for one in range(3)])
    assert metadata._auroc(label, probability, fold) == pytest.approx(expected)
    expected = sklearn.metrics.balanced_accuracy_score(label, probability.argmax(axis=1))
    assert metadata._balanced_accuracy(label, probability, fold) == pytest.approx(expected)


def test_folds_are_not_compared():
    """Each fold ranks its own perfectly; that the second one's numbers are all lower means nothing."""
    label = np.array([0, 0, 1, 1] * 2)
    positive = np.array([0.6, 0.7, 0.8, 0.9, 0.1, 0.2, 0.3, 0.4])
    probability = np.stack([1 - positive, positive], axis=1)
    assert metadata._auroc(label, probability, np.repeat([0, 1], 4)) == 1.0
    assert metadata._auroc(label, probability, np.zeros(8, int)) == pytest.approx(0.75)


def test_few_groups_have_no_interval(make):
    some = [make(f"{i:03}", np.ones(100 + i), label="ab"[i % 2], group=f"g{i % 4}") for i in range(40)]
    (row,) = metadata.predictability(Dataset("small", ("a", "b"), None, False, tuple(some)))
    assert row.n_groups == 4
    assert np.isnan([row.auroc_low, row.auroc_high]).all()


def test_nothing_to_learn_from(make):
    same = [make(f"{i:03}", np.ones(100), label="ab"[i % 2]) for i in range(20)]
    one_group = [make(f"{i:03}", np.ones(100 + i), label="ab"[i % 2], group="ab"[i % 2]) for i in range(20)]
    one_class = [make(f"{i:03}", np.ones(100 + i), label="a") for i in range(20)]
    unlabelled = [make(f"{i:03}", np.ones(100 + i)) for i in range(20)]
    for some in (same, one_group, one_class, unlabelled, []):
        assert metadata.predictability(Dataset("small", ("a", "b"), None, False, tuple(some))) == ()


def test_many_values(make, rng):
    some = [
        make(f"{i:03}", np.ones(100), label="ab"[i % 2], metadata={"name": f"n{i}", "huge": "1e999" if i % 3 else "x"})
        for i in range(200)
    ]
    rows = {row.feature: row for row in metadata.predictability(Dataset("small", ("a", "b"), None, False, tuple(some)))}
    assert rows["name"].values == 200
