import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from hsjax.dsp import augment


def test_gain_is_uniform_in_db(quick):
    keys = jax.random.split(jax.random.key(0), 2000)
    got = quick(jax.vmap(lambda key: augment.gain(key, jnp.ones(1), (-3.0, 9.0))))(keys)
    drawn = 20 * np.log10(np.asarray(got)[:, 0])
    assert scipy.stats.kstest(drawn, scipy.stats.uniform(-3, 12).cdf).pvalue > 1e-3
    np.testing.assert_allclose(augment.gain(jax.random.key(0), jnp.ones(1), 20), 10, rtol=1e-6)


def test_polarity_turns_all_channels_or_none(quick):
    samples = jnp.array([[1.0, -2.0], [3.0, 4.0]])
    keys = jax.random.split(jax.random.key(0), 400)
    signs = np.asarray(quick(jax.vmap(lambda key: augment.polarity(key, samples) / samples))(keys))
    assert np.ptp(signs, axis=(1, 2)).max() == 0
    assert abs((signs[:, 0, 0] < 0).mean() - 0.5) < 3 * np.sqrt(0.25 / 400)


def test_shift_is_numpy_s_roll(quick):
    samples = jnp.arange(1.0, 11.0)
    key = jax.random.key(0)
    shifted = quick(augment.time_shift, static_argnames="edge")
    for shift in (-12, -3, 0, 4, 10):
        got = shifted(key, samples, shift, augment.Edge.CIRCULAR)
        np.testing.assert_array_equal(got, np.roll(samples, shift))
    np.testing.assert_array_equal(shifted(key, samples, 3), [0, 0, 0, 1, 2, 3, 4, 5, 6, 7])
    np.testing.assert_array_equal(shifted(key, samples, -8), [9, 10, 0, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(shifted(key, samples, 11), np.zeros(10))


def test_every_shift_of_the_range_is_as_likely(quick):
    impulse = jnp.zeros(9).at[4].set(1)
    keys = jax.random.split(jax.random.key(0), 1400)
    landed = np.asarray(quick(jax.vmap(lambda key: augment.time_shift(key, impulse, (-3, 3))))(keys)).argmax(axis=1)
    counts = np.bincount(landed, minlength=9)
    assert counts[[0, 8]].sum() == 0
    assert scipy.stats.chisquare(counts[1:8]).pvalue > 1e-3


def test_clipping_cuts_at_the_level_below_each_peak(quick):
    samples = jnp.array([[10.0, -4.0, 1.0], [-1.0, 0.2, 0.6]])
    got = quick(lambda key, x: augment.clip(key, x, 20 * np.log10(0.5)))(jax.random.key(0), samples)
    np.testing.assert_allclose(got, [[5, -4, 1], [-0.5, 0.2, 0.5]], rtol=1e-6)
