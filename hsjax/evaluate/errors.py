"""Which units a model gets wrong, how sure it is of that, and how noisy they are."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from hsjax.evaluate import metrics
from hsjax.evaluate.bootstrap import Decided
from hsjax.evaluate.rows import template
from hsjax.types import ErrorRow, ResultRow

RATE = "error_rate"
BY_CONFIDENCE, BY_SNR = f"{RATE}:confidence", f"{RATE}:snr"
"""`metric` of rows whose `label` is a range of confidence, or of signal-to-noise ratio in dB."""

_FRAME = 0.05  # seconds: shorter than systole and diastole, so that some frames lie between the sounds
_QUIET = 0.1  # of the frames: in every cycle as many lie between the sounds, however fast the heart
_MOST_DB = 96.0  # what 16 bits can tell apart; of a recording whose quiet frames hold nothing
_CONFIDENCES = (0.5, 0.7, 0.9)
_PARTS_OF_SNR = 3


class Sound(NamedTuple):
    """What is known of a recording's sound.

    Attributes:
      seconds: duration.
      snr_db: see `snr_db`; nan of silence.
    """

    seconds: float
    snr_db: float


def snr_db(samples: Float[np.ndarray, " time"], sample_rate: float | int) -> float:
    """Ratio of signal to noise in dB as far as one recording tells it: mean power over that of its quiet moments.

    The noise is the power that nine tenths of all frames of 50 ms exceed, the signal is the mean power beyond that.
    Noise that comes and goes counts as signal, and a murmur that never pauses as noise: it is a measure to sort
    recordings by, not one of a microphone. Frames of zeros alone are padding and left out.

    Args:
      samples: any unit; the level does not matter.
      sample_rate: Hz.

    Returns:
      At most 96 (of 16 bits); nan where all is silent or shorter than a frame.
    """
    length = max(1, round(_FRAME * sample_rate))
    frames = samples[: len(samples) // length * length].reshape(-1, length).astype(np.float64)
    power = np.square(frames).mean(axis=1)
    power = power[power > 0]
    if not len(power):
        return float("nan")
    noise = float(np.quantile(power, _QUIET))
    signal = float(power.mean()) - noise
    least, most = 10 ** (-_MOST_DB / 10), 10 ** (_MOST_DB / 10)
    return float(10 * np.log10(np.clip(signal / noise, least, most)))


def wrong(one: Decided, sounds: Mapping[str, Sound], positive: int | None) -> Iterator[ErrorRow]:
    """The units that a model decides wrongly, those it is surest of first.

    Args:
      one: predictions of any unit, with their threshold.
      sounds: by id of the recording.
      positive: index of the class to detect, None where the likeliest is decided for.
    """
    predictions = one.predictions
    decided, confidence = _decided(one, positive)
    found = np.flatnonzero(decided != predictions.label)
    for index in found[np.argsort(-confidence[found], kind="stable")]:
        recording = str(predictions.recording[index])
        yield ErrorRow(
            **dataclasses.asdict(predictions.key), unit=predictions.unit, recording=recording,
            start=float(predictions.start[index]), group=str(predictions.group[index]),
            label=predictions.classes[predictions.label[index]], predicted=predictions.classes[decided[index]],
            confidence=float(confidence[index]), seconds=sounds[recording].seconds, snr_db=sounds[recording].snr_db,
        )  # fmt: skip


def rates(one: Decided, sounds: Mapping[str, Sound], positive: int | None) -> Iterator[ResultRow]:
    """How many of the units are wrong, by the model's confidence and by the noise, of which there are three parts.

    Parts of noise are of equal size as far as recordings with equal noise allow; units of silence are in none.
    """
    predictions = one.predictions
    decided, confidence = _decided(one, positive)
    is_wrong = decided != predictions.label
    noise = np.array([sounds[str(name)].snr_db for name in predictions.recording])
    heard = noise[~np.isnan(noise)]
    bounds = np.quantile(heard, np.arange(1, _PARTS_OF_SNR) / _PARTS_OF_SNR) if len(heard) else ()
    for metric, values, edges in ((BY_CONFIDENCE, confidence, _CONFIDENCES), (BY_SNR, noise, bounds)):
        if np.isnan(values).all():
            continue
        for label, chosen in _ranges(values, [float(edge) for edge in edges]):
            if chosen.any():
                groups = len(np.unique(predictions.group[chosen]))
                blank = template(predictions.key, predictions.unit, int(chosen.sum()), groups)
                rate = float(is_wrong[chosen].mean())
                yield dataclasses.replace(blank, metric=metric, label=label, value=rate)


def _decided(one: Decided, positive: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The predicted class of each unit, and its probability."""
    probabilities = one.predictions.probabilities
    decided = metrics.decide(probabilities, one.threshold, positive)
    return decided, probabilities[np.arange(len(decided)), decided].astype(np.float64)


def _ranges(values: Float[np.ndarray, " n"], edges: Sequence[float]) -> Iterator[tuple[str, Bool[np.ndarray, " n"]]]:
    """Name of each range between the edges, lower ends included, and what lies in it."""
    for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True):
        name = (
            f"below {high:.3g}" if low == -np.inf else f"from {low:.3g}" + (f" to {high:.3g}" if high < np.inf else "")
        )
        yield name, (values >= low) & (values < high)
