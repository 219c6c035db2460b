"""The dataset that a config names."""

import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import ml_collections

from hsjax.data import physionet2016
from hsjax.types import Dataset, UserError

SYNTHETIC = "synthetic"
ROOT_VARIABLE = "HSJAX_DATA"


class Reader(Protocol):
    """What the module of a real dataset offers."""

    NAME: str
    SOURCE: str
    LICENCE: str
    CITATION: str

    dataset: Callable[..., Dataset]
    """`(root, cache_dir=None, **options)`: reads the official distribution below `root`; options: `config.data.NAME`."""


READERS: Mapping[str, Reader] = {reader.NAME: reader for reader in (physionet2016,)}


def load(config: ml_collections.ConfigDict, cache_dir: pathlib.Path | None = None) -> Dataset:
    """Reads, or describes, the dataset of a run.

    Args:
      config: `config.data`.
      cache_dir: where readers keep what they found in the files; None keeps nothing.

    Raises:
      UserError: the name is unknown, or the files are not where the config says.
    """
    if config.name == SYNTHETIC:
        from hsjax.data import synthetic  # here, because it brings SciPy's filters along, which no reader needs

        return synthetic.dataset(**config.synthetic)
    if config.name not in READERS:
        raise UserError(f"there is no dataset {config.name!r}: set --config.data.name to one of {', '.join(names())}")
    return READERS[config.name].dataset(root(config.root), cache_dir)


def names() -> tuple[str, ...]:
    """All values of `config.data.name`."""
    return (SYNTHETIC, *sorted(READERS))


def root(setting: str) -> pathlib.Path:
    """The folder of the official distributions: the setting, or HSJAX_DATA where that is empty.

    Raises:
      UserError: both are empty.
    """
    setting = setting or os.environ.get(ROOT_VARIABLE, "")
    if not setting:
        raise UserError(
            f"no folder of recordings is set: set --config.data.root or {ROOT_VARIABLE} to the one that holds "
            f"{', '.join(f'{name}/ ({reader.SOURCE})' for name, reader in sorted(READERS.items()))}"
        )
    return pathlib.Path(setting).expanduser()
