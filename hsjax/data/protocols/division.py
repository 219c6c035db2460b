"""Which examples train, validate and test: the paper's way and the way without leakage."""

import enum
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float, Int

from hsjax.types import Dataset, Examples, Split, UserError

_PARTS = ("training", "validation", "test")
_SHOWN_IDS = 5


class Protocol(enum.StrEnum):
    """How examples are divided.

    Attributes:
      PAPER: at random over examples, as published; windows of one recording end up on both sides.
      GROUPED: whole groups (subjects, or source recordings) only.
    """

    PAPER = "paper"
    GROUPED = "grouped"


def split(
    protocol: Protocol,
    examples: Examples,
    dataset: Dataset,
    *,
    seed: int,
    validation_fraction: float,
    test_fraction: float,
) -> Split:
    """Divides examples into training, validation and test.

    `PAPER` is a random permutation of the examples (Song et al. split them 10:1 and say no more).

    `GROUPED` keeps every group whole. Groups are taken from large to small, by powers of two of their number of
    recordings and at random within one; each goes where it most lowers the chi-squared distance between the
    parts' numbers of recordings (per sub-dataset and class, per class, in all) and the wanted ones. A part then
    without a class is given the smallest group of that class that another part can spare.

    Args:
      protocol: see `Protocol`.
      examples: of `dataset`.
      dataset: says which group each recording belongs to.
      seed: same seed, same split.
      validation_fraction: share of what is not test, 0 to 1, exclusive.
      test_fraction: share of all, 0 to 1, exclusive; of examples for `PAPER`, of recordings for `GROUPED`.

    Raises:
      UserError: a fraction is out of range, groups are unknown, or a part would lack a class.
    """
    for name, fraction in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if not 0 < fraction < 1:
            raise UserError(f"{name} is {fraction}: choose a number between 0 and 1")
    shares = np.array([(1 - test_fraction) * (1 - validation_fraction), (1 - test_fraction) * validation_fraction])
    shares = np.append(shares, test_fraction)
    rng = np.random.default_rng(seed)
    if protocol is Protocol.PAPER:
        part = _split_examples(len(examples.label), shares, rng)
    else:
        part = _split_groups(examples, dataset, shares, rng)
    for index, name in enumerate(_PARTS):
        absent = set(range(len(dataset.classes))) - set(examples.label[part == index].tolist())
        if absent:
            classes = ", ".join(dataset.classes[label] for label in sorted(absent))
            raise UserError(
                f"protocol {protocol.value} with seed {seed} leaves the {name} part without {classes}: "
                "use more recordings (of more groups), a larger fraction for that part, or another seed"
            )
    return Split(*(np.flatnonzero(part == index) for index in range(len(_PARTS))))


def _split_examples(n: int, shares: Float[np.ndarray, " parts"], rng: np.random.Generator) -> Int[np.ndarray, " {n}"]:
    """A part for every example, numbers of examples as near to the shares as whole ones can be."""
    held_out = round(n * shares[2])
    validation = round(n * shares[1])
    order = rng.permutation(n)
    part = np.zeros(n, np.int64)
    part[order[:held_out]] = 2
    part[order[held_out : held_out + validation]] = 1
    return part


def _split_groups(
    examples: Examples, dataset: Dataset, shares: Float[np.ndarray, " parts"], rng: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """A part for every example, the same one for all of a group."""
    _require_groups(dataset)
    used = np.unique(examples.recording)
    recordings = [dataset.recordings[index] for index in used]
    _, group = np.unique([recording.group for recording in recordings], return_inverse=True)
    strata = _one_hot([(recording.subset, recording.label) for recording in recordings])
    classes = _one_hot([recording.label for recording in recordings])
    properties = np.hstack([strata, classes, np.ones((len(used), 1))])
    counts = np.zeros((group.max() + 1, properties.shape[1]))
    np.add.at(counts, group, properties)
    part = _assign(counts, shares, rng)
    _share_classes(part, counts[:, strata.shape[1] : -1], rng)
    return part[group[np.searchsorted(used, examples.recording)]]


def _require_groups(dataset: Dataset) -> None:
    unknown = [recording.id for recording in dataset.recordings if recording.group is None]
    if unknown:
        shown = ", ".join(unknown[:_SHOWN_IDS]) + (", ..." if len(unknown) > _SHOWN_IDS else "")
        raise UserError(
            f"protocol {Protocol.GROUPED.value} needs to know who was recorded, but {len(unknown)} of "
            f"{len(dataset.recordings)} recordings of {dataset.name} have no group ({shown}): add them to the "
            "dataset's table of groups (records_metadata.csv for physionet2016), or run other protocols only"
        )


def _one_hot(values: Sequence[Hashable]) -> Float[np.ndarray, "recordings values"]:
    index = {value: column for column, value in enumerate(dict.fromkeys(values))}
    return np.eye(len(index))[[index[value] for value in values]]


def _assign(
    counts: Float[np.ndarray, "groups properties"], shares: Float[np.ndarray, " parts"], rng: np.random.Generator
) -> Int[np.ndarray, " groups"]:
    """A part for every group, by the greedy rule of `split`. The last property counts all recordings."""
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
    part: Int[np.ndarray, " groups"], counts: Float[np.ndarray, "groups classes"], rng: np.random.Generator
) -> None:
    """Moves single groups, in place, into parts that have none of a class. Only small datasets need it."""
    present = counts > 0
    for needy in range(len(_PARTS)):
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
