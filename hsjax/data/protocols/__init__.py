"""Which examples train, validate and test: the papers' ways and the ways without leakage, by name."""

import enum
from collections.abc import Callable, Mapping

import ml_collections
import numpy as np

from hsjax.config import choice
from hsjax.data.protocols import division, grouped, inter_patient, listed, published
from hsjax.types import Dataset, Examples, Split, UserError


class Protocol(enum.StrEnum):
    """How examples are divided.

    Attributes:
      PAPER: at random over examples or recordings, as published; people end up on both sides.
      GROUPED: whole groups (subjects, or source recordings) only; with several folds, each group is tested once.
      LEAVE_ONE_SUBSET_OUT: a fold for each sub-dataset, which is the test part; groups stay whole.
      INTER_PATIENT: MIT-BIH's records DS1 for training and DS2 for the test (de Chazal et al. 2004).
      LISTED: as three files of ids say.
    """

    PAPER = "paper"
    GROUPED = "grouped"
    LEAVE_ONE_SUBSET_OUT = "leave-one-subset-out"
    INTER_PATIENT = "inter-patient"
    LISTED = "listed"

    @property
    def keeps_groups(self) -> bool:
        """True where no group is ever on two sides."""
        return self not in (Protocol.PAPER, Protocol.LISTED)

    @property
    def keeps_recordings(self) -> bool:
        """True where no recording is ever on two sides, whatever the settings."""
        return self is not Protocol.PAPER


_SHOWN_IDS = 5
_MAKERS: Mapping[Protocol, Callable[..., tuple[Split, ...]]] = {
    Protocol.PAPER: published.splits,
    Protocol.GROUPED: grouped.splits,
    Protocol.LEAVE_ONE_SUBSET_OUT: grouped.leave_one_subset_out,
    Protocol.INTER_PATIENT: inter_patient.splits,
    Protocol.LISTED: listed.splits,
}


def splits(
    protocol: str, examples: Examples, dataset: Dataset, settings: ml_collections.ConfigDict, *, seed: int
) -> tuple[Split, ...]:
    """Divides examples into training, validation and test, once for every fold.

    Args:
      protocol: a value of `Protocol`.
      examples: of `dataset`.
      dataset: says which group and sub-dataset each recording belongs to.
      settings: `config.split`.
      seed: same seed, same splits.

    Returns:
      One split, or as many as the protocol has folds; see `Split.name`.

    Raises:
      UserError: a setting is out of range, groups are unknown, the protocol is not for this dataset, or a part would
        lack a class.
    """
    kind = choice(Protocol, protocol, "protocols")
    if kind.keeps_groups:
        _require_groups(dataset, kind)
    made = _MAKERS[kind](examples, dataset, settings[kind.value], np.random.default_rng(seed))
    for split in made:
        _require_classes(split, examples, dataset, kind, seed)
    return made


def _require_groups(dataset: Dataset, protocol: Protocol) -> None:
    unknown = [recording.id for recording in dataset.recordings if recording.group is None]
    if unknown:
        shown = ", ".join(unknown[:_SHOWN_IDS]) + (", ..." if len(unknown) > _SHOWN_IDS else "")
        raise UserError(
            f"protocol {protocol.value} needs to know who was recorded, but {len(unknown)} of "
            f"{len(dataset.recordings)} recordings of {dataset.name} have no group ({shown}): set "
            "config.data.unknown_groups to twins, add the groups to the dataset's table (records_metadata.csv for "
            "physionet2016), or run other protocols only"
        )


def _require_classes(split: Split, examples: Examples, dataset: Dataset, protocol: Protocol, seed: int) -> None:
    parts = {"training": split.train, "validation": split.validation, "test": split.test}
    if len(split.pretrain):
        parts["pre-training"] = split.pretrain
    if protocol is Protocol.LEAVE_ONE_SUBSET_OUT:
        del parts["test"]  # a sub-dataset is what it is
    for name, part in parts.items():
        absent = set(range(len(dataset.classes))) - set(examples.label[part].tolist())
        if absent:
            classes = ", ".join(dataset.classes[label] for label in sorted(absent))
            fold = "" if split.name == 0 else f", fold {split.name}"
            raise UserError(
                f"protocol {protocol.value}, config.data.split_seed {seed}{fold}, leaves the {name} part without "
                f"{classes}{_scarcity(absent, examples, dataset)}: use more recordings (of more groups), other labels, "
                "a larger fraction for that part, fewer folds, or another split_seed"
            )


def _scarcity(labels: set[int], examples: Examples, dataset: Dataset) -> str:
    """How many groups hold the classes, where groups are known."""
    if any(recording.group is None for recording in dataset.recordings):
        return ""
    group = division.groups_of(dataset)[examples.recording]
    counts = (len(np.unique(group[examples.label == label])) for label in sorted(labels))
    return f" (of which there are {', '.join(map(str, counts))} groups)"
