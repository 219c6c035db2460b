"""Hearing a signal piece by piece."""

import numpy as np
import pytest

from hsjax.dsp.streaming import Listener


def _hear(stream, samples, sizes, chunk):
    """Pushes of the given sizes in turn, again and again until all is heard, then the end; joined."""
    samples = np.asarray(samples)
    listener = Listener(stream, chunk, samples.shape[:-1], samples.dtype)
    given, start, turn = [], 0, 0
    while start < samples.shape[-1]:
        stop = start + sizes[turn % len(sizes)]
        given.append(listener.push(samples[..., start:stop]))
        start, turn = stop, turn + 1
    return np.concatenate([*given, listener.close()], axis=stream.axis_out)


@pytest.fixture(scope="session")
def hear():
    return _hear
