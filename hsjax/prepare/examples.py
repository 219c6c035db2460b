"""Whole recordings to examples: decoded, resampled, cut into windows."""

import concurrent.futures
import functools
from collections.abc import Callable

import ml_collections
import numpy as np

from hsjax.data import audio
from hsjax.types import Dataset, Examples, Recording, UserError

# Decoding and resampling release the GIL.
_THREADS = 4


def window_samples(config: ml_collections.ConfigDict) -> tuple[int, int]:
    """Window and hop of `config.prepare` in samples."""
    return round(config.window_seconds * config.sample_rate), round(config.hop_seconds * config.sample_rate)


def cut(recording: Recording, *, sample_rate: int, window: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """One recording as windows (n, window) and their starts (n,) in samples at `sample_rate`, as `predict` cuts it."""
    samples = audio.resample(recording.read(), recording.sample_rate, sample_rate)
    return audio.windows(samples, window, hop)


def examples(
    dataset: Dataset, config: ml_collections.ConfigDict, progress: Callable[[int], None] = lambda n: None
) -> Examples:
    """All windows of all recordings of a dataset, in the order of its recordings.

    Args:
      dataset: usable recordings only; `data` has quarantined the others.
      config: `config.prepare`.
      progress: told the number of recordings done.

    Raises:
      UserError: the dataset has no usable recording.
    """
    if not dataset.recordings:
        raise UserError(f"{dataset.name} has no usable recording: `python -m hsjax.data check` lists why")
    window, hop = window_samples(config)
    one = functools.partial(cut, sample_rate=config.sample_rate, window=window, hop=hop)
    classes = {name: index for index, name in enumerate(dataset.classes)}
    samples, starts, labels, owners = [], [], [], []
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        for index, (windows, start) in enumerate(pool.map(one, dataset.recordings)):
            samples.append(windows)
            starts.append(start / config.sample_rate)
            labels.append(np.full(len(windows), classes[dataset.recordings[index].label], np.int32))
            owners.append(np.full(len(windows), index, np.int32))
            progress(1)
    return Examples(*(np.concatenate(parts) for parts in (samples, labels, owners, starts)))
