"""Controls: what can be told from circumstances (sub-dataset, device, site, sex) instead of from the heart.

A label that goes with the sub-dataset, and a sub-dataset that can be heard, let a model score without listening to the
heart. `predict_factor` measures the second, `label_from_factor` the first.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num, Shaped

from hsjax.evaluate import bootstrap, metrics


class Control(NamedTuple):
    """How well one name of each recording is predicted for groups that took no part in the fit.

    Attributes:
      names: what is told apart, sorted.
      accuracy: part of the recordings that is right, with its 95 % interval over groups.
      balanced_accuracy: mean recall of the names; 1 / len(names) by chance.
      auroc: mean over names of one against the rest; .5 by chance. Only recordings of one fold are compared, which one
        model has scored: between folds a model that saw fewer of a name says less often that it is that name.
      recall: of each name.
      majority: accuracy of always saying the most frequent name.
      n: recordings.
      n_groups: groups.
      left_out: names that occur in a single group, so that nobody can learn them from another; their recordings count
        nowhere here.
    """

    names: tuple[str, ...]
    accuracy: bootstrap.Estimate
    balanced_accuracy: bootstrap.Estimate
    auroc: bootstrap.Estimate
    recall: Mapping[str, bootstrap.Estimate]
    majority: float
    n: int
    n_groups: int
    left_out: tuple[str, ...]


def predict_factor(
    features: Num[np.ndarray, "n dims"],
    factor: Shaped[np.ndarray, " n"],
    group: Shaped[np.ndarray, " n"],
    *,
    folds: int = 5,
    resamples: int = 1000,
    seed: int,
) -> Control:
    """Can a factor be told from the audio? Multinomial logistic regression, standardised, on folds of groups.

    Nothing is tuned and the regression is linear: a low score does not show that the factor cannot be heard.

    Args:
      features: of each recording, such as mean and standard deviation over time of its log spectrum. Anything in them
        that is not of the audio (duration) counts as if it were.
      factor: name of each recording's sub-dataset, device, site, ...
      group: of each recording; no group is in training and test of one fold.
      folds: at most so many; no more than the rarest name has groups.
      resamples: of the groups.
      seed: of the folds and the draws.

    Raises:
      ValueError: a feature is not finite, or fewer than two names occur in two groups each.
    """
    if not np.isfinite(features).all():
        raise ValueError("features must be finite")

    def fitted(train: np.ndarray, test: np.ndarray, target: np.ndarray, num_names: int) -> np.ndarray:
        from sklearn import linear_model, pipeline, preprocessing  # takes more than a second

        if len(seen := np.unique(target[train])) == 1:  # nothing to tell apart
            return np.tile((np.arange(num_names) == seen).astype(np.float64), (len(test), 1))
        model = pipeline.make_pipeline(
            preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=2000)
        ).fit(columns[train], target[train])
        probabilities = np.zeros((len(test), num_names))
        probabilities[:, model.classes_] = model.predict_proba(columns[test])
        return probabilities

    kept, left_out = _predictable(factor, group)
    columns = features[kept].astype(np.float64)
    return _control(fitted, factor[kept], group[kept], left_out, folds, resamples, seed)


def label_from_factor(
    factor: Shaped[np.ndarray, " n"],
    label: Shaped[np.ndarray, " n"],
    group: Shaped[np.ndarray, " n"],
    *,
    folds: int = 5,
    resamples: int = 1000,
    seed: int,
) -> Control:
    """How far the label follows from the factor alone: class frequencies at the same factor in folds of other groups.

    What this reaches, a model reaches that only hears the factor. A factor that no other group has gets the frequencies
    of all.

    Args:
      factor: name of each recording's sub-dataset, device, site, ...
      label: name of each recording's class.
      group: of each recording.
      folds: at most so many; no more than the rarest label has groups.
      resamples: of the groups.
      seed: of the folds and the draws.

    Raises:
      ValueError: fewer than two labels occur in two groups each.
    """

    def frequencies(train: np.ndarray, test: np.ndarray, target: np.ndarray, num_names: int) -> np.ndarray:
        counts = np.zeros((int(values.max()) + 1, num_names))
        np.add.at(counts, (values[train], target[train]), 1)
        counts[counts.sum(axis=1) == 0] = counts.sum(axis=0)
        return (counts / counts.sum(axis=1, keepdims=True))[values[test]]

    kept, left_out = _predictable(label, group)
    values = np.unique(factor[kept], return_inverse=True)[1]
    return _control(frequencies, label[kept], group[kept], left_out, folds, resamples, seed)


def _predictable(name: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which recordings have a name that occurs in several groups, and the names that do not."""
    groups = {each: len(np.unique(group[name == each])) for each in np.unique(name)}
    left_out = [each for each, count in groups.items() if count < 2]
    if len(groups) - len(left_out) < 2:
        raise ValueError("two names or more, in at least two groups each, are needed to tell them apart")
    return ~np.isin(name, left_out), tuple(str(each) for each in left_out)


