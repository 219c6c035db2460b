import collections
import csv
import subprocess
import sys

import numpy as np
import pytest
import scipy.signal
import sklearn.linear_model
import sklearn.metrics
import sklearn.model_selection
import sklearn.pipeline
import sklearn.preprocessing

from hsjax.data import audio
from hsjax.evaluate import controls


def recordings(seed=0, groups=60, per_group=4, audible=1.0):
    """Three sites, each group of recordings at one of them, audible as an offset beside an effect of the group."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), per_group)
    site = rng.choice(3, groups, p=[0.6, 0.3, 0.1])[group]
    site[:per_group], site[-per_group:] = 2, 2
    centre = rng.normal(size=(3, 6))
    features = audible * centre[site] + rng.normal(size=(groups, 6))[group] + rng.normal(size=(len(group), 6))
    features[:, 0] *= 1000
    return features, np.array(["a", "b", "c"])[site], np.array([f"g{index:03d}" for index in group])


def out_of_fold(features, site, group, folds, seed):
    """By scikit-learn: folds and probabilities of each recording."""
    model = sklearn.pipeline.make_pipeline(
        sklearn.preprocessing.StandardScaler(), sklearn.linear_model.LogisticRegression(max_iter=2000)
    )
    splitter = sklearn.model_selection.StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    splits = list(splitter.split(features, site, group))
    fold = np.zeros(len(site), int)
    for index, (_, test) in enumerate(splits):
        fold[test] = index
    probabilities = sklearn.model_selection.cross_val_predict(
        model, features, site, groups=group, cv=splits, method="predict_proba"
    )
    return fold, probabilities


def area_within_folds(score, positive, fold):
    """Pairs of one fold, counted one by one."""
    gain = score[positive][:, None] - score[~positive][None, :]
    same = fold[positive][:, None] == fold[~positive][None, :]
    return ((gain > 0) + (gain == 0) / 2)[same].mean()


def test_predict_factor_equals_scikit_learn():
    features, site, group = recordings()
    found = controls.predict_factor(features, site, group, folds=4, resamples=20, seed=3)
    fold, probabilities = out_of_fold(features, site, group, 4, 3)
    predicted = np.array(["a", "b", "c"])[probabilities.argmax(1)]
    assert found.names == ("a", "b", "c")
    assert found.accuracy.value == pytest.approx(sklearn.metrics.accuracy_score(site, predicted))
    assert found.balanced_accuracy.value == pytest.approx(sklearn.metrics.balanced_accuracy_score(site, predicted))
    recall = sklearn.metrics.recall_score(site, predicted, average=None)
    assert [estimate.value for estimate in found.recall.values()] == pytest.approx(recall)
    areas = [area_within_folds(probabilities[:, index], site == name, fold) for index, name in enumerate("abc")]
    assert found.auroc.value == pytest.approx(np.mean(areas))
    assert found.majority == pytest.approx((site == "a").mean())
    assert (found.n, found.n_groups, found.left_out) == (240, 60, ())
    # Intervals are of drawn groups.
    draws = np.random.default_rng(3).integers(0, 60, (20, 60))
    names = np.unique(group)
    drawn = [np.mean(np.concatenate([(site == predicted)[group == names[one]] for one in draw])) for draw in draws]
    np.testing.assert_allclose(found.accuracy.interval, np.percentile(drawn, [2.5, 97.5]))


def test_what_cannot_be_heard_is_not_found():
    found = controls.predict_factor(*recordings(audible=0.0), resamples=200, seed=0)
    assert found.auroc.interval[0] < 0.5 < found.auroc.interval[1]
    assert found.accuracy.value <= found.majority + 0.02


def test_groups_do_not_help():
    """Features that only name the group: with recordings of a group on both sides every one would be right."""
    _, site, group = recordings()
    features = (group[:, None] == np.unique(group)).astype(float)
    assert controls.predict_factor(features, site, group, resamples=2, seed=0).balanced_accuracy.value < 0.4


def test_label_from_factor_by_hand():
    # Two devices, ten groups each; abnormal is rare with one and common with the other.
    device = np.repeat(["old", "new"], 20)
    group = np.repeat(np.arange(20), 2)
    label = np.where(np.isin(group, [0, 1, 10, 11, 12, 13, 14, 15, 16, 17]), "abnormal", "normal")
    found = controls.label_from_factor(device, label, group, folds=2, resamples=50, seed=0)
    # New devices have 8 of 10 groups abnormal, old ones 2 of 10: both majorities are right 8 times of 10.
    assert found.names == ("abnormal", "normal")
    assert found.accuracy.value == pytest.approx(0.8)
    assert found.recall["abnormal"].value == pytest.approx(0.8)
    assert found.majority == 0.5
    # Pairs of other devices rank right (.8 · .8) or wrong (.2 · .2), of the same device tie, fold by fold.
    assert found.auroc.value == pytest.approx(0.64 + (1 - 0.64 - 0.04) / 2, abs=0.03)


def test_a_factor_that_says_nothing_is_at_chance():
    """Frequencies without the own group fall with each positive in it: compared across folds, that is below chance."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), rng.integers(1, 12, 40))
    label = np.where(rng.random(40)[group] < 0.4, "x", "y")
    found = controls.label_from_factor(np.full(len(group), "one"), label, group, resamples=20, seed=1)
    assert found.auroc.value == 0.5
    assert found.balanced_accuracy.value == 0.5


