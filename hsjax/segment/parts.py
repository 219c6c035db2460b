"""Recordings of PhysioNet 2016 by the grouped protocol, as every experiment on it divides them."""

import enum
import pathlib
from collections.abc import Sequence

import numpy as np

from hsjax import config
from hsjax.data import protocols
from hsjax.data.readers import physionet2016
from hsjax.types import Dataset, Examples, Recording, UserError


class Part(enum.StrEnum):
    """Of the recordings; a group lies in one of them."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


def load(root: pathlib.Path) -> Dataset:
    """Reads the distribution below `root`.

    Raises:
      UserError: it is not there, or has no annotations or no groups.
    """
    dataset = physionet2016.dataset(root)
    if all(recording.annotation is None for recording in dataset.recordings):
        raise UserError(
            f"{root / physionet2016.NAME} has no annotations/hand_corrected/: get them from {physionet2016.SOURCE}"
        )
    return dataset


def divide(dataset: Dataset) -> dict[Part, tuple[Recording, ...]]:
    """The recordings of each part: those that `configs/kd.py:physionet2016` trains, selects and tests on.

    The protocol divides recordings, whatever windows they are cut into, so one example each stands for them.
    """
    settings = config.base()
    settings.split.grouped.folds = 1
    index = np.arange(len(dataset.recordings), dtype=np.int32)
    label = np.array([dataset.classes.index(recording.label) for recording in dataset.recordings], np.int32)
    examples = Examples(np.zeros((len(index), 0), np.float32), label, index, np.zeros(len(index)))
    (split,) = protocols.splits("grouped", examples, dataset, settings.split, seed=settings.data.split_seed)
    return {part: select(dataset.recordings, getattr(split, part.value)) for part in Part}


def select(recordings: Sequence[Recording], indices: np.ndarray) -> tuple[Recording, ...]:
    """Those of the indices that have an annotation."""
    return tuple(recordings[index] for index in indices if recordings[index].annotation is not None)
