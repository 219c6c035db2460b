"""Dividing whole groups, or single items at random, into parts of wanted sizes that look alike."""

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped

from hsjax.types import Dataset, Examples


def at_random(n: int, shares: Float[np.ndarray, " parts"], rng: np.random.Generator) -> Int[np.ndarray, " {n}"]:
    """A part for every item, sizes as near to the shares as whole numbers can be.

    Args:
      n: number of items.
      shares: of training, validation and test; they sum to 1.
      rng: of the permutation.
    """
    held_out = round(n * shares[2])
    validation = round(n * shares[1])
    order = rng.permutation(n)
    part = np.zeros(n, np.int64)
    part[order[:held_out]] = 2
    part[order[held_out : held_out + validation]] = 1
    return part


def stratified(
    label: Int[np.ndarray, " n"], shares: Float[np.ndarray, " parts"], rng: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """As `at_random`, each class by itself, so that every part has the classes' proportions."""
    part = np.zeros(len(label), np.int64)
    for value in np.unique(label):
        members = np.flatnonzero(label == value)
        part[members] = at_random(len(members), shares, rng)
    return part


def by_group(
    examples: Examples,
    dataset: Dataset,
    chosen: Int[np.ndarray, " chosen"],
    shares: Float[np.ndarray, " parts"],
    rng: np.random.Generator,
) -> Int[np.ndarray, " chosen"]:
    """A part for every chosen example, the same one for all of a group.

    Groups are taken from large to small, by powers of two of their number of items and at random within one; each goes
    where it most lowers the chi-squared distance between the parts' numbers of items (per sub-dataset and class, per
    class, in all) and the wanted ones. A part then without a class is given the smallest group of that class that
    another part can spare. Items are recordings, or examples where each example has a label of its own.

    Args:
      examples: of `dataset`.
      dataset: every recording has a group.
      chosen: which examples to divide.
      shares: of each part; they sum to 1.
      rng: of ties and order.
    """
    owner = examples.recording[chosen]
    if all(recording.label for recording in dataset.recordings):
        _, items = np.unique(owner, return_index=True)
    else:
        items = np.arange(len(chosen))
    label = examples.label[chosen[items]]
    recordings = [dataset.recordings[index] for index in owner[items]]
    _, group = np.unique(groups_of(dataset)[owner], return_inverse=True)
    strata = _one_hot([(recording.subset, int(of)) for recording, of in zip(recordings, label, strict=True)])
    classes = _one_hot(label.tolist())
    properties = np.hstack([strata, classes, np.ones((len(items), 1))])
    counts = np.zeros((group.max() + 1, properties.shape[1]))
    np.add.at(counts, group[items], properties)
    part = _assign(counts, shares, rng)
    _share_classes(part, counts[:, strata.shape[1] : -1], len(shares), rng)
    return part[group]


def groups_of(dataset: Dataset) -> Shaped[np.ndarray, " recordings"]:
    """The group of every recording, as str."""
    return np.array([str(recording.group) for recording in dataset.recordings])


def _one_hot(values: Sequence[Hashable]) -> Float[np.ndarray, "items values"]:
    index = {value: column for column, value in enumerate(dict.fromkeys(values))}
    return np.eye(len(index))[[index[value] for value in values]]


def _assign(
    counts: Float[np.ndarray, "groups properties"], shares: Float[np.ndarray, " parts"], rng: np.random.Generator
) -> Int[np.ndarray, " groups"]:
    """A part for every group, by the greedy rule of `by_group`. The last property counts all items."""
    wanted = shares[:, None] * counts.sum(axis=0)
    lacking = wanted.copy()
    order = rng.permutation(len(counts))
    _, doublings = np.frexp(counts[order, -1])
    part = np.zeros(len(counts), np.int64)
    for group in order[np.argsort(-doublings, kind="stable")]:
        gain = ((lacking**2 - (lacking - counts[group]) ** 2) / wanted).sum(axis=1)
        part[group] = gain.argmax()
        lacking[part[group]] -= counts[group]
    return part


def _share_classes(
    part: Int[np.ndarray, " groups"],
    counts: Float[np.ndarray, "groups classes"],
    num_parts: int,
    rng: np.random.Generator,
) -> None:
    """Moves single groups, in place, into parts that have none of a class. Only small datasets need it."""
    present = counts > 0
    for needy in range(num_parts):
        for label in range(counts.shape[1]):
            if present[part == needy, label].any():
                continue
            # Can be spared: another group of its part has each of its classes, too.
            spare = [
                group
                for group in rng.permutation(np.flatnonzero(present[:, label]))
                if (present[part == part[group]].sum(axis=0) > present[group]).all(where=present[group])
            ]
            if spare:
                part[min(spare, key=lambda group: counts[group].sum())] = needy
