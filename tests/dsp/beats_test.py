import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.data.readers import mitdb
from hsjax.dsp.beats import beat_windows, rr_intervals
from hsjax.dsp.normalise import z_score


def windows_by_hand(samples: np.ndarray, peaks: np.ndarray, half: int) -> np.ndarray:
    """Birton's rule, sample by sample."""
    found = np.zeros((len(peaks), 2 * half))
    for i, peak in enumerate(peaks):
        for j in range(2 * half):
            at = peak - half + j
            if not 0 <= at < len(samples):
                continue
            if i > 0 and at < (peaks[i - 1] + peak) / 2:
                continue
            if i + 1 < len(peaks) and at > (peaks[i + 1] + peak) / 2:
                continue
            found[i, j] = samples[at]
    return found


def test_windows_are_those_of_a_loop(quick, rng):
    samples = rng.standard_normal((2, 3, 900)).astype(np.float32)
    count = np.array([[7, 1, 0], [12, 2, 5]])
    mask = np.arange(12) < count[..., None]
    peaks = np.full((2, 3, 12), -1)
    for place in np.ndindex(2, 3):
        peaks[place][: count[place]] = np.sort(rng.choice(900, count[place], replace=False))
    peaks[1, 0, [0, -1]] = 0, 899  # on the edges
    want = np.zeros((2, 3, 12, 180))
    for place in np.ndindex(2, 3):
        want[place][: count[place]] = windows_by_hand(samples[place], peaks[place][: count[place]], 90)
    length = peaks[0, 0, 6] + 1

    @quick
    def both(samples, peaks, mask, length):
        short = beat_windows(samples[0, 0], peaks[0, 0, :7], 50, lengths=length)
        return beat_windows(samples, peaks, 50, mask), short

    got, short = both(samples, peaks, mask, length)
    np.testing.assert_array_equal(got, want.astype(np.float32))
    # Nothing lies behind a shorter recording.
    want = windows_by_hand(samples[0, 0, :length], peaks[0, 0, :7], 90)
    np.testing.assert_array_equal(short, want.astype(np.float32))


def test_the_sample_in_the_middle_belongs_to_both(quick):
    got = quick(lambda x: beat_windows(x, jnp.array([2, 6]), 10, half_window=0.5))(np.arange(1.0, 12.0))
    # Sample t holds t + 1; peaks 2 and 6 meet at sample 4, whose value is 5.
    np.testing.assert_array_equal(got, [[0, 0, 0, 1, 2, 3, 4, 5, 0, 0], [0, 0, 0, 5, 6, 7, 8, 9, 10, 11]])


def test_not_a_number_stays_where_it_is(quick):
    samples = np.ones(1000, np.float32)
    samples[500] = np.nan
    got = quick(lambda x: beat_windows(x, jnp.array([300, 480, 700]), 100))(samples)
    np.testing.assert_array_equal(np.isnan(got).sum(axis=-1), [0, 1, 0])


def test_gradient_reaches_the_samples_that_were_cut(quick):
    slope = quick(jax.grad(lambda x: jnp.sum(beat_windows(x, jnp.array([3, 7]), 10, half_window=0.3))))(jnp.zeros(10))
    np.testing.assert_array_equal(slope, [1, 1, 1, 1, 1, 2, 1, 1, 1, 1])


def test_windows_that_cannot_be():
    samples, peaks = jnp.ones(10), jnp.array([3])
    with pytest.raises(ValueError, match="holds no sample"):
        beat_windows(samples, peaks, 1, half_window=0.1)
    with pytest.raises(ValueError, match="at least one sample and one place"):
        beat_windows(samples[:0], peaks, 360)
    with pytest.raises(ValueError, match="at least one sample and one place"):
        beat_windows(samples, peaks[:0], 360)
    with pytest.raises(TypeError, match="floating point"):
        beat_windows(jnp.ones(10, int), peaks, 360)


def test_intervals(quick):
    peaks = np.array([[100, 190, 460, -1], [7, -1, -1, -1], [-1, -1, -1, -1]])
    masked, all_of_them = quick(lambda p: (rr_intervals(p, 360, p >= 0), rr_intervals(p[0, :3], 360)))(peaks)
    np.testing.assert_allclose(masked, [[np.nan, 0.25, 0.75, np.nan], [np.nan] * 4, [np.nan] * 4])
    np.testing.assert_allclose(all_of_them, [np.nan, 0.25, 0.75])


def test_z_score(quick, rng):
    samples = (1000 + 0.3 * rng.standard_normal((2, 500))).astype(np.float32)
    exact = samples.astype(np.float64)
    want = (exact[0] - exact[0].mean()) / exact[0].std()
    got = quick(z_score)(samples, np.array([500, 200]))
    np.testing.assert_allclose(got[0], want, atol=1e-4)
    np.testing.assert_allclose(got[1, :200], (exact[1, :200] - exact[1, :200].mean()) / exact[1, :200].std(), atol=1e-4)
    np.testing.assert_array_equal(got[1, 200:], 0)
    scored, slope = quick(lambda x: (z_score(x), jax.grad(lambda x: jnp.sum(z_score(x)))(x)))(np.full(100, 3.7, "f"))
    np.testing.assert_array_equal(scored, 0)
    assert np.isfinite(slope).all()
    with jax.enable_x64(True):
        alone = quick(z_score)
        np.testing.assert_allclose(alone(exact[0]), want, atol=1e-9)
        exact[0, 2] = np.nan
        assert np.isnan(alone(exact[0])).all()


@pytest.mark.realdata
def test_windows_of_annotated_beats(quick, real_root):
    samples = mitdb.lead(real_root, "100").samples
    peaks = mitdb.beats(real_root, "100").index
    normal = (samples - samples.mean()) / samples.std()
    some = np.r_[0:20, len(peaks) - 20 : len(peaks)]
    cut = quick(lambda x, p: beat_windows(z_score(x), p, mitdb.SAMPLE_RATE))
    got = cut(samples.astype(np.float32), peaks.astype(np.int32))
    assert got.shape == (2273, 36 * 36)
    want = windows_by_hand(normal, peaks[:21], 648)[:20], windows_by_hand(normal, peaks[-21:], 648)[1:]
    np.testing.assert_allclose(np.asarray(got)[some], np.concatenate(want), atol=1e-4)
