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

INTERVAL_GROUPS = 10
"""With fewer groups no interval is given."""

_FOLDS = 5
_RESAMPLES = 200


@dataclasses.dataclass(frozen=True)
class Predictability:
    """How well one feature predicts the label in groups that were not trained on.

    Attributes:
      feature: name in `features`, with `, known` behind it among the recordings of which it is known; or `ALL`.
      values: number of distinct values, a missing one counted.
      balanced_accuracy: mean of the classes' sensitivities; `chance` without any knowledge.
      balanced_accuracy_low: lower end of the 95 % interval, by bootstrap over groups; NaN for fewer than
        `INTERVAL_GROUPS`.
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

    The classifier is a random forest (scikit-learn's), classes weighted equally. A missing value is a value, and what
    is known of some recordings only is also judged among these alone. Text that is a number wherever it is known is
    taken as one.

    Args:
      dataset: with labels of recordings.
      seed: of folds and resamples.

    Returns:
      One for each feature, each feature where it is known, and `ALL`; none where a class has fewer than `MIN_GROUPS`
      groups, or there is nothing to learn from.
    """
    recordings = [recording for recording in dataset.recordings if recording.label]
    label = np.unique([recording.label for recording in recordings], return_inverse=True)[1]
    # A group of its own, which no name of a known one can equal.
    group_name = [(each.group is None, each.id if each.group is None else each.group) for each in recordings]
    number = {name: place for place, name in enumerate(dict.fromkeys(group_name))}
    group = np.array([number[name] for name in group_name], np.int64)
    table = features(recordings)
    columns = {name: _column(values) for name, values in table.items()}
    everything = np.arange(len(recordings))
    asked = []
    for name, values in table.items():
        asked.append((name, [name], everything))
        known = np.flatnonzero(np.array(values) != "")
        if len(known) < len(values):
            asked.append((f"{name}, known", [name], known))
    if len(columns) > 1:
        asked.append((ALL, list(columns), everything))
    rows = []
    for name, members, chosen in asked:
        values = len({tuple(table[member][index] for member in members) for index in chosen.tolist()})
        inputs = np.stack([columns[member][chosen] for member in members], axis=1)
        if values > 1:
            rows += _judge(name, values, inputs, label[chosen], group[chosen], seed)
    return tuple(rows)


def _judge(
    name: str,
    values: int,
    inputs: Float[np.ndarray, "n features"],
    label: Int[np.ndarray, " n"],
    group: Int[np.ndarray, " n"],
    seed: int,
) -> list[Predictability]:
    """One row, or none where a class lies in too few groups."""
    label = np.unique(label, return_inverse=True)[1]
    num_groups = [len(np.unique(group[label == one])) for one in np.unique(label)]
    if len(num_groups) < 2 or min(num_groups) < MIN_GROUPS:
        return []
    folds = _folds(label, group, min(_FOLDS, *num_groups), seed)
    fold = np.zeros(len(label), np.int64)
    for index, (_, test) in enumerate(folds):
        fold[test] = index
    probability = _held_out(inputs, label, folds, seed)
    accuracy = _with_interval(_balanced_accuracy, label, probability, fold, group, seed)
    auroc = _with_interval(_auroc, label, probability, fold, group, seed)
    chance = 1 / len(num_groups)
    return [Predictability(name, values, *accuracy, *auroc, chance, len(label), len(np.unique(group)))]


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
    metric: Callable[[np.ndarray, np.ndarray, np.ndarray], float],
    label: Int[np.ndarray, " n"],
    probability: Float[np.ndarray, "n classes"],
    fold: Int[np.ndarray, " n"],
    group: Int[np.ndarray, " n"],
    seed: int,
) -> tuple[float, float, float]:
    """A metric and the 2.5 and 97.5 % points of its distribution when groups are drawn anew; NaN for few groups."""
    value = metric(label, probability, fold)
    members: Mapping[int, np.ndarray] = {one: np.flatnonzero(group == one) for one in np.unique(group).tolist()}
    if len(members) < INTERVAL_GROUPS:
        return value, float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    names = list(members)
    values = []
    for _ in range(_RESAMPLES):
        chosen = np.concatenate([members[names[one]] for one in rng.integers(len(names), size=len(names))])
        if len(np.unique(label[chosen])) == probability.shape[1]:
            values.append(metric(label[chosen], probability[chosen], fold[chosen]))
    low, high = np.nanquantile(values, [0.025, 0.975]) if values else (np.nan, np.nan)
    return value, float(low), float(high)


def _balanced_accuracy(label: np.ndarray, probability: np.ndarray, fold: np.ndarray) -> float:
    del fold  # a decision is a decision
    right = probability.argmax(axis=1) == label
    return float(np.mean([right[label == one].mean() for one in np.unique(label)]))


def _auroc(label: np.ndarray, probability: np.ndarray, fold: np.ndarray) -> float:
    """The share of pairs of a member of a class and another recording of its fold in the right order, ties half.

    Between folds probabilities are not comparable: a model that saw fewer of a class gives it less.
    """
    areas = []
    for one in range(probability.shape[1]):
        right = pairs = 0.0
        for index in np.unique(fold):
            here = fold == index
            member = label[here] == one
            n, others = int(member.sum()), int((~member).sum())
            ranks = scipy.stats.rankdata(probability[here, one])
            right += ranks[member].sum() - n * (n + 1) / 2
            pairs += n * others
        areas.append(right / pairs if pairs else np.nan)
    return float(np.mean(areas))
