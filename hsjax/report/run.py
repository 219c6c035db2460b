"""What the page reads: the files of one run, and figures looked up in them."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hsjax.config import averages
from hsjax.evaluate.rows import DIFFERENCE
from hsjax.report import members
from hsjax.types import CurveRow, ErrorRow, Predictions, ResultRow, RunKey

REPORT = "report"
# Units of a row; figures of a model itself (size, latency) belong to no split.
SEGMENT, RECORDING, MODEL = "segment", "recording", "model"
# The variant that was trained; every other one is an exported file.
NETWORK = "jax"
_HEADLINES = ("macc", "macro_recall")
# In place of a stage, for rows that are of no model.
CONTROL = "control"
DATA, FINDINGS = "data.json", "quarantine.csv"
# Folder of SHAP values, a file a network.
EXPLANATIONS = "explanations"
LAYERS = "layers.json"


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
class Explained:
    """One test window of a file in report/explanations, and what a network goes by in it.

    Attributes:
      stage: of the network.
      protocol: it was trained under.
      seed: of it.
      title: what the window is of.
      seconds: that it lasts.
      classes: names.
      label: index of its class.
      features: float32 (coeffs, frames), as the network sees them.
      values: SHAP values of its patches, in probability, (classes, rows, columns).
      expected: mean probabilities over the background, (classes,).
      output: the window's probabilities, (classes,).
    """

    stage: str
    protocol: str
    seed: int
    title: str
    seconds: float
    classes: tuple[str, ...]
    label: int
    features: np.ndarray
    values: np.ndarray
    expected: np.ndarray
    output: np.ndarray


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
        return self.variant != NETWORK

    @property
    def member(self) -> bool:
        """Whether it is one of a sweep."""
        return members.sweep_of(self.stage) is not None


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's files.

    Attributes:
      config: config.json.
      results: of the test part, and of the models themselves; of protocols with several folds their means.
      folds: of the test part of single folds, for protocols that have several.
      validation: results of the validation part, of stages that are compared there.
      published: figures of papers.
      controls: what tells the label besides the disease.
      data: data.json, the dataset and its parts in numbers; None where the run has none.
      predictions: of the test part, several folds joined.
      curves: of training.
      errors: units of the test part that networks decide wrongly; empty where the run does not list them.
      findings: files with which something is wrong; None where the run has no list.
      checks: of the parity gate.
      examples: windows to show.
      explained: windows with the SHAP values of networks.
      networks_drawn: what they are made of, one entry a network: model, stages, input and layers.
    """

    config: Mapping[str, Any]
    results: tuple[ResultRow, ...]
    folds: tuple[ResultRow, ...]
    validation: tuple[ResultRow, ...]
    published: tuple[ResultRow, ...]
    controls: tuple[ResultRow, ...]
    data: Mapping[str, Any] | None
    predictions: tuple[Predictions, ...]
    curves: tuple[CurveRow, ...]
    errors: tuple[ErrorRow, ...]
    findings: tuple[Listed, ...] | None
    checks: tuple[Check, ...]
    examples: tuple[Window, ...]
    explained: tuple[Explained, ...]
    networks_drawn: tuple[Mapping[str, Any], ...]

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
    def _validated(self) -> dict[tuple, ResultRow]:
        return {(file_of(row), row.unit, row.metric, row.label): row for row in self.validation}

    def find_on_validation(self, file: File, unit: str, metric: str) -> ResultRow | None:
        """As `find`, of the validation part."""
        return self._validated.get((file, unit, metric, ""))

    @functools.cached_property
    def stages(self) -> list[str]:
        """Stages, and members of sweeps, that have predictions, in the order of the pipeline."""
        return members.expanded(self.config["pipeline"], {one.key.stage for one in self.predictions})

    @functools.cached_property
    def plain_stages(self) -> list[str]:
        """Those of `stages` that are not members of a sweep."""
        return [name for name in self.stages if members.sweep_of(name) is None]

    @functools.cached_property
    def sweeps(self) -> dict[str, list[str]]:
        """Members by stage."""
        found: dict[str, list[str]] = {}
        for name in self.stages:
            stage = members.sweep_of(name)
            if stage is not None:
                found.setdefault(stage, []).append(name)
        return found

    @functools.cached_property
    def pretraining(self) -> list[str]:
        """Stages that have learnt no classes: they have training curves, but no predictions."""
        trained = members.expanded(self.config["pipeline"], {row.stage for row in self.curves})
        return [name for name in trained if name not in self.stages]

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

    def summarised(self, protocol: str) -> list[File]:
        """As `networks`, of a member with several seeds the mean alone."""
        networks = self.networks(protocol)
        means = {file.stage for file in networks if not isinstance(file.seed, int)}
        return [file for file in networks if not (file.member and file.stage in means and isinstance(file.seed, int))]

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
        found = [row for row in self.results if row.metric.startswith(DIFFERENCE) and row.stage not in self.stages]
        return [row for row in found if row.variant == NETWORK]

    def between(self, name: str, file: File, unit: str, metric: str) -> ResultRow | None:
        """How much better than a stage's network another one, or a file of it, is on the same examples.

        Args:
          name: "a - b".
          file: of stage a.
          unit: of the examples.
          metric: that differs.
        """
        wanted = (name, file.protocol, file.variant, file.input, unit, f"{DIFFERENCE}{metric}", "")
        found = (
            row
            for row in self.results
            if (row.stage, row.protocol, row.variant, row.input, row.unit, row.metric, row.label) == wanted
        )
        return next(found, None)

    @functools.cached_property
    def combined(self) -> set[str]:
        """Names of differences between stages and of means over several: what rows can be of beside single stages."""
        return {row.stage for row in self.differences} | set(averages(self.config["evaluate"]["averages"]))

    def of_combined(self, name: str, protocol: str, unit: str, metric: str) -> list[ResultRow]:
        """Rows of one figure of a difference or mean, that over all seeds first."""
        wanted = (name, protocol, unit, metric, "")
        found = (row for row in self.results if (row.stage, row.protocol, row.unit, row.metric, row.label) == wanted)
        return sorted(found, key=lambda row: (isinstance(row.seed, int), str(row.seed)))

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
