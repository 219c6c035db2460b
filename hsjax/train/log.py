"""Training metrics as JSON lines, one per epoch."""

import json
import os
import pathlib
from typing import Any

from hsjax.types import UserError


class MetricsLog:
    """`metrics.jsonl`: rewritten whole and atomically after every epoch, so that it never holds half a line."""

    def __init__(self, path: pathlib.Path, up_to_epoch: int, writes: bool = True):
        """Continue the log at `path`; lines after `up_to_epoch` belong to work that is about to be repeated.

        Of several processes only the first one writes.
        """
        self._path = path
        self._writes = writes
        rows = read(path) if path.exists() else []
        self._rows = [row for row in rows if row["epoch"] <= up_to_epoch]

    def add(self, row: dict[str, Any]) -> None:
        """Append one epoch's metrics."""
        self._rows.append(row)
        if not self._writes:
            return
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(row) + "\n" for row in self._rows))
        os.replace(partial, self._path)


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a log.

    Raises:
      UserError: it is damaged.
    """
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): delete the folder it is in, to train that stage anew") from error
