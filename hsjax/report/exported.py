"""One exported network with all that its run knows of it."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from hsjax.config import AT, StageKind
from hsjax.report import published
from hsjax.report.run import Check, Run
from hsjax.runtime import Sidecar, Variant, sidecar
from hsjax.types import ResultRow, UserError

EXPORTS = "exports"

Form = tuple[str, str]
"""Variant and input of a file, as in results.csv; of the network itself `run.NETWORK` and features."""


@dataclasses.dataclass(frozen=True)
class Exported:
    """One network and the files made of it.

    Attributes:
      run: that made it.
      stage: that trained it.
      deployed: the settings of the stage that exported it.
      directory: of the files.
    """

    run: Run
    stage: str
    deployed: Mapping[str, Any]
    directory: pathlib.Path

    @property
    def protocol(self) -> str:
        """That it was trained under."""
        return self.deployed["protocol"]

    @property
    def fold(self) -> int | str:
        """Of that protocol."""
        return self.deployed["fold"]

    @property
    def trained(self) -> Mapping[str, Any]:
        """The settings of the stage that trained it."""
        return self.run.config["stages"][self.stage.partition(AT)[0]]

    @functools.cached_property
    def _rows(self) -> dict[tuple[Form, str, str, str], ResultRow]:
        key = (self.protocol, self.stage, self.deployed["seed"], self.fold)
        rows = (*self.run.results, *self.run.folds)
        its = (row for row in rows if (row.protocol, row.stage, row.seed, row.fold) == key)
        return {((row.variant, row.input), row.unit, row.metric, row.label): row for row in its}

    @property
    def unit(self) -> str:
        """Of what the files were scored on: recordings, or segments where only beats have labels."""
        return self.run.unit

    @functools.cached_property
    def forms(self) -> list[Form]:
        """Of the files, whether they passed the gate or not."""
        return [_form(path.name) for path in self._files]

    @functools.cached_property
    def _files(self) -> list[pathlib.Path]:
        paths = (pathlib.PurePosixPath(check.model) for check in self.run.checks)
        names = dict.fromkeys(path.name for path in paths if path.parts[-2] == self.stage)
        return [self.directory / name for name in names if _form(name)[0] in tuple(Variant)]  # not the front end

    @functools.cached_property
    def sidecars(self) -> dict[Form, Sidecar]:
        """Of the files that are what their sidecars say; others must not be used."""
        found = {}
        for form, file in zip(self.forms, self._files, strict=True):
            try:
                found[form] = sidecar.read(file)
            except UserError:
                continue  # the gate has told
        return found

    def find(self, form: Form, metric: str, unit: str | None = None, label: str = "") -> ResultRow | None:
        """A figure of the test part, or with `run.MODEL` as unit of the file itself; None where there is none."""
        return self._rows.get((form, self.unit if unit is None else unit, metric, label))

    def checks(self, form: Form) -> list[Check]:
        """Of the parity gate, of one file."""
        stem = "-".join(form)
        paths = ((check, pathlib.PurePosixPath(check.model)) for check in self.run.checks)
        return [check for check, path in paths if (path.parts[-2], path.stem) == (self.stage, stem)]

    @functools.cached_property
    def division(self) -> Mapping[str, Any]:
        """What data.json says of the fold: parts, notes, warnings."""
        assert self.run.data is not None
        folds = self.run.data["folds"]
        return next(one for one in folds if (one["protocol"], one["fold"]) == (self.protocol, self.fold))

    @functools.cached_property
    def verdict(self) -> str:
        """How much of what was tested was known from training, as a sentence."""
        assert self.run.data is not None
        sentences = zip(self.run.data["folds"], published.verdicts(self.run), strict=True)
        return next(sentence for fold, sentence in sentences if fold is self.division)


def _form(name: str) -> Form:
    variant, _, kind = pathlib.PurePosixPath(name).stem.rpartition("-")
    return variant, kind


def models(run_dir: pathlib.Path, run: Run) -> Iterator[Exported]:
    """Every network that a run has exported."""
    for name in run.config["pipeline"]:
        stage = run.config["stages"][name]
        for source in stage["models"] if stage["kind"] == StageKind.EXPORT.value else ():
            yield Exported(run, source, stage, run_dir / EXPORTS / source)
