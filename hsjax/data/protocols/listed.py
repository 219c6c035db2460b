"""Splits that somebody else has made: one file of recording ids for each part."""

import pathlib
from collections.abc import Container, Iterable

import ml_collections
import numpy as np

from hsjax.data.protocols import fractions
from hsjax.types import Dataset, Examples, Part, Split, UserError

_PARTS = ("train", "validation", "test", "pretrain")  # the last one need not be
_LARGEST = 2**24  # bytes: a list of a million ids


def splits(
    examples: Examples, dataset: Dataset, settings: ml_collections.ConfigDict, rng: np.random.Generator
) -> tuple[Split, ...]:
    """The split that three lists name. Recordings of no list are in no part.

    Lists may share groups (Sriram et al.'s do): `python -m hsjax.data audit` says how many.

    Args:
      examples: of `dataset`.
      dataset: its recordings' ids are what the lists hold.
      settings: `train`, `validation`, `test` and, where there is one, `pretrain`: paths of text files, one id a line.
      rng: not used.

    Raises:
      UserError: a list cannot be read, names no recording of the dataset, or shares one with another list.
    """
    del rng
    place = {recording.id: index for index, recording in enumerate(dataset.recordings)}
    part = np.full(len(dataset.recordings), -1)
    found = {}
    for index, name in enumerate(_PARTS):
        if name == Part.PRETRAIN and not settings[name]:
            continue
        ids = read(settings[name], f"config.split.listed.{name}")
        present = [place[one] for one in known(ids, place)]
        if not present:
            raise UserError(f"{settings[name]} names no usable recording of {dataset.name}: give another list")
        twice = [dataset.recordings[one].id for one in present if part[one] >= 0]
        if twice:
            raise UserError(f"{settings[name]} and another list both name {twice[0]}: a recording has one part")
        part[present] = index
        found[name] = f"{name} {len(present)} of {len(ids)}"
    of_example = part[examples.recording]
    chosen = np.flatnonzero(of_example >= 0)
    note = f"recordings of the lists that are usable here: {', '.join(found.values())}"
    return (fractions.split(chosen, of_example[chosen], note=note),)


def read(path: str, key: str) -> list[str]:
    """The distinct ids of a list, in its order.

    Args:
      path: a text file, one id a line; what follows a comma does not belong to it.
      key: of the config, for the error.

    Raises:
      UserError: there is no such file, or it is no list.
    """
    if not path or not pathlib.Path(path).is_file():
        raise UserError(f"{key} is {path!r}, which is no file: give a text file with one recording id a line")
    if pathlib.Path(path).stat().st_size > _LARGEST:
        raise UserError(f"{path} is too large to be a list of ids: give a text file with one recording id a line")
    text = pathlib.Path(path).read_text(encoding="utf-8-sig", errors="replace")
    ids = (line.split(",")[0].strip() for line in text.splitlines())
    return list(dict.fromkeys(one for one in ids if one))


def known(ids: Iterable[str], dataset_ids: Container[str]) -> list[str]:
    """Those ids of a list that are a dataset's, as they are or without the `.wav` that lists of files have."""
    names = (one if one in dataset_ids else one.removesuffix(".wav") for one in ids)
    return [one for one in names if one in dataset_ids]
