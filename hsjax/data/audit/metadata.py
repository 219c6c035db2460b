"""How well the label is predicted by what is known about a recording without listening to it.

What scores above chance here is a difference between the classes' circumstances (device, site, age, length), which a
network that hears the device can learn instead of the disease.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import scipy.stats
from jaxtyping import Float, Int

from hsjax.types import Dataset, Recording

ALL = "all together"

MIN_GROUPS = 2
"""Of each class, to divide them at all."""

_FOLDS = 5
_RESAMPLES = 200


@dataclasses.dataclass(frozen=True)
class Predictability:
    """How well one feature predicts the label in groups that were not trained on.

    Attributes:
      feature: name in `features`, or `ALL`.
      values: number of distinct values, a missing one counted.
      balanced_accuracy: mean of the classes' sensitivities; `chance` without any knowledge.
      balanced_accuracy_low: lower end of the 95 % interval, by bootstrap over groups.
      balanced_accuracy_high: its upper end.
      auroc: area under the ROC curve, the mean of each class against the others; 0.5 without any knowledge.
      auroc_low: lower end of the 95 % interval.
      auroc_high: its upper end.
      chance: 1 / number of classes.
      n: recordings.
      n_groups: groups that they belong to; a recording without one is its own.
    """

    feature: str
    values: int
    balanced_accuracy: float
    balanced_accuracy_low: float
    balanced_accuracy_high: float
    auroc: float
    auroc_low: float
    auroc_high: float
    chance: float
    n: int
    n_groups: int


def features(recordings: Sequence[Recording]) -> dict[str, list[str]]:
    """Everything that is known of recordings without their sound, as text; empty where it is not known.

    `subset`, `duration` (seconds), `sample rate` (Hz), and all of `Recording.metadata`. Left out is what has one value
    only.
    """
    table = {
        "subset": [recording.subset for recording in recordings],
        "duration": [f"{recording.num_samples / recording.sample_rate:.3f}" for recording in recordings],
        "sample rate": [str(recording.sample_rate) for recording in recordings],
    }
    for name in sorted({name for recording in recordings for name in recording.metadata}):
        table[name] = [recording.metadata.get(name, "") for recording in recordings]
    return {name: values for name, values in table.items() if len(set(values)) > 1}


def predictability(dataset: Dataset, seed: int = 0) -> tuple[Predictability, ...]:
    """Predicts the label from each feature and from all together, cross-validated over groups.

    The classifier is a random forest (scikit-learn's), classes weighted equally. A missing value is a value.
    Text that is a number wherever it is known is taken as one.

    Args:
      dataset: with labels of recordings.
      seed: of folds and resamples.

    Returns:
      One for each feature and `ALL`; none where a class has fewer than `MIN_GROUPS` groups, or there is nothing to
      learn from.
    """
    recordings = [recording for recording in dataset.recordings if recording.label]
    label = np.unique([recording.label for recording in recordings], return_inverse=True)[1]
    # A group of its own, which no name of a known one can equal.
    group_name = [(each.group is None, each.id if each.group is None else each.group) for each in recordings]
    number = {name: place for place, name in enumerate(dict.fromkeys(group_name))}
    group = np.array([number[name] for name in group_name], np.int64)
    table = features(recordings)
    num_groups = [len(np.unique(group[label == one])) for one in np.unique(label)]
    if len(num_groups) < 2 or min(num_groups) < MIN_GROUPS or not table:
        return ()
    columns = {name: _column(values) for name, values in table.items()}
    sets = {name: [name] for name in columns} | ({ALL: list(columns)} if len(columns) > 1 else {})
    folds = _folds(label, group, min(_FOLDS, *num_groups), seed)
    rows = []
    for name, members in sets.items():
        inputs = np.stack([columns[member] for member in members], axis=1)
        probability = _held_out(inputs, label, folds, seed)
        accuracy = _with_interval(_balanced_accuracy, label, probability, group, seed)
        auroc = _with_interval(_auroc, label, probability, group, seed)
        values = len(set(zip(*(table[member] for member in members), strict=True)))
        rows.append(Predictability(name, values, *accuracy, *auroc, 1 / len(num_groups), len(recordings), len(number)))
    return tuple(rows)


def _column(values: Sequence[str]) -> Float[np.ndarray, " n"]:
    """A feature as numbers, NaN where missing; names are numbered from the most frequent on."""
    try:
        numbers = np.array([float(value) if value else np.nan for value in values])
        if not (np.abs(numbers) > np.finfo(np.float32).max).any():  # the trees compute in single precision
            return numbers
    except ValueError:
        pass
    frequent = collections.Counter(value for value in sorted(values) if value).most_common()
    place = {value: float(index) for index, (value, _) in enumerate(frequent)} | {"": np.nan}
    return np.array([place[value] for value in values])


def _folds(
    label: Int[np.ndarray, " n"], group: Int[np.ndarray, " n"], count: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test parts, groups whole, classes as even as they allow."""
    # Here and below, because scikit-learn takes a second to import and only this table needs it.
    from sklearn.model_selection import StratifiedGroupKFold

    return list(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(label, label, group))


def _held_out(
    inputs: Float[np.ndarray, "n features"],
    label: Int[np.ndarray, " n"],
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    seed: int,
) -> Float[np.ndarray, "n classes"]:
    """Probabilities for every recording by a classifier that saw nothing of its group."""
    from sklearn.ensemble import RandomForestClassifier

    probability = np.zeros((len(label), label.max() + 1))
    for train, test in folds:
        trees = RandomForestClassifier(
            n_estimators=30, min_samples_leaf=5, class_weight="balanced", random_state=seed, n_jobs=1
        )
        trees.fit(inputs[train], label[train])
        probability[np.ix_(test, trees.classes_)] = trees.predict_proba(inputs[test])
    return probability


def _with_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    label: Int[np.ndarray, " n"],
    probability: Float[np.ndarray, "n classes"],
    group: Int[np.ndarray, " n"],
    seed: int,
) -> tuple[float, float, float]:
    """A metric and the 2.5 and 97.5 % points of its distribution when groups are drawn anew."""
    rng = np.random.default_rng(seed)
    members: Mapping[int, np.ndarray] = {one: np.flatnonzero(group == one) for one in np.unique(group).tolist()}
    names = list(members)
    values = []
    for _ in range(_RESAMPLES):
        chosen = np.concatenate([members[names[one]] for one in rng.integers(len(names), size=len(names))])
        if len(np.unique(label[chosen])) == probability.shape[1]:
            values.append(metric(label[chosen], probability[chosen]))
    low, high = np.quantile(values, [0.025, 0.975]) if values else (np.nan, np.nan)
    return metric(label, probability), float(low), float(high)


def _balanced_accuracy(label: np.ndarray, probability: np.ndarray) -> float:
    right = probability.argmax(axis=1) == label
    return float(np.mean([right[label == one].mean() for one in np.unique(label)]))


def _auroc(label: np.ndarray, probability: np.ndarray) -> float:
    """The share of pairs of a member of a class and another recording that are in the right order, ties half."""
    areas = []
    for one in range(probability.shape[1]):
        member = label == one
        n = member.sum()
        ranks = scipy.stats.rankdata(probability[:, one])
        areas.append((ranks[member].sum() - n * (n + 1) / 2) / (n * (len(label) - n)))
    return float(np.mean(areas))
