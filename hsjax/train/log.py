"""Training metrics as JSON lines, one per epoch."""

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

from hsjax.types import UserError

Row = dict[str, Any]
"""One epoch's: its number from 1, metrics of `train` and `validation` by name, and the seconds it took."""

Watch = Callable[[Row], None]
"""Told of every epoch, once and in order; of those before a training was interrupted, too."""


def unwatched(row: Row) -> None:
    """Tells nobody."""


class MetricsLog:
    """`metrics.jsonl`: rewritten whole and atomically after every epoch, so that it never holds half a line."""

    def __init__(self, path: pathlib.Path, up_to_epoch: int, writes: bool = True, watch: Watch = unwatched):
        """Continue the log at `path`; lines after `up_to_epoch` belong to work that is about to be repeated.

        Of several processes only the first one writes, and tells `watch`.
        """
        self._path = path
        self._writes = writes
        self._watch = watch
        rows = read(path) if path.exists() else []
        self._rows = [row for row in rows if row["epoch"] <= up_to_epoch]
        for row in self._rows if writes else ():
            watch(row)

    def add(self, row: Row) -> None:
        """Append one epoch's metrics."""
        self._rows.append(row)
        if not self._writes:
            return
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(row) + "\n" for row in self._rows))
        os.replace(partial, self._path)
        self._watch(row)


def read(path: pathlib.Path) -> list[Row]:
    """The rows of a log.

    Raises:
      UserError: it is damaged.
    """
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): delete the folder it is in, to train that stage anew") from error


def scalars(row: Row) -> dict[str, float]:
    """All numbers of an epoch by the names that viewers of curves group by: `train/loss`, `validation/auroc`."""
    found = {f"{split}/{name}": float(value) for split in ("train", "validation") for name, value in row[split].items()}
    return found | {"seconds": float(row["seconds"])}
