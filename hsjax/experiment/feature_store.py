"""Features of every example, before normalisation: computed chunk by chunk, kept on the disk where the examples are."""

import hashlib
import json
import pathlib
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Float

from hsjax import features
from hsjax.data import example_store
from hsjax.types import Examples


def in_memory(
    transform: features.Transform,
    shape: tuple[int, int],
    samples: Float[np.ndarray, "n window"],
    progress: Callable[[int], None] = lambda n: None,
) -> Float[np.ndarray, "n coeffs frames"]:
    """Features of all windows in one array, with no more than a chunk beside it."""
    made, done = np.empty((len(samples), *shape), np.float32), 0
    for chunk in features.extracted(transform, samples):
        made[done : done + len(chunk)] = chunk
        done += len(chunk)
        progress(len(chunk))
    return made


def on_disk(
    transform: features.Transform,
    shape: tuple[int, int],
    examples: Examples,
    cache_dir: pathlib.Path,
    examples_key: str,
    about: dict[str, str],
    progress: Callable[[int], None] = lambda n: None,
) -> Float[np.ndarray, "n coeffs frames"]:
    """The same as a read-only memory map of the cache folder, made where it is not there yet.

    The entry's key is the compiled program itself: other settings, and other code, make other features.

    Args:
      transform: samples to features.
      shape: of one example's.
      examples: whose features.
      cache_dir: the cache folder.
      examples_key: names everything that the examples depend on.
      about: for `example_store.entries`.
      progress: told the number of examples newly done.

    Raises:
      UserError: the cache folder cannot be written to.
    """
    size = int(np.prod(shape))

    def pieces() -> Iterator[Examples]:
        done = 0
        for chunk in features.extracted(transform, examples.samples):
            rows = slice(done, done + len(chunk))
            done = rows.stop
            label, recording, start = examples.label[rows], examples.recording[rows], examples.start[rows]
            yield Examples(chunk.reshape(len(chunk), size), label, recording, start)
            progress(len(chunk))

    key = _key(transform, examples.samples.shape[1], examples_key)
    made, kept = example_store.load_or_make(cache_dir, key, size, pieces, about)
    if kept:
        progress(len(made.label))
    return made.samples.reshape(len(made.label), *shape)


def _key(transform: features.Transform, window: int, examples_key: str) -> str:
    program = jax.jit(transform).lower(jax.ShapeDtypeStruct((1, window), np.float32)).as_text()
    described = [examples_key, program, jax.__version__, jax.default_backend()]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()