def test_a_factor_of_one_group_falls_back_on_all_others():
    group = np.arange(30)
    factor = np.where(group == 0, "lonely", "common")
    label = np.where(group % 3 == 0, "x", "y")
    found = controls.label_from_factor(factor, label, group, resamples=2, seed=0)
    assert found.recall["y"].value == 1
    assert found.recall["x"].value == 0


def test_names_of_a_single_group_are_left_out():
    features, site, group = recordings()
    site = np.where(group == "g000", "only here", site)
    found = controls.predict_factor(features, site, group, resamples=2, seed=0)
    assert found.left_out == ("only here",)
    assert (found.n, found.n_groups, found.names) == (236, 59, ("a", "b", "c"))


def test_few_groups():
    features = np.arange(8.0)[:, None]
    site, group = np.array(["a", "a", "b", "b"] * 2), np.array([0, 0, 1, 1, 2, 2, 3, 3])
    found = controls.predict_factor(features, site, group, seed=0)
    assert found.n_groups == 4
    assert found.accuracy.interval is None
    assert found.recall["a"].interval is None


def test_undefined_controls():
    features, site, group = recordings()
    with pytest.raises(ValueError, match="finite"):
        controls.predict_factor(np.full_like(features, np.nan), site, group, seed=0)
    for names, of_group in ((np.full(len(site), "a"), group), (site, np.full(len(site), "g")), (site[:0], group[:0])):
        with pytest.raises(ValueError, match="two names"):
            controls.predict_factor(features[: len(names)], names, of_group, seed=0)
        with pytest.raises(ValueError, match="two names"):
            controls.label_from_factor(names, names, of_group, seed=0)


def test_importing_the_controls_does_not_import_scikit_learn():
    command = "import sys, hsjax.evaluate.controls; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def spectrum(samples):
    """Mean and deviation over time of 20 log band energies of the first five seconds."""
    power = scipy.signal.spectrogram(samples[:10000], 2000, nperseg=200, noverlap=100)[2][:100]
    bands = np.log(power.reshape(20, 5, -1).mean(1) + 1e-12)
    return np.concatenate([bands.mean(1), bands.std(1)])


@pytest.mark.realdata
def test_the_sub_dataset_can_be_heard(real_root):
    """A linear model on band energies, trained on a few dozen recordings of each, is enough for most of them."""
    folder = real_root / "physionet2016"
    by_subset = collections.defaultdict(list)
    with (folder / "records_metadata.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            by_subset[f"training-{row['record'][0]}"].append(row)
    # Spread over the list, so that many groups are among them.
    chosen = [
        (subset, row)
        for subset in ("training-a", "training-b", "training-e", "training-f")
        for row in by_subset[subset][:: max(1, len(by_subset[subset]) // 60)][:60]
    ]
    features = np.array([spectrum(audio.decode(folder / s / f"{row['record']}.wav")[0]) for s, row in chosen])
    subset, group = np.array([s for s, _ in chosen]), np.array([row["group"] for _, row in chosen])
    found = controls.predict_factor(features, subset, group, resamples=200, seed=0)
    assert found.majority < 0.3
    assert found.accuracy.interval[0] > 0.8
    assert found.auroc.value > 0.95
    label = np.array([row["class"] for _, row in chosen])
    assert controls.label_from_factor(subset, label, group, resamples=200, seed=0).auroc.interval[0] > 0.55
