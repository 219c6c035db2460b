"""What the training part of a split already knows about its test part."""

import collections
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hsjax.data.audit import twins
from hsjax.types import Dataset, Examples, Recording, Split


class Parts(NamedTuple):
    """The recordings of a split, by id.

    Attributes:
      name: of the protocol and fold, for tables.
    """

    name: str
    train: frozenset[str]
    test: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Leakage:
    """How many of the recordings that are tested are known from training.

    Attributes:
      parts: name of the split.
      label: a class; empty for all of them together.
      n: recordings that are tested.
      recording: of these, some of whose examples are trained on.
      twin: that have a twin in training (`twins.Pair.twins`).
      group: of whose group others are in training.
      subject: of whose subject others are in training.
      any: for which one of the four holds.
      no_group: of which no group is known, so that `group` says nothing.
      no_subject: of which no subject is known, so that `subject` says nothing.
    """

    parts: str
    label: str
    n: int
    recording: int
    twin: int
    group: int
    subject: int
    any: int
    no_group: int
    no_subject: int

    @property
    def fraction(self) -> float:
        """Share of the tested recordings that leak; NaN without any."""
        return self.any / self.n if self.n else float("nan")

    @property
    def verdict(self) -> str:
        """One word and the percentage."""
        if not self.n:
            return "empty"
        if not self.any:
            return "clean"
        # Not 0 % of something that leaks, nor 100 % of something that does not quite.
        percent = min(max(100 * self.fraction, 0.1), 100.0 if self.any == self.n else 99.9)
        return f"leaky, {percent:.1f} %"


def measure(recordings: Sequence[Recording], parts: Parts, pairs: Sequence[twins.Pair]) -> tuple[Leakage, ...]:
    """Counts leaks in all, and in each class.

    Args:
      recordings: those that the parts are of; others have no group and no subject here.
      parts: ids that are no recording's are left out.
      pairs: of `twins.search`.

    Returns:
      All classes together first, then each one in order of its name; a recording without a label is in no class.
    """
    by_id = {recording.id: recording for recording in recordings}
    train = [by_id[each] for each in sorted(parts.train & by_id.keys())]
    test = [by_id[each] for each in sorted(parts.test & by_id.keys())]
    near = collections.defaultdict(set)
    for pair in pairs:
        if pair.twins:
            near[pair.first].add(pair.second)
            near[pair.second].add(pair.first)
    trained = {recording.id for recording in train}
    groups = {recording.group for recording in train} - {None}
    subjects = {recording.subject for recording in train} - {None}
    leaks = {
        recording.id: (
            recording.id in trained,
            bool(near[recording.id] & trained),
            recording.group in groups,
            recording.subject in subjects,
        )
        for recording in test
    }
    labels = sorted({recording.label for recording in test} - {""})
    chosen = [("", test), *((label, [each for each in test if each.label == label]) for label in labels)]
    return tuple(_leakage(parts.name, label, some, leaks) for label, some in chosen)


def parts(name: str, dataset: Dataset, examples: Examples, split: Split) -> Parts:
    """The recordings that the examples of a split are cut from."""

    def ids(chosen: np.ndarray) -> frozenset[str]:
        return frozenset(dataset.recordings[index].id for index in np.unique(examples.recording[chosen]))

    learnt = np.concatenate([split.train, split.pretrain])  # what a network was pre-trained on, it has seen
    return Parts(name if split.name == 0 else f"{name}, {split.name}", ids(learnt), ids(split.test))


def random_parts(recordings: Sequence[Recording], shares: tuple[float, float, float], seed: int) -> Parts:
    """The split that most papers have: recordings at random, stratified by class.

    Args:
      recordings: of a dataset.
      shares: of training, validation and test.
      seed: same seed, same split.
    """
    rng = np.random.default_rng(seed)
    train, test = set(), set()
    for label in sorted({recording.label for recording in recordings}):
        ids = sorted(recording.id for recording in recordings if recording.label == label)
        order = rng.permutation(ids).tolist()
        first, second = round(shares[0] * len(ids)), round((shares[0] + shares[1]) * len(ids))
        train |= set(order[:first])
        test |= set(order[second:])
    name = "random " + "/".join(f"{100 * share:.0f}" for share in shares)
    return Parts(name, frozenset(train), frozenset(test))


def _leakage(
    name: str, label: str, tested: Collection[Recording], leaks: Mapping[str, tuple[bool, bool, bool, bool]]
) -> Leakage:
    found = np.array([leaks[recording.id] for recording in tested], bool).reshape(-1, 4)
    recording, twin, group, subject = found.sum(axis=0).tolist()
    return Leakage(
        parts=name,
        label=label,
        n=len(tested),
        recording=recording,
        twin=twin,
        group=group,
        subject=subject,
        any=int(found.any(axis=1).sum()),
        no_group=sum(each.group is None for each in tested),
        no_subject=sum(each.subject is None for each in tested),
    )
