import numpy as np

from hsjax.segment import peaks

RATE = 2000


def beats(at: np.ndarray, loudness: np.ndarray) -> np.ndarray:
    """Bursts of 60 Hz under Gaussians of 15 ms, in a little noise."""
    times = np.arange(6 * RATE) / RATE
    bursts = np.exp(-0.5 * ((times - at[:, None]) / 0.015) ** 2) * np.sin(2 * np.pi * 60 * times)
    return loudness @ bursts + np.random.default_rng(0).normal(0, 0.01, len(times))


def test_the_shorter_interval_is_systole():
    s1 = np.arange(0.4, 5.5, 0.9)
    s2 = s1 + 0.3
    at = np.sort(np.concatenate([s1, s2]))
    for first in (0, 1):  # whichever of them comes first
        onset, centre = peaks.find(beats(at[first:], np.ones(len(at) - first)), RATE)
        np.testing.assert_allclose(centre.s1, s1[first:], atol=0.02)
        np.testing.assert_allclose(centre.s2, s2, atol=0.02)
        assert (onset.s1 < centre.s1).all()
        assert (onset.s1 > centre.s1 - 0.101).all()


def test_silence_has_none():
    for samples in (np.zeros(RATE), beats(np.array([1.0]), np.ones(1))[: 2 * RATE] * 0):
        onset, centre = peaks.find(samples, RATE)
        assert not sum(len(times) for times in (*onset, *centre))
