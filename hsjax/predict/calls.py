"""What the command has done in a process of its own (`runtime.isolated`); the model stays loaded for the next call."""

import functools
import pathlib

from hsjax.predict import electrocardiogram, stream
from hsjax.predict.electrocardiogram import Reading, RecordPrediction
from hsjax.predict.predictor import Prediction, Predictor
from hsjax.runtime.sidecar import Sidecar


@functools.lru_cache(maxsize=1)
def _loaded(model: pathlib.Path, threads: int) -> Predictor:
    return Predictor(model, threads)


def forget() -> None:
    """Closes the model that is loaded: another file may have taken its place."""
    _loaded.cache_clear()


def load(model: pathlib.Path, threads: int) -> Sidecar:
    """Loads a model and returns its description.

    Raises:
      UserError: as `Predictor`.
    """
    return _loaded(model, threads).sidecar


def of_file(model: pathlib.Path, threads: int, recording: pathlib.Path) -> Prediction:
    """What a model says of a recording.

    Raises:
      UserError: as `Predictor`, or as its `file`.
    """
    return _loaded(model, threads).file(recording)


def of_record(model: pathlib.Path, threads: int, record: pathlib.Path, reading: Reading) -> RecordPrediction:
    """What a model says of the beats of an ECG.

    Raises:
      UserError: as `Predictor`, or as `electrocardiogram.of_record`.
    """
    return electrocardiogram.of_record(_loaded(model, threads), record, reading)


def of_window(model: pathlib.Path, threads: int, window: stream.Window) -> stream.Event:
    """What a model says of a window of a stream.

    Raises:
      UserError: as `Predictor`, or as `stream.event`.
    """
    return stream.event(_loaded(model, threads), window)
