"""Splits that keep groups whole: one split, cross-validation, and one sub-dataset left out at a time."""

import dataclasses

import ml_collections
import numpy as np
from jaxtyping import Bool

from hsjax.data.protocols import division, fractions
from hsjax.types import Dataset, Examples, Split, UserError

FEW_GROUPS = 10
"""With fewer groups in a class a single test part shows the luck of the draw: then all groups are tested in turn."""

_FOLDS_OF_FEW = 5


def splits(
    examples: Examples, dataset: Dataset, settings: ml_collections.ConfigDict, rng: np.random.Generator
) -> tuple[Split, ...]:
    """One split into training, validation and test, or leave-groups-out cross-validation.

    Args:
      examples: of `dataset`.
      dataset: every recording has a group.
      settings: `test`, a fraction of all recordings, without meaning for several folds; `validation`, of what is not
        test; `pretrain`, of what is neither, which the training part then lacks, for a single fold; `folds`: 1, or how
        many, each group being tested in exactly one of them; 0 for 1, or for 5 where a class has fewer than
        `FEW_GROUPS` groups (or for as many as it has).
      rng: of ties and order.

    Raises:
      UserError: a fraction is out of range, or there are more folds than groups of a class.
    """
    everything = np.arange(len(examples.label))
    folds, note = (settings.folds, "") if settings.folds else _choose_folds(examples, dataset)
    if folds == 1:
        shares = fractions.shares(settings.validation, settings.test)
        if settings.pretrain:
            shares = np.array([shares[0] * (1 - settings.pretrain), *shares[1:], shares[0] * settings.pretrain])
        return (fractions.split(everything, division.by_group(examples, dataset, everything, shares, rng)),)
    if settings.pretrain:
        raise UserError(
            f"config.split.grouped.pretrain is for a single fold, there are {folds}: set it to 0, or folds to 1"
        )
    _require_groups(examples, dataset, folds)
    fold = division.by_group(examples, dataset, everything, np.full(folds, 1 / folds), rng)
    made = (_held_out(examples, dataset, fold == index, settings.validation, rng, index) for index in range(folds))
    return tuple(dataclasses.replace(split, note=note) for split in made)


def leave_one_subset_out(
    examples: Examples, dataset: Dataset, settings: ml_collections.ConfigDict, rng: np.random.Generator
) -> tuple[Split, ...]:
    """One fold for each sub-dataset, tested on all of it and trained on groups that have nothing in it.

    Args:
      examples: of `dataset`.
      dataset: every recording has a group; there are two sub-datasets or more.
      settings: `validation`, a fraction of what is not test.
      rng: of ties and order.

    Raises:
      UserError: a fraction is out of range, or there is but one sub-dataset.
    """
    subset = np.array([recording.subset for recording in dataset.recordings])[examples.recording]
    names = np.unique(subset)
    if len(names) < 2:
        raise UserError(
            f"{dataset.name} has no sub-datasets to leave out: run other protocols than leave-one-subset-out"
        )
    return tuple(
        _held_out(examples, dataset, subset == name, settings.validation, rng, str(name)) for name in names.tolist()
    )


def _held_out(
    examples: Examples,
    dataset: Dataset,
    test: Bool[np.ndarray, " n"],
    validation: float,
    rng: np.random.Generator,
    name: int | str,
) -> Split:
    """Tests on some examples and divides the groups that have none among them into training and validation."""
    shares = fractions.shares(validation, 0.5)[:2] * 2
    group = division.groups_of(dataset)[examples.recording]
    kept = ~np.isin(group, np.unique(group[test]))
    rest = np.flatnonzero(kept)
    crossing = len(np.unique(examples.recording[~kept & ~test]))
    note = f"{crossing} recordings are in no part: others of their groups are tested" if crossing else ""
    if not len(rest):
        raise UserError(f"nothing is left to train on when {name} is tested: every group has recordings in it")
    part = division.by_group(examples, dataset, rest, shares, rng)
    chosen = np.concatenate([rest, np.flatnonzero(test)])
    return fractions.split(chosen, np.concatenate([part, np.full(test.sum(), 2)]), name, note)


def _group_counts(examples: Examples, dataset: Dataset) -> dict[str, int]:
    """How many groups hold examples of each class."""
    group = division.groups_of(dataset)[examples.recording]
    return {name: len(np.unique(group[examples.label == label])) for label, name in enumerate(dataset.classes)}


def _choose_folds(examples: Examples, dataset: Dataset) -> tuple[int, str]:
    counts = _group_counts(examples, dataset)
    rarest = min(counts, key=lambda name: counts[name])
    # Below 3 groups no number of folds helps: one split then says what is lacking.
    if not 3 <= counts[rarest] < FEW_GROUPS:
        return 1, ""
    folds = min(_FOLDS_OF_FEW, counts[rarest])
    return folds, f"{folds} folds, because class {rarest} has only {counts[rarest]} groups"


def _require_groups(examples: Examples, dataset: Dataset, folds: int) -> None:
    """Every fold tests each class, and two other groups of it train and validate."""
    for name, have in _group_counts(examples, dataset).items():
        if have < max(folds, 3):
            raise UserError(
                f"class {name} of {dataset.name} has {have} groups, too few for {folds} folds: set "
                f"config.split.grouped.folds to {have if have > 2 else 1}, or add recordings of others"
            )
