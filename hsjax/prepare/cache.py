"""Which prepared examples are the same: the key under which `data.example_store` keeps them."""

import concurrent.futures
import hashlib
import importlib.metadata
import json
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import jax
import ml_collections
import numpy as np
from jaxtyping import Float32

import hsjax
from hsjax.data import example_store
from hsjax.prepare.condition import Steps
from hsjax.types import Dataset, Examples, Recording, UserError

_PREPARATION = 1  # increase when the code of this room makes other examples of the same recordings and settings
_THREADS = 4  # decoding and hashing release the GIL


def digest(samples: Float32[np.ndarray, " time"]) -> str:
    """SHA-256 of decoded samples as in `Recording.digest`, 64 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(samples, "<f4").data).hexdigest()


def read(recording: Recording) -> Float32[np.ndarray, " time"]:
    """The samples that the recording's digest is of.

    Raises:
      UserError: the file is no longer what it was when it was inspected.
    """
    samples = recording.read()
    if recording.digest and digest(samples) != recording.digest:
        raise UserError(
            f"{recording.path or recording.id} is not what it was when it was inspected: run the same command again; "
            f"if it was changed without a new time of modification, empty {example_store.SETTING}"
        )
    return samples


def key(dataset: Dataset, config: ml_collections.ConfigDict, steps: Steps) -> str:
    """SHA-256 over everything that the examples depend on, 64 hexadecimal digits.

    That is: every recording in its order, with its content, rate, label and beats; the classes, which number the
    labels; every setting; and the versions of what computes. Recordings without a digest are read for it.

    Args:
      dataset: its recordings are prepared.
      config: `config.prepare`.
      steps: what is done to whole recordings; jax does it.
    """
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        contents = list(pool.map(_content, dataset.recordings))
    recordings = [
        (one.id, content, one.label, one.sample_rate, beats_digest(one))
        for one, content in zip(dataset.recordings, contents, strict=True)
    ]
    versions: dict[str, Any] = {"preparation": _PREPARATION}
    if any(one.sample_rate != config.sample_rate for one in dataset.recordings):
        versions["soxr"] = importlib.metadata.version("soxr")
    if not steps.none:
        versions |= {"hsjax": hsjax.__version__, "jax": jax.__version__, "backend": jax.default_backend()}
    described = [recordings, dataset.classes, config.to_dict(), versions]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def examples(
    cache_dir: pathlib.Path,
    dataset: Dataset,
    config: ml_collections.ConfigDict,
    steps: Steps,
    window: int,
    pieces: Callable[[], Iterable[Examples]],
) -> tuple[Examples, bool]:
    """The examples of a dataset from the cache folder, made by `pieces` where they are not there yet.

    Returns:
      Read-only memory maps, and whether they were there already.

    Raises:
      UserError: the cache folder cannot be written to, or what `pieces` raises.
    """
    chosen = {name: str(value) for name, value in config.items() if not isinstance(value, ml_collections.ConfigDict)}
    about = {"dataset": dataset.name, "recordings": str(len(dataset.recordings))} | chosen
    return example_store.load_or_make(cache_dir, key(dataset, config, steps), window, pieces, about)


def _content(recording: Recording) -> str:
    return recording.digest or digest(recording.read())


def beats_digest(recording: Recording) -> str | None:
    """Where an ECG's examples lie and what they are called; None for recordings that have a label of their own."""
    if recording.beats is None:
        return None
    beats = recording.beats()
    described = [beats.index.tolist(), beats.symbol.tolist(), beats.label.tolist()]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()
