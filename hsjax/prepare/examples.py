"""Whole recordings to examples of one length: decoded, resampled, conditioned, cut into windows, cycles or beats."""

import collections
import concurrent.futures
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import ml_collections
import numpy as np
from jaxtyping import Float32, Int64

from hsjax.config import Cut, WholeFilter, choice
from hsjax.data import audio, beats
from hsjax.dsp.segmentation import cycles
from hsjax.prepare import cache
from hsjax.prepare.condition import Conditioned, Steps, condition
from hsjax.types import Dataset, Examples, Fit, Level, Recording, UserError

# Decoding and resampling release the GIL.
_THREADS = 4
# Recordings that may be ready before they are taken.
_AHEAD = 16
# Samples of recordings that are conditioned together and wait in memory: at 2 kHz nine hours, 256 MiB.
_TOGETHER = 2**26

Item = TypeVar("Item")
Result = TypeVar("Result")


def window_samples(config: ml_collections.ConfigDict) -> tuple[int, int]:
    """Window and hop of `config.prepare` in samples."""
    window = round(config.window_seconds * config.sample_rate)
    if choice(Cut, config.cut, "prepare.cut") is Cut.BEATS:
        window = 2 * round(config.window_seconds / 2 * config.sample_rate)  # as many on either side of the peak
    return window, round(config.hop_seconds * config.sample_rate)


def load(recording: Recording, sample_rate: int) -> Float32[np.ndarray, " time"]:
    """One recording, decoded and resampled as `predict` does it."""
    return audio.resample(cache.read(recording), recording.sample_rate, sample_rate)


def cut_cycles(
    conditioned: Conditioned, window: int
) -> tuple[Float32[np.ndarray, "n {window}"], Int64[np.ndarray, " n"]]:
    """Every whole heart cycle of a segmented recording, zero-padded to `window` samples, and their starts.

    Song et al. (EMBC 2023), section II-B. A recording in which no cycle is whole gives its first window instead, so
    that no recording is missing where whole recordings are scored.
    """
    assert conditioned.states is not None
    found = cycles.cut_cycles(conditioned.samples, conditioned.states, window)
    if len(found.start):
        return found.samples, found.start
    return audio.windows(conditioned.samples[:window], window, window)


def steps(config: ml_collections.ConfigDict) -> Steps:
    """What `config.prepare` asks to be done to whole recordings."""
    filtered = choice(WholeFilter, config.filter, "prepare.filter") is WholeFilter.ZERO_PHASE
    band = (config.band.order, float(config.band.low), float(config.band.high)) if filtered else None
    in_cycles = choice(Cut, config.cut, "prepare.cut") is Cut.CYCLES
    return Steps(band=band, remove_spikes=config.remove_spikes, segment=in_cycles)


def examples(
    dataset: Dataset,
    config: ml_collections.ConfigDict,
    progress: Callable[[int], None] = lambda n: None,
    *,
    cache_dir: pathlib.Path | None = None,
) -> Examples:
    """All windows, heart cycles or beats of all recordings of a dataset, in the order of its recordings.

    Args:
      dataset: usable recordings only; `data` has quarantined the others.
      config: `config.prepare`.
      progress: told the number of recordings newly done.
      cache_dir: where examples are kept between runs. Then they are read-only, the samples stay on the disk (a memory
        map), and of what is prepared only a part is in memory at a time. None keeps nothing, and all is in memory.

    Raises:
      UserError: the dataset has no usable recording, what is to be cut has no labels, a recording is too short for the
        filter or has changed since it was inspected, or the cache folder cannot be written to.
    """
    if not dataset.recordings:
        raise UserError(f"{dataset.name} has no usable recording: `python -m hsjax.data check` lists why")
    _require_labels(dataset, config)
    pieces = functools.partial(_pieces, dataset, config, progress)
    if cache_dir is None:
        parts = list(pieces())
        fields = ("samples", "label", "recording", "start")
        return Examples(*(np.concatenate([getattr(part, field) for part in parts]) for field in fields))
    window, _ = window_samples(config)
    prepared, kept = cache.examples(cache_dir, dataset, config, steps(config), window, pieces)
    if kept:
        progress(len(dataset.recordings))
    return prepared


