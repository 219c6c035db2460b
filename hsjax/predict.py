"""Recordings and an exported model to probabilities: `python -m hsjax.predict MODEL FILE...`.

Runs on the device: NumPy, an audio decoder and the model's runtime, no jax, flax or tensorflow.
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import sys
import time
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hsjax import runtime
from hsjax.data import audio
from hsjax.runtime import isolated, sidecar
from hsjax.types import UserError

_FAILED_FILES, _BAD_MODEL = 1, 2


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model says of one recording.

    Attributes:
      label: the predicted class.
      probabilities: of the recording, by label: the mean over its windows.
      windows: how many there were.
      milliseconds: from the file (or, without one, from the samples) to the label.
      decode_milliseconds: the part of it that decoding took, 0 without a file.
    """

    label: str
    probabilities: dict[str, float]
    windows: int
    milliseconds: float
    decode_milliseconds: float


class Predictor:
    """An exported model with everything that belongs before and behind it.

    Attributes:
      sidecar: its description.
    """

    def __init__(self, model: pathlib.Path, threads: int = 1, kernels: runtime.Kernels = runtime.Kernels.VECTOR):
        """Loads a model.

        Args:
          model: a `.tflite` or `.onnx` file with its sidecar beside it.
          threads: how many the runtime may use.
          kernels: for LiteRT.

        Raises:
          UserError: a file is missing, damaged, swapped or does not fit the others.
        """
        self.sidecar = sidecar.read(model)
        self._model = runtime.load(model, threads, kernels)
        front_end = self.sidecar.front_end
        self._front_end = runtime.load(model.parent / front_end.file, threads, kernels) if front_end else None
        first = self._front_end or self._model
        _require_shape(first.path, "inputs", first.input_shape, (self.sidecar.window,))
        if self._front_end:
            _require_shape(first.path, "outputs", first.output_shape, self._model.input_shape)
        _require_shape(model, "outputs", self._model.output_shape, (len(self.sidecar.labels),))

    def window_probabilities(self, windows: Float[np.ndarray, "n window"]) -> Float[np.ndarray, "n classes"]:
        """Probabilities of windows of `sidecar.window` samples at `sidecar.sample_rate`, full scale 1.

        Raises:
          UserError: the model's outputs are not finite.
        """
        features = self._front_end.run(windows) if self._front_end else windows
        logits = self._model.run(features).astype(np.float64)
        if not np.isfinite(logits).all():
            raise UserError(f"{self._model.path} puts out values that are not finite for these samples")
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)

    def samples(self, samples: Float[np.ndarray, " time"], sample_rate: int) -> Prediction:
        """Predicts from decoded samples, full scale 1, at any rate (Hz).

        Raises:
          UserError: no samples, or not finite ones.
        """
        return self._predict(samples, sample_rate, time.perf_counter(), 0.0)

    def file(self, path: pathlib.Path) -> Prediction:
        """Predicts from an audio file of any rate, depth and number of channels.

        Raises:
          UserError: the file cannot be decoded, or as `samples`.
        """
        began = time.perf_counter()
        samples, sample_rate = audio.decode(path)
        return self._predict(samples, sample_rate, began, time.perf_counter() - began)

    def _predict(
        self, samples: Float[np.ndarray, " time"], sample_rate: int, began: float, decoding: float
    ) -> Prediction:
        if not len(samples) or not np.isfinite(samples).all():
            raise UserError("a recording needs at least one sample, and finite ones only")
        described = self.sidecar
        resampled = audio.resample(samples, sample_rate, described.sample_rate)
        if not len(resampled):
            raise UserError(f"{len(samples)} samples at {sample_rate} Hz are too few to be resampled")
        windows, _ = audio.windows(resampled, described.window, described.hop)
        # The mean in float64 and rounded once, as recordings are scored in `evaluate`.
        mean = self.window_probabilities(windows).mean(axis=0, dtype=np.float64).astype(np.float32)
        probabilities = dict(zip(described.labels, mean.tolist(), strict=True))
        return Prediction(
            label=decide(probabilities, described),
            probabilities=probabilities,
            windows=len(windows),
            milliseconds=1e3 * (time.perf_counter() - began),
            decode_milliseconds=1e3 * decoding,
        )


def decide(probabilities: dict[str, float], described: sidecar.Description) -> str:
    """The label that probabilities mean: `positive` from `threshold` on, or the likeliest where there is none."""
    if described.threshold is None or described.positive is None:
        return max(probabilities, key=probabilities.__getitem__)
    if probabilities[described.positive] >= described.threshold:
        return described.positive
    return next(label for label in described.labels if label != described.positive)


def _require_shape(path: pathlib.Path, what: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise UserError(f"{path} has {what} of shape {shape}, its sidecar means {expected}: export both again")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one JSON object a file and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m hsjax.predict",
        description="Classifies recordings with an exported model.",
        epilog="One JSON object a file goes to standard output: file, label, probabilities, windows, milliseconds and "
        "decode_milliseconds (the part of them that decoding took), or file and error. The exit code is 0 if all "
        f"files could be read, {_FAILED_FILES} if some could not, and {_BAD_MODEL} if the model cannot be used.",
    )
    parser.add_argument("model", type=pathlib.Path, help=".tflite or .onnx file with its .json beside it")
    parser.add_argument(
        "files", type=pathlib.Path, nargs="+", metavar="file", help="WAV, FLAC or OGG, any rate, depth and channels"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads the model may use (default: %(default)s)")
    flags = parser.parse_args(arguments)
    if flags.threads < 1:
        parser.error("--threads has to be at least 1")
    failed = False
    with isolated.Isolated() as apart:
        try:
            apart.call(load, flags.model, flags.threads)
        except UserError as error:
            print(_told(error, flags.model), file=sys.stderr)
            return _BAD_MODEL
        for file in flags.files:
            try:
                line = {"file": str(file), **dataclasses.asdict(apart.call(of_file, flags.model, flags.threads, file))}
            except UserError as error:
                line = {"file": str(file), "error": _told(error, flags.model)}
                failed = True
            print(json.dumps(line), flush=True)
    return _FAILED_FILES if failed else 0


@functools.lru_cache(maxsize=1)
def _loaded(model: pathlib.Path, threads: int) -> Predictor:
    return Predictor(model, threads)


def load(model: pathlib.Path, threads: int) -> None:
    """Loads a model for `of_file`; both are for `runtime.isolated`.

    Raises:
      UserError: as `Predictor`.
    """
    _loaded(model, threads)


def of_file(model: pathlib.Path, threads: int, recording: pathlib.Path) -> Prediction:
    """What a model says of a recording; the model stays loaded for the next one.

    Raises:
      UserError: as `Predictor`, or as its `file`.
    """
    return _loaded(model, threads).file(recording)


def _told(error: UserError, model: pathlib.Path) -> str:
    if isinstance(error, isolated.Died):
        return f"the process that ran {model} {error.how}: the file is damaged or made to do harm, export it again"
    return str(error)


if __name__ == "__main__":
    from hsjax import predict  # by this name the other process finds what it is to call

    sys.exit(predict.main())
