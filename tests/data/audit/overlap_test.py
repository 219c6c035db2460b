import numpy as np
import pytest

from hsjax.data.audit import overlap


def brute_force(longer: np.ndarray, shorter: np.ndarray) -> tuple[float, float, int, bool]:
    """Lag by lag in float64, straight from the definition."""
    x, y = longer.astype(np.float64), shorter.astype(np.float64)
    products = np.correlate(x, y, "full")  # of lags -(m - 1) ... n - 1
    best, whole = (-1.0, 0, False), 0.0
    for product, lag in zip(products, range(-(len(y) - 1), len(x)), strict=True):
        begin, end = max(lag, 0), min(lag + len(y), len(x))
        if end - begin < overlap.MIN_SHARE * len(y):
            continue
        under = max(np.sum(x[begin:end] ** 2), overlap.QUIET * np.mean(x**2) * len(y))
        energies = under * np.sum(y**2)
        if len(x) == len(y):
            under = max(np.sum(y[begin - lag : end - lag] ** 2), overlap.QUIET * np.mean(y**2) * len(x))
            energies = min(energies, under * np.sum(x**2))
        best = max(best, (abs(product) / np.sqrt(energies), lag, product < 0))
        whole = max(whole, abs(product) / np.sqrt(np.sum(x**2) * np.sum(y**2)))
    return best[0], whole, best[1], best[2]


def centred(samples: np.ndarray) -> np.ndarray:
    return (samples - samples.mean()).astype(np.float32)


@pytest.mark.parametrize(("n", "m"), [(200, 200), (200, 37), (201, 130), (64, 1), (5, 2), (1, 1)])
@pytest.mark.parametrize("related", [False, True])
def test_equals_the_definition(rng, n, m, related):
    longer = rng.standard_normal(n).astype(np.float32)
    longer[n // 3 : n // 2] *= 0.01  # a pause
    shorter = rng.standard_normal(m).astype(np.float32)
    if related:
        begin = rng.integers(n - m + 1)
        shorter = 0.2 * shorter - 2 * longer[begin : begin + m]
    local, whole, lag, inverted = brute_force(longer, shorter)
    found = overlap.peak(longer, shorter)
    assert found.local == pytest.approx(min(local, 1), abs=1e-5)
    assert found.whole == pytest.approx(whole, abs=1e-5)
    if m > 2:  # a single sample fits everywhere
        assert (found.lag, found.inverted) == (lag, inverted)


def test_a_cut_is_found_where_it_was_cut(sound):
    longer = centred(sound(20))
    found = overlap.peak(longer, centred(-0.01 * longer[7000:9000]))
    assert found.local > 0.99  # the cut has another mean
    assert found.lag == 7000
    assert found.inverted
    # Two seconds of twenty hold about a tenth of the energy.
    assert found.whole == pytest.approx(np.sqrt(np.sum(longer[7000:9000] ** 2) / np.sum(longer**2)), abs=1e-3)


def test_equally_long_ones_have_no_order(sound):
    first, second = centred(sound(4)), sound(4)
    second[:2800] = first[1200:]
    second = centred(second)
    one, other = overlap.peak(first, second), overlap.peak(second, first)
    assert one.local == pytest.approx(other.local, abs=1e-6)
    assert one.lag == -other.lag == 1200


def test_two_cuts_have_the_root_of_the_shared_energy(sound):
    source = sound(10)
    first, second = centred(source[:8000]), centred(source[2500:9500])
    shared = np.sum(second[:5500] ** 2) / np.sum(second**2)
    found = overlap.peak(first, second)
    assert found.local == pytest.approx(np.sqrt(shared), abs=0.01)
    assert found.lag == 2500


def test_a_pause_resembles_nothing(rng, sound):
    longer = centred(sound(10))
    hiss = 1e-6 * rng.standard_normal(2000).astype(np.float32)
    longer[4000:6000] = hiss
    assert overlap.peak(longer, centred(hiss)).local < 0.5


def test_silence():
    silence = np.zeros(100, np.float32)
    assert overlap.peak(np.ones(200, np.float32), silence) == (0, 0, 0, False)
    assert overlap.peak(silence, np.ones(50, np.float32)) == (0, 0, 0, False)


def test_order_of_arguments():
    for longer, shorter in ((3, 4), (3, 0)):
        with pytest.raises(ValueError, match="longer recording has 3 samples"):
            overlap.peak(np.ones(longer, np.float32), np.ones(shorter, np.float32))
