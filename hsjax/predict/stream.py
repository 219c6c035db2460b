"""A long recording, or one that does not end, window by window in bounded memory."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from hsjax.predict.predictor import Predictor, decide

# At most so many samples are resampled at once, whatever size blocks come in.
_PIECE = 2**16


class Window(NamedTuple):
    """A part of a stream.

    Attributes:
      start: first sample.
      end: the one behind the last that was recorded; zeros may follow.
      samples: (window,).
    """

    start: int
    end: int
    samples: Float32[np.ndarray, " window"]


@dataclasses.dataclass(frozen=True)
class Event:
    """What a model says of one window of a stream.

    Attributes:
      start: seconds from the beginning of the stream.
      end: likewise.
      label: the predicted class of this window alone.
      probabilities: by label.
    """

    start: float
    end: float
    label: str
    probabilities: dict[str, float]


def resampled(
    blocks: Iterable[tuple[int, Float[np.ndarray, " _"]]], to_rate: int
) -> Iterator[Float32[np.ndarray, " _"]]:
    """A stream at another rate: what `audio.resample` makes of the whole, piece by piece.

    Args:
      blocks: the rate in Hz, always the same, and samples.
      to_rate: the wanted rate, Hz.
    """
    resampler = None
    for from_rate, block in blocks:
        for start in range(0, len(block), _PIECE):
            piece = block[start : start + _PIECE].astype(np.float32, copy=False)
            if from_rate == to_rate:
                yield piece
                continue
            if resampler is None:
                import soxr  # here, because a recording at the model's own rate needs no resampler on the device

                resampler = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
            yield resampler.resample_chunk(piece)
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def windows(pieces: Iterable[Float32[np.ndarray, " _"]], window: int, hop: int) -> Iterator[Window]:
    """The windows of a stream as soon as they are whole; the same that `audio.windows` cuts of all of it.

    What is left at the end makes one more window, flush with the end, if it is at least half a window long, and none
    otherwise; a stream shorter than one window becomes one with zeros behind. A hop longer than a window skips samples.

    Args:
      pieces: samples in order.
      window: length of a window, samples.
      hop: distance of starts, samples.
    """
    held, offset, following = np.zeros(0, np.float32), 0, 0
    for piece in pieces:
        held = np.concatenate([held, piece])
        total = offset + len(held)
        while following + window <= total:
            begin = following - offset
            yield Window(following, following + window, held[begin : begin + window])
            following += hop
        # All that a window to come, or the one flush with the end, may begin with.
        offset = max(offset, total - window)
        held = held[len(held) - (total - offset) :].copy()
    total = offset + len(held)
    if not total:
        return
    if total < window:
        yield Window(0, total, np.pad(held, (0, window - total)))
    elif 2 * (total - window - (following - hop)) >= window:
        yield Window(total - window, total, held[-window:])


def event(predictor: Predictor, window: Window) -> Event:
    """What a model says of a window at its own rate.

    Raises:
      UserError: the model's outputs are not finite.
    """
    described = predictor.sidecar
    (row,) = predictor.window_probabilities(window.samples[None]).tolist()
    probabilities = dict(zip(described.labels, row, strict=True))
    rate = described.sample_rate
    return Event(window.start / rate, window.end / rate, decide(probabilities, described), probabilities)
