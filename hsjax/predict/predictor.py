"""An exported model with everything that belongs before and behind it."""

import dataclasses
import pathlib
import time

import numpy as np
from jaxtyping import Float

from hsjax import runtime
from hsjax.data import audio
from hsjax.runtime import aggregation, sidecar
from hsjax.types import UserError


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model says of one recording.

    Attributes:
      label: the predicted class.
      probabilities: of the recording, by label: the mean over its windows, as its sidecar says to take it.
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
    """An exported model at work on sounds; `electrocardiogram` has it work on ECGs.

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
          UserError: no samples, or not finite ones; or the model takes beats of an ECG.
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
        described = self.sidecar
        if described.beats:
            raise UserError(f"{self._model.path} takes beats of an ECG, not sound")
        if not len(samples) or not np.isfinite(samples).all():
            raise UserError("a recording needs at least one sample, and finite ones only")
        resampled = audio.resample(samples, sample_rate, described.sample_rate)
        if not len(resampled):
            raise UserError(f"{len(samples)} samples at {sample_rate} Hz are too few to be resampled")
        levelled = audio.levelled(resampled, described.level)
        if described.first:
            windows, _ = audio.first_window(levelled, described.window, described.fit)
        else:
            windows, _ = audio.windows(levelled, described.window, described.hop, described.fit)
        mean = aggregation.over_windows(self.window_probabilities(windows), described.aggregation)
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
