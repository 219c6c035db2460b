"""Whole recordings to examples of one length: decoded, resampled, conditioned, cut into windows or heart cycles."""

import concurrent.futures
import functools
from collections.abc import Callable, Iterator

import ml_collections
import numpy as np
from jaxtyping import Float32, Int64

from hsjax.config import Cut, WholeFilter, choice
from hsjax.data import audio
from hsjax.dsp.segmentation import cycles
from hsjax.prepare.condition import Conditioned, Steps, condition
from hsjax.types import Dataset, Examples, Recording, UserError

# Decoding and resampling release the GIL.
_THREADS = 4


def window_samples(config: ml_collections.ConfigDict) -> tuple[int, int]:
    """Window and hop of `config.prepare` in samples."""
    return round(config.window_seconds * config.sample_rate), round(config.hop_seconds * config.sample_rate)


def load(recording: Recording, sample_rate: int) -> Float32[np.ndarray, " time"]:
    """One recording, decoded and resampled as `predict` does it."""
    return audio.resample(recording.read(), recording.sample_rate, sample_rate)


def cut(
    recording: Recording, *, sample_rate: int, window: int, hop: int
) -> tuple[Float32[np.ndarray, "n {window}"], Int64[np.ndarray, " n"]]:
    """One recording as windows (n, window) and their starts (n,) in samples at `sample_rate`, as `predict` cuts it."""
    return audio.windows(load(recording, sample_rate), window, hop)


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
    dataset: Dataset, config: ml_collections.ConfigDict, progress: Callable[[int], None] = lambda n: None
) -> Examples:
    """All windows, or heart cycles, of all recordings of a dataset, in the order of its recordings.

    Args:
      dataset: usable recordings only; `data` has quarantined the others.
      config: `config.prepare`.
      progress: told the number of recordings newly done.

    Raises:
      UserError: the dataset has no usable recording, or one is too short for the filter.
    """
    if not dataset.recordings:
        raise UserError(f"{dataset.name} has no usable recording: `python -m hsjax.data check` lists why")
    classes = {name: index for index, name in enumerate(dataset.classes)}
    samples, starts, labels, owners = [], [], [], []
    for index, (windows, start) in enumerate(_pieces(dataset, config, progress)):
        samples.append(windows)
        starts.append(start / config.sample_rate)
        labels.append(np.full(len(windows), classes[dataset.recordings[index].label], np.int32))
        owners.append(np.full(len(windows), index, np.int32))
    return Examples(*(np.concatenate(parts) for parts in (samples, labels, owners, starts)))


def _pieces(
    dataset: Dataset, config: ml_collections.ConfigDict, progress: Callable[[int], None]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Examples of each recording and their starts in samples."""
    window, hop = window_samples(config)
    todo = steps(config)
    if todo.none:
        one = functools.partial(cut, sample_rate=config.sample_rate, window=window, hop=hop)
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            for pieces in pool.map(one, dataset.recordings):
                progress(1)
                yield pieces
        return
    decode = functools.partial(load, sample_rate=config.sample_rate)
    for conditioned in condition(dataset.recordings, decode, config.sample_rate, todo, progress):
        yield cut_cycles(conditioned, window) if todo.segment else audio.windows(conditioned.samples, window, hop)
