"""What the page reads: the files of one run, and figures looked up in them."""

import csv
import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from hsjax.evaluate.rows import DIFFERENCE, MEAN
from hsjax.report import tables
from hsjax.types import CurveRow, Predictions, ResultRow, RunKey, UserError

REPORT = "report"
# Units of a row; figures of a model itself (size, latency) belong to no split.
SEGMENT, RECORDING, MODEL = "segment", "recording", "model"
_TEST = "test"
# The variant that was trained; every other one is an exported file.
_NETWORK = "jax"
_HEADLINES = ("macc", "macro_recall")
# In place of a stage, for rows that are of no model.
CONTROL = "control"
DATA, FINDINGS = "data.json", "quarantine.csv"


@dataclasses.dataclass(frozen=True)
class Check:
    """One line of report/gate.json: what was held against which limit.

    Attributes:
      model: the exported file; its last two parts are `STAGE/VARIANT-INPUT`, with or without suffix.
      check: what was looked at.
      value: what was found; text where it is no number.
      limit: what is allowed.
      passed: whether it is.
      detail: more, for readers.
    """

    model: str
    check: str
    value: int | float | str | None
    limit: int | float | str | None
    passed: bool
    detail: str


class Listed(NamedTuple):
    """One line of report/quarantine.csv."""

    id: str
    path: str
    used: bool
    reason: str


@dataclasses.dataclass(frozen=True)
class Window:
    """One example of report/examples.npz.

    Attributes:
      title: what it is of.
      samples: float32 (window,).
      sample_rate: Hz.
      spectrogram: dB, float32 (bins, frames), from 0 Hz to `max_hertz`.
      max_hertz: of the last bin.
      features: float32 (coeffs, frames), as the network sees them.
      hop_seconds: between frames.
    """

    title: str
    samples: np.ndarray
    sample_rate: float
    spectrogram: np.ndarray
    max_hertz: float
    features: np.ndarray
    hop_seconds: float


@dataclasses.dataclass(frozen=True)
class File:
    """Which model: the network that a stage trained, or a file exported from it."""

    protocol: str
    stage: str
    seed: int | str
    variant: str
    input: str

    @property
    def exported(self) -> bool:
        """Whether it is a file and not the network."""
        return self.variant != _NETWORK


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's files.

    Attributes:
      config: config.json.
      results: of the test part, and of the models themselves; of protocols with several folds their means.
      folds: of the test part of single folds, for protocols that have several.
      published: figures of papers.
      controls: what tells the label besides the disease.
      data: data.json, the dataset and its parts in numbers; None where the run has none.
      predictions: of the test part, several folds joined.
      curves: of training.
      findings: files with which something is wrong; None where the run has no list.
      checks: of the parity gate.
      examples: windows to show.
    """

    config: Mapping[str, Any]
    results: tuple[ResultRow, ...]
    folds: tuple[ResultRow, ...]
    published: tuple[ResultRow, ...]
    controls: tuple[ResultRow, ...]
    data: Mapping[str, Any] | None
    predictions: tuple[Predictions, ...]
    curves: tuple[CurveRow, ...]
    findings: tuple[Listed, ...] | None
    checks: tuple[Check, ...]
    examples: tuple[Window, ...]

    @property
    def dataset(self) -> str:
        """Name of the one dataset that the run's figures are of."""
        return self.results[0].dataset

    @property
    def synthetic(self) -> bool:
        """Whether any figure was made on synthetic data."""
        return any(row.dataset.startswith("synthetic") for row in self.results)

    @functools.cached_property
    def _index(self) -> dict[tuple, ResultRow]:
        # Of a model's own figures, which all folds share or nearly so, the first is the one that is found.
        return {(file_of(row), row.unit, row.metric, row.label): row for row in reversed(self.results)}

    def find(self, file: File, unit: str, metric: str, label: str = "") -> ResultRow | None:
        """The row of one figure, None where the run has none."""
        return self._index.get((file, unit, metric, label))

    @functools.cached_property
    def stages(self) -> list[str]:
        """Train stages that have predictions, in the order of the pipeline."""
        found = {one.key.stage for one in self.predictions}
        return [name for name in self.config["pipeline"] if name in found]

    @functools.cached_property
    def protocols(self) -> list[str]:
        """Protocols that have predictions, in the order of the config."""
        found = {one.key.protocol for one in self.predictions}
        return [name for name in self.config["protocols"] if name in found]

    @functools.cached_property
    def files(self) -> list[File]:
        """All models, and their means over seeds."""
        found = dict.fromkeys(file_of(row) for row in self.results)
        known = (file for file in found if file.stage in self.stages and file.protocol in self.protocols)
        return sorted(known, key=self._order)

    def networks(self, protocol: str) -> list[File]:
        """What the stages trained under a protocol, the mean over seeds first."""
        return [file for file in self.files if file.protocol == protocol and not file.exported]

    def leading(self, protocol: str, stage: str) -> File | None:
        """The network to show if only one is: the mean over seeds where there are several."""
        return next((file for file in self.networks(protocol) if file.stage == stage), None)

    def of_first_seed(self, protocol: str) -> list[File]:
        """Networks and exported files of the lowest seed, for pictures of single models."""
        files = [file for file in self.files if file.protocol == protocol and isinstance(file.seed, int)]
        return [file for file in files if file.seed == min(file.seed for file in files)]

    @functools.cached_property
    def _predictions(self) -> dict[tuple[File, str], Predictions]:
        return {(file_of(one.key), one.unit): one for one in self.predictions}

    def predicted(self, file: File, unit: str) -> Predictions | None:
        """One model's predictions, None where the run has none of this unit."""
        return self._predictions.get((file, unit))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.predictions[0].classes

    def units(self, protocol: str) -> list[str]:
        """Units that the networks of a protocol were scored on."""
        found = {one.unit for one in self.predictions if one.key.protocol == protocol}
        return [unit for unit in (RECORDING, SEGMENT) if unit in found]

    @functools.cached_property
    def unit(self) -> str:
        """What is scored in the first place: recordings, or segments where only these have labels."""
        return self.units(self.protocols[0])[0]

    @functools.cached_property
    def positive(self) -> str | None:
        """The class to detect, which the rows of metric `threshold` name; None for multi-class figures."""
        return next((row.label for row in self.results if row.metric == "threshold"), None)

    @functools.cached_property
    def headline_metric(self) -> str:
        """MAcc where there is a class to detect, else the macro recall: with two classes they are the same."""
        return _HEADLINES[0] if self.positive is not None else _HEADLINES[1]

    @functools.cached_property
    def differences(self) -> list[ResultRow]:
        """Differences between stages; those between a file and its network carry the name of their stage."""
        return [row for row in self.results if row.metric.startswith(DIFFERENCE) and row.stage not in self.stages]

    def warning(self, protocol: str) -> str:
        """Why intervals under a protocol are narrower than they should be; empty where they are not."""
        folds = [] if self.data is None else self.data["folds"]
        found = (one["warning"] for one in folds if one["protocol"] == protocol and one["warning"])
        return next(found, "")

    def _order(self, file: File) -> tuple:
        protocols = self.config["protocols"]
        # The mean over seeds comes before them.
        seed = file.seed if isinstance(file.seed, int) else -1
        return protocols.index(file.protocol), self.stages.index(file.stage), seed, file.variant, file.input


