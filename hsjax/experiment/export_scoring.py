"""The test part as a device gets it: exported files are scored on recordings, through `predict`."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import soundfile
from jaxtyping import Float32, Int64

from hsjax import predict
from hsjax.config import ConfigDict
from hsjax.experiment.context import Context
from hsjax.runtime import Sidecar, isolated
from hsjax.types import Predictions, Recording, UserError


class Tested(NamedTuple):
    """A recording of the test part, and the rows of the network's predictions that it has.

    Attributes:
      path: of the file.
      rows: among the predictions.
      beats: of an ECG, which of its labelled beats these rows are; None for a sound, which is one row.
      reading: of an ECG, its lead and where its annotated beats are: file and network see the same.
    """

    path: pathlib.Path
    rows: Int64[np.ndarray, " n"]
    beats: Int64[np.ndarray, " n"] | None = None
    reading: predict.Reading | None = None


def tested(context: Context, stage: ConfigDict, reference: Predictions) -> list[Tested]:
    """The recordings of the test part as files; rendered ones are written, in float, as they are.

    Args:
      context: of the run.
      stage: the export stage.
      reference: the network's predictions of that part, of recordings, or of the beats of ECGs in the order of the
        split.
    """
    places = {recording.id: index for index, recording in enumerate(context.dataset.recordings)}
    names, first, index = np.unique(reference.recording, return_index=True, return_inverse=True)
    found = []
    for number in np.argsort(first):
        rows, place = np.flatnonzero(index == number), places[str(names[number])]
        if context.labelled:
            found.append(Tested(_file(context, place), rows))
            continue
        recording = context.dataset.recordings[place]
        assert recording.beats is not None
        examples = context.split(stage.protocol, stage.fold).test[rows]
        beats = np.searchsorted(np.flatnonzero(context.examples.recording == place), examples)
        reading = predict.Reading(lead=recording.metadata.get("lead"), beats=recording.beats())
        found.append(Tested(_file(context, place), rows, beats, reading))
    return found


def _file(context: Context, place: int) -> pathlib.Path:
    recording = context.dataset.recordings[place]
    if recording.path is not None:
        return recording.path
    suffix = ".wav" if recording.beats is None else ".csv"
    path = context.workdir / "recordings" / f"{recording.id}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    samples = recording.read()
    if recording.beats is None:
        soundfile.write(partial, samples, recording.sample_rate, format="WAV", subtype="FLOAT")
    else:
        _write_table(partial, samples, recording)
    partial.replace(path)
    return path


def _write_table(path: pathlib.Path, samples: Float32[np.ndarray, " time"], recording: Recording) -> None:
    """An ECG as a table that `predict` reads: seconds and millivolts, to the last bit of float32."""
    table = np.stack([np.arange(len(samples)) / recording.sample_rate, samples], axis=1)
    header = f"time,{recording.metadata.get('lead', 'ECG')}"
    np.savetxt(path, table, ("%.9f", "%.9g"), ",", header=header, comments="")


def score(
    apart: isolated.Isolated,
    file: pathlib.Path,
    described: Sidecar,
    recordings: list[Tested],
    like: Predictions,
    advance: Callable[[int], None],
) -> Predictions:
    """Predictions of an exported file from recordings through `predict`: decoding, resampling, aggregation and all.

    Args:
      apart: runs the file.
      file: the model.
      described: its sidecar.
      recordings: of the test part.
      like: the network's predictions.
      advance: told of every recording.

    Raises:
      UserError: `predict` cannot run the file, or cuts another number of beats than training did, or elsewhere.
    """
    probabilities = np.empty_like(like.probabilities)
    for one in recordings:
        if one.reading is None or one.beats is None:
            rows = [apart.call(predict.of_file, file, 1, one.path).probabilities]
        else:
            beats = apart.call(predict.of_record, file, 1, one.path, one.reading).beats
            _require_same_beats(described, one, like.start[one.rows], beats)
            rows = [beats[place].probabilities for place in one.beats]
        probabilities[one.rows] = [[row[label] for label in like.classes] for row in rows]
        advance(1)
    key = dataclasses.replace(like.key, variant=str(described.variant), input=str(described.input))
    return dataclasses.replace(like, key=key, probabilities=probabilities)


def _require_same_beats(described: Sidecar, one: Tested, start: np.ndarray, beats: tuple[predict.Beat, ...]) -> None:
    """That the windows begin where those of the network's predictions do."""
    assert one.beats is not None
    half = described.window / 2 / described.sample_rate
    same = one.beats.max(initial=-1) < len(beats)
    if same:
        times = np.array([beats[place].time for place in one.beats])
        same = bool((np.abs(times - half - start) < 0.5 / described.sample_rate).all())
    if not same:
        raise UserError(
            f"{one.path}: predict cuts other beats than those the network was tested on; run the stage anew"
        )
