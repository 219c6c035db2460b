"""What the rooms hand to each other. No jax here: `predict` imports this on the device."""

import dataclasses
import enum
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np


class UserError(Exception):
    """The user can mend this; the message is one sentence that says how. `launch` prints it without a trace."""


class UnreadableFile(UserError):  # noqa: N818, the field says what is wrong, not that something is
    """No usable samples can be had from a file.

    Attributes:
      path: the file.
      reason: why, without the path.
    """

    def __init__(self, path: pathlib.Path, reason: str):
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class HeartState(enum.IntEnum):
    """Heart states in the order and with the numbers of Springer et al. (IEEE Trans. Biomed. Eng. 63:822, 2016)."""

    UNKNOWN = 0
    S1 = 1
    SYSTOLE = 2
    S2 = 3
    DIASTOLE = 4


class Level(enum.StrEnum):
    """How the level of a whole recording is normalised.

    NONE: not. PEAK: largest absolute value 1 (`librosa.util.normalize`). STANDARD: zero mean, unit variance. With the
    latter two silence stays silence, and a NaN spreads over the recording.
    """

    NONE = "none"
    PEAK = "peak"
    STANDARD = "standard"


class Aggregation(enum.StrEnum):
    """What the windows of a recording count for in its probabilities, which are a mean over them.

    MEAN: all the same. CONFIDENCE: 1 minus the entropy of the window's own probabilities over that of even ones, so
    that a window of which the network can tell nothing counts for nothing; where it can tell nothing of any, all count
    the same.
    """

    MEAN = "mean"
    CONFIDENCE = "confidence"


class Fit(enum.StrEnum):
    """Where zeros go in a recording that is shorter than a window; what is too long keeps its beginning.

    END: behind. BOTH: on both sides, the odd one behind (`librosa.util.pad_center`).
    """

    END = "end"
    BOTH = "both"


HEART_STATES = (HeartState.S1, HeartState.SYSTOLE, HeartState.S2, HeartState.DIASTOLE)
"""The known ones, in the order of a heart cycle."""


@dataclasses.dataclass(frozen=True)
class Beats:
    """The annotated beats of one ECG recording.

    Attributes:
      index: int64 (n,), sample of each R peak at the recording's own rate, ascending.
      symbol: str (n,), PhysioNet's annotation code of each.
      label: str (n,), name of each one's class; empty for a beat that the labelling leaves out, which still is a
        neighbour of others.
    """

    index: np.ndarray
    symbol: np.ndarray
    label: np.ndarray


@dataclasses.dataclass(frozen=True)
class Recording:
    """One recording, described before it is decoded.

    Attributes:
      id: unique within its dataset.
      label: name of its class.
      subset: sub-dataset, recording site or condition; empty where the dataset has none.
      subject: who was recorded, None where the distribution does not say.
      group: recordings of one group never cross splits (subject, or source recording). None where unknown.
      sample_rate: Hz, as distributed.
      num_samples: length at `sample_rate`.
      path: the file, None for recordings that are rendered.
      read: decodes the samples: float32, (time,), full scale 1. Module-level partial, so that it pickles.
      annotation: reads the true `HeartState` of every sample, int8 (time,); None where there is none.
      beats: reads the annotated beats of an ECG; None where there are none. Then each beat has its own label, and
        `label` is empty.
      metadata: what is known about the recording's circumstances (site, sex, age, device, ...), as written; never the
        diagnosis, and nothing that is empty.
      digest: SHA-256 of the decoded samples (float32, little-endian), empty where the content was not inspected.
    """

    id: str
    label: str
    subset: str
    subject: str | None
    group: str | None
    sample_rate: int
    num_samples: int
    path: pathlib.Path | None
    read: Callable[[], np.ndarray]
    annotation: Callable[[], np.ndarray] | None = None
    beats: Callable[[], Beats] | None = None
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    digest: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """A file that a dataset lists or contains, and what is wrong with it."""

    id: str
    path: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Recordings read from one distribution.

    Attributes:
      name: as in `config.data.name`.
      classes: names of the classes; a class's index is its integer label.
      positive: the class whose detection sensitivity means, for two-class datasets; None otherwise.
      synthetic: True stamps every row and page made from it.
      recordings: the usable ones, sorted by id.
      quarantined: files that no run uses.
      noted: files that are used although something is wrong with them.
      unlabelled: usable recordings without a label (theirs is empty), for pre-training; sorted by id.
      grouping: one sentence: where `Recording.group` comes from; empty where no group is known.
    """

    name: str
    classes: tuple[str, ...]
    positive: str | None
    synthetic: bool
    recordings: tuple[Recording, ...]
    quarantined: tuple[Finding, ...] = ()
    noted: tuple[Finding, ...] = ()
    unlabelled: tuple[Recording, ...] = ()
    grouping: str = ""


@dataclasses.dataclass(frozen=True)
class Examples:
    """Fixed windows cut from recordings, on the host.

    Attributes:
      samples: float32 (n, window), at the prepared sample rate.
      label: int32 (n,).
      recording: int32 (n,), index into `Dataset.recordings`.
      start: float64 (n,), seconds from the recording's beginning.
    """

    samples: np.ndarray
    label: np.ndarray
    recording: np.ndarray
    start: np.ndarray


class Part(enum.StrEnum):
    """What a stage learns from: the training part, or a second one that is kept for pre-training."""

    TRAIN = "train"
    PRETRAIN = "pretrain"


@dataclasses.dataclass(frozen=True)
class Split:
    """Indices of examples; disjoint, sorted, together at most all of them.

    Attributes:
      name: of the fold: 0 without cross-validation, else its number or the sub-dataset that is left out.
      note: what the reader of a figure should know about the parts; empty where there is nothing.
      pretrain: a second training part, for stages that ask for it; empty where there is none.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    name: int | str = 0
    note: str = ""
    pretrain: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))

    def learnt_from(self, part: Part) -> np.ndarray:
        """The examples of a part that is learnt from."""
        return self.train if part is Part.TRAIN else self.pretrain