def _control(
    predict: Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray],
    name: np.ndarray,
    group: np.ndarray,
    left_out: tuple[str, ...],
    folds: int,
    resamples: int,
    seed: int,
) -> Control:
    """Predicts every fold from the others and scores all: `predict(train, test, target, num_names)`."""
    names, target = np.unique(name, return_inverse=True)
    groups, owner = np.unique(group, return_inverse=True)
    confusions = np.zeros((len(groups), len(names), len(names)))
    rankings: list[list[metrics.Ranking]] = [[] for _ in names]
    for train, test in _folds(target, owner, folds, seed):
        probabilities = predict(train, test, target, len(names))
        np.add.at(confusions, (owner[test], target[test], probabilities.argmax(axis=1)), 1)
        for index, of_name in enumerate(rankings):
            of_name.append(metrics.rank(probabilities[:, index], target[test] == index, owner[test]))

    def statistic(multiplicity: np.ndarray) -> dict[str, np.ndarray]:
        confusion = np.tensordot(multiplicity, confusions, axes=1)
        recall = metrics.recall(confusion)
        areas = [_area_within_folds(of_name, multiplicity) for of_name in rankings]
        return {
            "accuracy": metrics.accuracy(confusion),
            "balanced_accuracy": metrics.macro(recall),
            "auroc": np.mean(areas, axis=0),
        } | {f"recall {each}": recall[:, index] for index, each in enumerate(names)}

    values = {figure: float(value[0]) for figure, value in statistic(np.ones((1, len(groups)))).items()}
    estimates = {figure: bootstrap.Estimate(value, None) for figure, value in values.items()}
    if len(groups) >= bootstrap.MIN_GROUPS:
        parts = [statistic(drawn) for drawn in bootstrap.multiplicities(len(groups), resamples, seed, 100)]
        for figure, value in values.items():
            resampled = np.concatenate([part[figure] for part in parts])
            estimates[figure] = bootstrap.Estimate(value, bootstrap.interval(resampled))
    return Control(
        names=tuple(str(each) for each in names),
        accuracy=estimates["accuracy"],
        balanced_accuracy=estimates["balanced_accuracy"],
        auroc=estimates["auroc"],
        recall={str(each): estimates[f"recall {each}"] for each in names},
        majority=float(np.bincount(target).max() / len(target)),
        n=len(target),
        n_groups=len(groups),
        left_out=left_out,
    )


def _folds(target: np.ndarray, owner: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test indices of folds that share no group, names spread evenly."""
    from sklearn import model_selection  # takes more than a second

    # No more folds than the rarest name has groups, or one fold's training part could lack it.
    groups_of_name = [len(np.unique(owner[target == index])) for index in range(target.max() + 1)]
    splitter = model_selection.StratifiedGroupKFold(min(folds, *groups_of_name), shuffle=True, random_state=seed)
    return [(train, test) for train, test in splitter.split(target, target, owner) if len(test)]


def _area_within_folds(
    rankings: list[metrics.Ranking], multiplicity: Num[np.ndarray, "resamples groups"]
) -> Float[np.ndarray, " resamples"]:
    """Part of the pairs within folds that is ranked right, ties half; nan where no fold holds both sides."""
    right, pairs = np.zeros(len(multiplicity)), np.zeros(len(multiplicity))
    for ranking in rankings:
        counts = metrics.count(ranking, multiplicity)
        here = counts.true_positives[:, -1] * counts.false_positives[:, -1]
        right += np.nan_to_num(metrics.auroc(counts)) * here
        pairs += here
    return np.divide(right, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
