import librosa
import numpy as np
import pytest
import scipy.signal

from hsjax.dsp.windows import Window, centered_window, hann, window

# Written out: Harris 1978 and, for the flat top, D'Antona 2006 as scipy documents it.
COSINES = {
    Window.HANN: [0.5, -0.5],
    Window.HAMMING: [0.54, -0.46],
    Window.BLACKMAN: [0.42, -0.5, 0.08],
    Window.BLACKMAN_HARRIS: [0.35875, -0.48829, 0.14128, -0.01168],
    Window.FLAT_TOP: [0.21557895, -0.41663158, 0.277263158, -0.083578947, 0.006947368],
    Window.RECTANGULAR: [1.0],
}


@pytest.mark.parametrize("length", [1, 2, 255, 256])
@pytest.mark.parametrize("kind", list(COSINES))
def test_sums_of_cosines(kind, length):
    for periodic, period in ((True, length), (False, length - 1)):
        if length == 1:
            np.testing.assert_array_equal(window(kind, length, periodic), [1.0])
            continue
        angle = 2 * np.pi * np.arange(length) / period
        want = sum(c * np.cos(p * angle) for p, c in enumerate(COSINES[kind]))
        np.testing.assert_allclose(window(kind, length, periodic), want, atol=1e-15)


@pytest.mark.parametrize("length", [255, 256])
def test_the_others_are_scipy_s(length):
    named = scipy.signal.windows
    others = {Window.BARTLETT: named.bartlett, Window.COSINE: named.cosine}
    for kind, make in others.items():
        np.testing.assert_allclose(window(kind, length), make(length, sym=False), atol=1e-15)
        np.testing.assert_allclose(window(kind, length, periodic=False), make(length), atol=1e-15)
    np.testing.assert_allclose(window(Window.TUKEY, length), named.tukey(length, 0.25, sym=False), atol=1e-15)
    assert set(COSINES) | set(others) | {Window.TUKEY} == set(Window)


def test_hann_by_hand():
    np.testing.assert_allclose(hann(4), [0, 0.5, 1, 0.5], atol=1e-15)
    assert hann(4).dtype == np.float64


@pytest.mark.parametrize(("win_length", "n_fft"), [(200, 256), (201, 256), (200, 255), (256, 256)])
def test_a_short_window_stands_where_librosa_puts_it(win_length, n_fft):
    want = librosa.util.pad_center(scipy.signal.get_window("hann", win_length), size=n_fft)
    np.testing.assert_allclose(centered_window(Window.HANN, win_length, n_fft), want, atol=1e-15)


def test_impossible_lengths_say_so():
    with pytest.raises(ValueError, match="at least one sample, got 0"):
        window(Window.HANN, 0)
    for win_length in (0, 257):
        with pytest.raises(ValueError, match=f"between 1 and n_fft = 256, got {win_length}"):
            centered_window(Window.HANN, win_length, 256)
