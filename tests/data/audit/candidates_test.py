import numpy as np
import pytest
import scipy.signal

from hsjax.data.audit import candidates, overlap

LOCAL, WHOLE = 0.9, 0.7


def centred(samples: np.ndarray) -> np.ndarray:
    return (samples - samples.mean()).astype(np.float32)


def planted(rng, sound) -> list[np.ndarray]:
    """Recordings of many lengths of which some are alike in every way that the search knows."""
    bases = [sound(seconds) for seconds in rng.uniform(1, 6, 12)]
    made = list(bases)
    for base in bases[:4]:
        n = len(base)
        noise = 0.3 * base.std() * rng.standard_normal(n)
        made += [base[n // 5 :], base[n // 3 : n // 3 + n // 2], -3 * base, base + noise, np.roll(base, n // 20)]
        made.append(np.concatenate([base[n // 5 :], bases[-1][: n // 5]]))
        made.append(scipy.signal.resample_poly(scipy.signal.resample_poly(base, 2, 5), 5, 2)[:n])
    return [centred(each) for each in made]


@pytest.mark.parametrize("rate", [250, 1000])
def test_loses_nothing(rng, sound, rate):
    """Every pair that the exact correlation judges alike is a candidate, and few of the others are."""
    recordings = planted(rng, sound)
    done = []
    traces = [candidates.trace(each, 1000, rate) for each in recordings]
    found = set(candidates.find(traces, LOCAL, WHOLE, done.append))
    alike = set()
    for one, first in enumerate(recordings):
        for other, second in enumerate(recordings[:one]):
            longer, shorter = (one, other) if len(first) >= len(second) else (other, one)
            peak = overlap.peak(recordings[longer], recordings[shorter])
            if peak.local >= LOCAL or peak.whole >= WHOLE:
                alike.add(frozenset((one, other)))
    assert len(alike) > 40
    assert alike <= {frozenset(pair) for pair in found}
    total = len(recordings) * (len(recordings) - 1) // 2
    assert sum(done) == total
    assert len(found) < len(alike) + 0.2 * total


def test_longer_first_and_silent_ones_left_out():
    sound = np.sin(np.arange(3000.0)).astype(np.float32) * np.hanning(3000).astype(np.float32)
    recordings = [sound[500:2500], np.zeros(2000, np.float32), centred(sound)]
    traces = [candidates.trace(each, 1000, 1000) for each in recordings]
    assert candidates.find(traces, LOCAL, WHOLE, lambda amount: None) == [(2, 0)]


def test_trace_says_what_lies_above_the_band():
    time = np.arange(20000) / 2000
    low, high = np.sin(2 * np.pi * 50 * time), np.sin(2 * np.pi * 600 * time)
    trace = candidates.trace((low + np.sqrt(3) * high).astype(np.float32), 2000, 500)
    assert len(trace.samples) == 5000
    assert trace.above == pytest.approx(0.75, abs=0.01)
    # A difference of neighbours of a sine is 2 sin(pi f / rate) of it.
    assert trace.slope == pytest.approx(2 * np.sin(np.pi * 50 / 500), rel=0.02)


@pytest.mark.parametrize(("frequency", "rate"), [(50, 250), (200, 500), (400, 1000), (990, 2000), (1900, 2000)])
def test_rate_follows_the_sound(frequency, rate):
    tone = np.sin(2 * np.pi * frequency * np.arange(8000) / 4000).astype(np.float32)
    assert candidates.choose_rate([(tone, 4000)] * 10) == rate


def test_long_recordings_go_in_small_blocks():
    """So that memory does not grow with length times the size of a block."""
    lengths = [900, 1000, 1000, 1200] + [600_000] * 7 + [5_000_000] * 2
    blocks = candidates._blocks(range(13), lengths)
    assert blocks == [[0], [1, 2], [3], [4, 5, 6], [7, 8, 9], [10], [11], [12]]
