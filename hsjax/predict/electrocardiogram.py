"""What a model says of every heartbeat of an ECG record."""

import collections
import dataclasses
import pathlib
import time
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from hsjax.data import audio, ecg_files, r_peaks
from hsjax.data import beats as beat_windows
from hsjax.predict.predictor import Predictor, decide
from hsjax.runtime.sidecar import Sidecar
from hsjax.types import Beats, UserError


@dataclasses.dataclass(frozen=True)
class Beat:
    """One heartbeat.

    Attributes:
      time: of its R peak, seconds from the beginning of the record.
      label: the predicted class.
      probabilities: by label.
    """

    time: float
    label: str
    probabilities: dict[str, float]


@dataclasses.dataclass(frozen=True)
class RecordPrediction:
    """What a model says of one record.

    Attributes:
      label: the class of most beats, of several the first in the sidecar: how the heart beats for the most part. What
        is rare and matters is in `counts`.
      counts: beats of each class, by label.
      beats: in order of time.
      lead: that was looked at, empty where a table does not name it.
      milliseconds: from the file to the labels.
      decode_milliseconds: the part of it that reading the file took.
    """

    label: str
    counts: dict[str, int]
    beats: tuple[Beat, ...]
    lead: str
    milliseconds: float
    decode_milliseconds: float


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a record is to be read.

    Attributes:
      lead: name of the one to look at; None for the sidecar's.
      sample_rate: Hz, of a table that does not say so.
      beats: where the R peaks are, at the record's own rate; those without a label are neighbours alone. None to have
        them found.
    """

    lead: str | None = None
    sample_rate: int | None = None
    beats: Beats | None = None


def of_record(predictor: Predictor, path: pathlib.Path, reading: Reading) -> RecordPrediction:
    """Predicts every beat of a WFDB record or of a CSV table, see `ecg_files.read`.

    The lead is resampled to the model's rate and cut as in training: mean 0 and deviation 1 over the record, a window
    around every R peak, 0 where another beat is nearer. R peaks are found over the whole record (`r_peaks`).

    Raises:
      UserError: the model takes sound, the file cannot be read, has no such lead or no beats, or its beats are not
        within it.
    """
    began = time.perf_counter()
    described = predictor.sidecar
    if described.beats is None:
        raise UserError(f"{described.model} takes sound, not an ECG")
    lead = ecg_files.read(path, (reading.lead,) if reading.lead else described.beats.leads, reading.sample_rate)
    decoding = time.perf_counter() - began
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused
        samples = audio.resample(lead.samples.astype(np.float32), lead.sample_rate, described.sample_rate)
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: samples of {lead.name or 'its lead'} are too large for float32: give millivolts")
    beats = _found(samples, described) if reading.beats is None else reading.beats
    if not len(beats.index):
        raise UserError(
            f"{path}: no heartbeat was found in {len(samples) / described.sample_rate:.1f} s of {lead.name}"
        )
    try:
        if reading.beats is not None:
            beats = beat_windows.at_rate(beats, lead.sample_rate, described.sample_rate)
        half_seconds = described.window / 2 / described.sample_rate
        windows, _, start = beat_windows.cut_beats(samples, beats, described.sample_rate, half_seconds)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    each = _beats(predictor.window_probabilities(windows), start + described.window // 2, described)
    counted = collections.Counter(beat.label for beat in each)
    counts = {label: counted[label] for label in described.labels}
    return RecordPrediction(
        label=max(counts, key=counts.__getitem__),
        counts=counts,
        beats=each,
        lead=lead.name,
        milliseconds=1e3 * (time.perf_counter() - began),
        decode_milliseconds=1e3 * decoding,
    )


def _found(samples: Float[np.ndarray, " time"], described: Sidecar) -> Beats:
    """R peaks; every one is to have a window."""
    try:
        index = r_peaks.r_peaks(samples, described.sample_rate)
    except ValueError as error:
        raise UserError(f"{described.model} takes an ECG at {described.sample_rate} Hz: {error}") from error
    unknown = np.full(len(index), "?")
    return Beats(index, unknown, unknown)


def _beats(
    probabilities: Float[np.ndarray, "beats classes"], peak: Int[np.ndarray, " beats"], described: Sidecar
) -> tuple[Beat, ...]:
    rows: Sequence[dict[str, float]] = [dict(zip(described.labels, row, strict=True)) for row in probabilities.tolist()]
    times = (peak / described.sample_rate).tolist()
    return tuple(Beat(at, decide(row, described), row) for at, row in zip(times, rows, strict=True))
