import numpy as np
import pytest
import scipy.signal

from hsjax.dsp.design import Band, butterworth


@pytest.mark.parametrize("kind", list(Band))
def test_edges_are_the_half_power_points(kind):
    edges = (30, 300) if kind in (Band.BANDPASS, Band.BANDSTOP) else 30
    _, response = scipy.signal.sosfreqz(butterworth(3, edges, 2000, kind), np.array([1.0, 30, 95, 300, 900]), fs=2000)
    level = np.abs(response)
    assert level[1] == pytest.approx(np.sqrt(0.5), abs=1e-6)
    passes = {
        Band.LOWPASS: [1, 0, 0, 0],
        Band.HIGHPASS: [0, 1, 1, 1],
        Band.BANDPASS: [0, 1, np.sqrt(0.5), 0],
        Band.BANDSTOP: [1, 0, np.sqrt(0.5), 1],
    }
    np.testing.assert_allclose(level[[0, 2, 3, 4]], passes[kind], atol=0.05)


def test_is_the_pass_band_unless_told_otherwise():
    want = scipy.signal.butter(2, [20, 150], "bandpass", fs=2000, output="sos")
    np.testing.assert_allclose(butterworth(2, (20, 150), 2000), want)


@pytest.mark.parametrize(
    ("edges", "kind", "message"),
    [
        ((0.0, 400), Band.BANDPASS, "0 < low < high < 1000"),
        ((400, 20), Band.BANDSTOP, "0 < low < high < 1000"),
        ((20, 20), Band.BANDPASS, "0 < low < high < 1000"),
        (1000, Band.LOWPASS, "0 < edge < 1000"),
        (float("nan"), Band.HIGHPASS, "0 < edge < 1000"),
        (20, Band.BANDPASS, "a bandpass has 2 edges, got 1"),
        ((20, 400), Band.HIGHPASS, "a highpass has 1 edge, got 2"),
    ],
)
def test_impossible_edges_are_refused(edges, kind, message):
    with pytest.raises(ValueError, match=message):
        butterworth(3, edges, 2000, kind)


def test_an_order_below_1_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        butterworth(0, (20, 400), 2000)