def file_of(row: ResultRow | RunKey) -> File:
    """Which model a row or predictions are of."""
    return File(row.protocol, row.stage, row.seed, row.variant, row.input)


def load(run_dir: pathlib.Path, published: pathlib.Path | None) -> Run:
    """Reads config.json and what there is in report/.

    Args:
      run_dir: the run's folder.
      published: figures of papers, in the columns of results.csv; None shows none.

    Raises:
      UserError: the config or a table is missing or damaged, or there is no result of a test part.
    """
    folder = run_dir / REPORT
    if not (run_dir / "config.json").is_file():
        raise UserError(f"{run_dir / 'config.json'} is missing; give the folder of a run")
    results = [row for row in tables.read_results(folder / tables.RESULTS) if row.split == _TEST or row.unit == MODEL]
    predictions = [one for one in tables.read_predictions(folder / tables.PREDICTIONS) if one.key.split == _TEST]
    if not results or not predictions:
        raise UserError(f"{folder} has no result of a test part; run the train stages first")
    several = {row.protocol for row in results if row.fold == MEAN}
    single = [row for row in results if row.protocol in several and row.fold != MEAN and row.unit != MODEL]
    return Run(
        config=json.loads((run_dir / "config.json").read_text(encoding="utf-8")),
        results=tuple(row for row in results if row not in set(single)),
        folds=tuple(single),
        published=tuple(tables.read_results(published)) if published is not None else (),
        predictions=tuple(_joined(predictions)),
        curves=tuple(tables.read_curves(folder / tables.CURVES)),
        controls=tuple(row for row in results if row.stage == CONTROL),
        data=_data(folder / DATA),
        findings=_findings(folder / FINDINGS),
        checks=_checks(folder / "gate.json"),
        examples=_examples(folder / "examples.npz"),
    )


def _joined(predictions: Iterable[Predictions]) -> Iterator[Predictions]:
    """Each model's predictions of one unit, those of its folds behind each other."""
    models: dict[tuple[File, str], list[Predictions]] = {}
    for one in predictions:
        models.setdefault((file_of(one.key), one.unit), []).append(one)
    for folds in models.values():
        yield dataclasses.replace(
            folds[0],
            recording=np.concatenate([one.recording for one in folds]),
            start=np.concatenate([one.start for one in folds]),
            group=np.concatenate([one.group for one in folds]),
            label=np.concatenate([one.label for one in folds]),
            probabilities=np.concatenate([one.probabilities for one in folds]),
        )


def _findings(path: pathlib.Path) -> tuple[Listed, ...] | None:
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(
            Listed(row["id"], row["path"], row["used"] == "yes", row["reason"]) for row in csv.DictReader(file)
        )


def _data(path: pathlib.Path) -> Mapping[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _checks(path: pathlib.Path) -> tuple[Check, ...]:
    return tuple(Check(**check) for check in json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else ()


def _examples(path: pathlib.Path) -> tuple[Window, ...]:
    if not path.is_file():
        return ()
    with np.load(path, allow_pickle=False) as stored:
        rate, hertz, hop = (float(stored[name]) for name in ("sample_rate", "max_hertz", "hop_seconds"))
        windows = zip(stored["title"], stored["samples"], stored["spectrogram"], stored["features"], strict=True)
        return tuple(
            Window(str(title), samples, rate, spectrogram, hertz, features, hop)
            for title, samples, spectrogram, features in windows
        )