def key(dataset: Dataset, config: ml_collections.ConfigDict) -> str:
    """SHA-256 over everything that `examples` depend on, 64 hexadecimal digits.

    Args:
      dataset: as of `examples`.
      config: likewise.
    """
    return cache.key(dataset, config, steps(config))


class _Piece(NamedTuple):
    """What one recording gives: windows, where they begin in samples, and the class of each by name."""

    windows: Float32[np.ndarray, "n window"]
    start: Int64[np.ndarray, " n"]
    label: Sequence[str]


def _pieces(dataset: Dataset, config: ml_collections.ConfigDict, progress: Callable[[int], None]) -> Iterator[Examples]:
    """The examples of each recording, one recording after another."""
    classes = {name: index for index, name in enumerate(dataset.classes)}
    for index, piece in enumerate(_cut_all(dataset.recordings, config, progress)):
        yield Examples(
            piece.windows,
            np.array([classes[name] for name in piece.label], np.int32),
            np.full(len(piece.windows), index, np.int32),
            piece.start / config.sample_rate,
        )


def _cut_all(
    recordings: Sequence[Recording], config: ml_collections.ConfigDict, progress: Callable[[int], None]
) -> Iterator[_Piece]:
    todo, decode = steps(config), functools.partial(load, sample_rate=config.sample_rate)
    piece = functools.partial(_piece, config)
    if todo.none:
        for made in _in_threads(lambda one: piece(one, Conditioned(decode(one), None)), recordings):
            progress(1)
            yield made
        return
    for together in _together(recordings, config.sample_rate):
        conditioned = condition(together, decode, config.sample_rate, todo, progress)
        yield from map(piece, together, conditioned)


def _piece(config: ml_collections.ConfigDict, recording: Recording, conditioned: Conditioned) -> _Piece:
    """Cuts one recording as `config.prepare` says."""
    window, hop = window_samples(config)
    level = choice(Level, config.level, "prepare.level")
    conditioned = dataclasses.replace(conditioned, samples=audio.levelled(conditioned.samples, level))
    match choice(Cut, config.cut, "prepare.cut"):
        case Cut.BEATS:
            assert recording.beats is not None
            at = beats.at_rate(recording.beats(), recording.sample_rate, config.sample_rate)
            windows, label, start = beats.cut_beats(
                conditioned.samples, at, config.sample_rate, window / 2 / config.sample_rate
            )
            return _Piece(windows, start, label.tolist())
        case Cut.CYCLES:
            windows, start = cut_cycles(conditioned, window)
        case Cut.FIRST:
            windows, start = audio.first_window(conditioned.samples, window, choice(Fit, config.fit, "prepare.fit"))
        case Cut.WINDOWS:
            windows, start = audio.windows(conditioned.samples, window, hop, choice(Fit, config.fit, "prepare.fit"))
    return _Piece(windows, start, [recording.label] * len(windows))


def _require_labels(dataset: Dataset, config: ml_collections.ConfigDict) -> None:
    """What is cut must have labels: the beats of a recording, or the recording."""
    in_beats = choice(Cut, config.cut, "prepare.cut") is Cut.BEATS
    if in_beats and any(recording.beats is None for recording in dataset.recordings):
        raise UserError(f"{dataset.name} has no annotated beats: set config.prepare.cut to windows or cycles")
    if not in_beats and not all(recording.label for recording in dataset.recordings):
        raise UserError(
            f"in {dataset.name} beats have labels, and recordings have none: set config.prepare.cut to beats"
        )


def _in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results in order; so few are made ahead that they need not fit into memory together."""
    waiting: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _together(recordings: Sequence[Recording], sample_rate: int) -> Iterator[list[Recording]]:
    """Consecutive recordings that are conditioned together."""
    chosen, total = [], 0
    for recording in recordings:
        length = recording.num_samples * sample_rate // recording.sample_rate
        if chosen and total + length > _TOGETHER:
            yield chosen
            chosen, total = [], 0
        chosen.append(recording)
        total += length
    yield chosen
