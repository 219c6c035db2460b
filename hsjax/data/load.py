"""The dataset that a config names."""

import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import ml_collections

from hsjax.config import UnknownGroups, choice
from hsjax.data import screening
from hsjax.data.audit import grouping
from hsjax.data.readers import circor, mitdb, own, pascal, physionet2016, yaseen2018
from hsjax.types import Dataset, UserError

SYNTHETIC, SYNTHETIC_ECG = "synthetic", "synthetic_ecg"
OWN = own.NAME
ROOT_VARIABLE = "HSJAX_DATA"


class Reader(Protocol):
    """What the module of a real dataset offers."""

    NAME: str
    SOURCE: str
    LICENCE: str
    CITATION: str

    dataset: Callable[..., Dataset]
    """`(root, cache_dir=None, **options)` reads the official distribution; options as in `config.data.NAME`."""


_READERS: tuple[Reader, ...] = (circor, mitdb, own, pascal, physionet2016, yaseen2018)
READERS: Mapping[str, Reader] = {reader.NAME: reader for reader in _READERS}


def load(config: ml_collections.ConfigDict, cache_dir: pathlib.Path | None = None) -> Dataset:
    """Reads, or describes, the dataset of a run: sounds that are there once, each with its group where one is known.

    Args:
      config: `config.data`.
      cache_dir: where readers keep what they found in the files; None keeps nothing.

    Raises:
      UserError: the name is unknown, or the files are not where the config says.
    """
    if config.name == SYNTHETIC:
        from hsjax.data import synthetic  # here, because it brings SciPy's filters along, which no reader needs

        return synthetic.dataset(**config.synthetic)
    if config.name == SYNTHETIC_ECG:
        from hsjax.data import synthetic_ecg

        return synthetic_ecg.dataset(**config.synthetic_ecg)
    options = dict(config[config.name]) if config.name in config else {}
    dataset = read(config.name, config.root, cache_dir, options)
    if choice(UnknownGroups, config.unknown_groups, "data.unknown_groups") is UnknownGroups.TWINS:
        return grouping.fill(dataset, cache_dir)
    return dataset


def read(
    name: str, below: str, cache_dir: pathlib.Path | None = None, options: Mapping[str, Any] | None = None
) -> Dataset:
    """Reads a dataset from its distribution and leaves every sound in it once.

    Args:
      name: of a reader.
      below: folder of the official distributions; empty: see `root`.
      cache_dir: as in `load`.
      options: of the reader.

    Raises:
      UserError: as `load`.
    """
    if name not in READERS:
        raise UserError(f"there is no dataset {name!r}: set --config.data.name to one of {', '.join(names())}")
    # One's own recordings are where their path says.
    where = pathlib.Path() if name == OWN else root(below)
    return screening.screen(READERS[name].dataset(where, cache_dir, **(options or {})), where)


def folder(name: str) -> str:
    """Where below the root a dataset lies."""
    return getattr(READERS[name], "FOLDER", name)


def names() -> tuple[str, ...]:
    """All values of `config.data.name`."""
    return (SYNTHETIC, SYNTHETIC_ECG, *sorted(READERS))


def root(setting: str) -> pathlib.Path:
    """The folder of the official distributions: the setting, or HSJAX_DATA where that is empty.

    Raises:
      UserError: both are empty.
    """
    setting = setting or os.environ.get(ROOT_VARIABLE, "")
    if not setting:
        raise UserError(
            f"no folder of recordings is set: set --config.data.root or {ROOT_VARIABLE} to the one that holds "
            f"{', '.join(f'{folder(name)}/ ({READERS[name].SOURCE})' for name in sorted(READERS) if name != OWN)}"
        )
    return pathlib.Path(setting).expanduser()
