"""Analysis of errors, against arithmetic by hand."""

import math

import numpy as np
import pytest

from hsjax.evaluate import Decided, errors
from hsjax.evaluate.errors import Sound
from hsjax.types import Predictions, RunKey

RATE = 1000


def test_snr_of_two_powers():
    # Of twenty frames of 50 samples four have power 1 and sixteen have .01.
    samples = np.full(1000, 0.1, np.float32)
    samples[100:300] = -1.0
    expected = 10 * math.log10(((4 * 1 + 16 * 0.01) / 20 - 0.01) / 0.01)
    assert errors.snr_db(samples, RATE) == pytest.approx(expected, abs=1e-4)
    assert errors.snr_db(0.01 * samples, RATE) == pytest.approx(expected, abs=1e-4)
    padded = np.concatenate([samples, np.zeros(1000, np.float32)])
    assert errors.snr_db(padded, RATE) == pytest.approx(expected, abs=1e-4)


def test_snr_of_silence_and_of_constant_power():
    assert math.isnan(errors.snr_db(np.zeros(1000, np.float32), RATE))
    assert math.isnan(errors.snr_db(np.ones(20, np.float32), RATE))
    assert errors.snr_db(np.ones(1000, np.float32), RATE) == pytest.approx(-96)


def made() -> Decided:
    first = np.array([0.95, 0.4, 0.2, 0.55, 0.08, 0.25], np.float32)
    probabilities = np.stack([first, 1 - first], 1)
    ids = np.array([f"r{index}" for index in range(6)])
    label = np.array([1, 1, 0, 0, 1, 0], np.int32)
    key = RunKey("made", "paper", "net", 0)
    return Decided(Predictions(key, "recording", ("N", "AS"), ids, np.zeros(6), ids, label, probabilities), None)


SOUNDS = {f"r{index}": Sound(2.0 + index, 10.0 * index) for index in range(6)}


def test_wrong_ones_the_surest_first():
    found = list(errors.wrong(made(), SOUNDS, None))
    assert [row.recording for row in found] == ["r0", "r2", "r5"]
    assert [row.confidence for row in found] == pytest.approx([0.95, 0.8, 0.75])
    assert (found[0].label, found[0].predicted, found[0].seconds, found[0].snr_db) == ("AS", "N", 2.0, 0.0)
    assert (found[1].label, found[1].predicted, found[1].seconds, found[1].snr_db) == ("N", "AS", 4.0, 20.0)


def test_rates_by_confidence_and_noise():
    found = {(row.metric, row.label): (row.value, row.n) for row in errors.rates(made(), SOUNDS, None)}
    # Wrong are r0, r2 and r5; the noise of six recordings from 0 to 50 dB is parted at a third and two thirds of 50.
    assert found == {
        ("error_rate:confidence", "from 0.5 to 0.7"): (0.0, 2),
        ("error_rate:confidence", "from 0.7 to 0.9"): (1.0, 2),
        ("error_rate:confidence", "from 0.9"): (0.5, 2),
        ("error_rate:snr", "below 16.7"): (0.5, 2),
        ("error_rate:snr", "from 16.7 to 33.3"): (0.5, 2),
        ("error_rate:snr", "from 33.3"): (0.5, 2),
    }
