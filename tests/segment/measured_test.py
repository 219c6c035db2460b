import numpy as np
import pytest

from hsjax.segment import measured
from hsjax.types import HeartState

RATE = 100


def annotation(rng, beats: int, systole: float, diastole: float) -> np.ndarray:
    """S1 of 0.12 s, S2 of 0.1 s, systole and diastole that jitter by 20 and 50 ms."""
    lasting = [[0.12, systole + rng.normal(0, 0.02), 0.1, diastole + rng.normal(0, 0.05)] for _ in range(beats)]
    counts = np.rint(RATE * np.array(lasting).ravel()).astype(int)
    return np.repeat(np.tile(np.array([1, 2, 3, 4], np.int8), beats), counts)


def test_only_whole_states_last():
    order = np.array([1, 2, 3, 4, 1, 0, 2, 3, 4], np.int8)
    states = np.repeat(order, [12, 20, 10, 40, 13, 5, 9, 11, 30])
    by_state = {state: measured.lasting(states, RATE, state) for state in HeartState if state}
    np.testing.assert_allclose(by_state[HeartState.S1], [])  # cut by the begin, or by what is unknown
    np.testing.assert_allclose(by_state[HeartState.SYSTOLE], [0.2])
    np.testing.assert_allclose(by_state[HeartState.S2], [0.1, 0.11])
    np.testing.assert_allclose(by_state[HeartState.DIASTOLE], [0.4])


def test_model_and_systole_of_known_hearts(rng):
    annotations = []
    for period in np.linspace(0.6, 1.2, 30):
        systole = 0.15 + 0.2 * period - 0.12  # S1 to S2 less S1
        annotations.append((annotation(rng, 60, systole, period - systole - 0.22), RATE))
    intercept, slope = measured.typical_systole(annotations)
    assert intercept + 0.9 * slope == pytest.approx(0.15 + 0.2 * 0.9, abs=0.005)
    assert slope == pytest.approx(0.2, abs=0.03)
    model = measured.duration_model(annotations)
    assert (model.s1_mean, model.s2_mean) == pytest.approx((0.12, 0.1), abs=1e-6)
    assert (model.s1_sd, model.s2_sd) == pytest.approx((0, 0), abs=1e-6)
    assert model.systole_sd == pytest.approx(0.02, abs=0.002)
    assert 0.5 * model.diastole_slope + model.diastole_offset == pytest.approx(0.05, abs=0.004)
