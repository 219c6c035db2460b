import numpy as np
import pytest

from hsjax.dsp.segmentation import cycles


def test_by_hand():
    #                  0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16
    states = np.array([1, 2, 3, 4, 4, 1, 1, 2, 3, 4, 1, 2, 3, 4, 4, 4, 1], np.int8)
    samples = np.arange(1, 18, dtype=np.float32)
    cut = cycles.cut_cycles(samples, states, 5)
    np.testing.assert_array_equal(cut.start, [5, 10])  # the first S1 was on when the recording began
    np.testing.assert_array_equal(cut.duration, [5, 6])
    np.testing.assert_array_equal(cut.samples, [[6, 7, 8, 9, 10], [11, 12, 13, 14, 15]])
    assert cut.samples.dtype == np.float32
    padded = cycles.cut_cycles(samples, states, 8).samples
    np.testing.assert_array_equal(padded, [[6, 7, 8, 9, 10, 0, 0, 0], [11, 12, 13, 14, 15, 16, 0, 0]])


@pytest.mark.parametrize("hole", [7, 8, 9])
def test_cycles_with_unknown_stretches_are_left_out(hole):
    states = np.array([4, 4, 4, 4, 4, 1, 1, 2, 3, 4, 1, 2, 3, 4, 1], np.int8)
    states[hole] = 0
    np.testing.assert_array_equal(cycles.bounds(states)[0], [10])


@pytest.mark.parametrize("states", [[], [1], [4, 4, 4], [1, 2, 3, 4, 1]])
def test_none(states):
    cut = cycles.cut_cycles(np.ones(len(states)), np.array(states, np.int8), 4)
    assert cut.samples.shape == (0, 4)


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="positive length"):
        cycles.cut_cycles(np.ones(3), np.ones(3, np.int8), 0)
    with pytest.raises(ValueError, match="states for"):
        cycles.cut_cycles(np.ones(3), np.ones(4, np.int8), 5)