class Batch(NamedTuple):
    """One training batch on the device. A pytree.

    Attributes:
      inputs: features, (batch, ...).
      label: int32 (batch,).
      mask: float32 (batch,), 0 for padding. Masked examples count nowhere, not even as negatives.
      weight: float32 (batch,), class or example weight; 1 where unused.
      teacher_logits: (batch, classes) where the objective distils from cached logits, else None.
      index: int32 (batch,), each example's number in the training set, -1 for padding; None outside of training. Losses
        that remember examples (CRD) file them under it.
    """

    inputs: Any
    label: Any
    mask: Any
    weight: Any
    teacher_logits: Any = None
    index: Any = None


class Outputs(NamedTuple):
    """What every network returns, so that any loss meets any model. A pytree.

    Attributes:
      logits: (batch, classes).
      embedding: (batch, dims), what the last linear layer sees.
      taps: intermediate activations by name, for losses on hints and attention.
    """

    logits: Any
    embedding: Any
    taps: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class RunKey:
    """Which model under which protocol: the key columns shared by all tidy tables.

    Attributes:
      dataset: its name, prefixed `synthetic` when it is (`synthetic` alone for the embedded one).
      stage: name of the stage that trained the model.
      fold: 0 without cross-validation, else as `Split.name`.
      split: train, validation or test.
      variant: jax, tflite-float32, tflite-int8, onnx-float32, ...
      input: samples or features.
    """

    dataset: str
    protocol: str
    stage: str
    seed: int
    fold: int | str = 0
    split: str = "test"
    variant: str = "jax"
    input: str = "features"


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Probabilities of one model for one split.

    Attributes:
      unit: segment (one row a window) or recording (already aggregated).
      recording: str (n,), recording ids.
      start: float64 (n,), seconds; 0 for unit recording.
      group: str (n,).
      label: int32 (n,).
      probabilities: float32 (n, classes).
    """

    key: RunKey
    unit: str
    classes: tuple[str, ...]
    recording: np.ndarray
    start: np.ndarray
    group: np.ndarray
    label: np.ndarray
    probabilities: np.ndarray


@dataclasses.dataclass(frozen=True)
class ResultRow:
    """One line of report/results.csv; the fields are its columns, in order.

    Attributes:
      unit: segment, recording, subject or model.
      label: a class where the metric is of one class, else empty.
      low: lower end of the 95 % interval, None where there is none.
      n: how many units the value comes from.
      n_groups: how many independent groups those units belong to.
      volatile: 1 for times and memory, which differ from run to run.
    """

    dataset: str
    protocol: str
    stage: str
    seed: int | str
    fold: int | str
    split: str
    unit: str
    variant: str
    input: str
    metric: str
    label: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    n_groups: int | None = None
    volatile: int = 0


class ErrorRow(NamedTuple):
    """One line of report/errors.csv: a unit that a model decides wrongly.

    Attributes:
      predicted: the class decided for; the columns before are those of predictions.csv.
      confidence: its probability.
      seconds: duration of the recording.
      snr_db: of the recording, see `evaluate.errors.snr_db`.
    """

    dataset: str
    protocol: str
    stage: str
    seed: int
    fold: int | str
    split: str
    unit: str
    variant: str
    input: str
    recording: str
    start: float
    group: str
    label: str
    predicted: str
    confidence: float
    seconds: float
    snr_db: float


class CurveRow(NamedTuple):
    """One line of report/curves.csv."""

    dataset: str
    protocol: str
    stage: str
    seed: int
    fold: int | str
    epoch: int
    split: str
    metric: str
    value: float
