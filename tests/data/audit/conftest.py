import functools

import numpy as np
import pytest
import scipy.signal

from hsjax.types import Recording


def read(samples: np.ndarray) -> np.ndarray:
    return samples.astype(np.float32)


@pytest.fixture(scope="session")
def make():
    """Makes a recording of samples; what is not said is empty."""

    def recording(name: str, samples: np.ndarray, rate: int = 1000, label: str = "", **fields) -> Recording:
        given = {"subset": "", "subject": None, "group": None} | fields
        return Recording(
            id=name,
            label=label,
            sample_rate=rate,
            num_samples=len(samples),
            path=None,
            read=functools.partial(read, samples),
            **given,
        )

    return recording


@pytest.fixture(scope="session")
def sounds():
    """Draws unrelated sounds: noise below 150 Hz at 1 kHz, some of it louder, with an offset."""
    sos = scipy.signal.butter(4, 150, fs=1000, output="sos")

    def draw(rng: np.random.Generator, seconds: float = 4.0) -> np.ndarray:
        noise = scipy.signal.sosfilt(sos, rng.standard_normal(int(1000 * seconds)))
        loud = np.repeat(rng.uniform(0.2, 1, -(-len(noise) // 250)), 250)[: len(noise)]
        return 0.3 * noise * loud + 0.05

    return draw


@pytest.fixture
def sound(sounds, rng):
    """As `sounds`, each one another."""
    return functools.partial(sounds, rng)
