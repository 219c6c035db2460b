import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.dsp import augment

CLIPS = np.stack([np.sin(np.arange(300) ** 1.5), np.random.default_rng(1).standard_normal(300)])


def snr_db(samples, noisy):
    samples = np.asarray(samples, np.float64)
    noise = np.asarray(noisy, np.float64) - samples
    return 10 * np.log10(np.mean(samples**2, axis=-1) / np.mean(noise**2, axis=-1))


KINDS = {
    "white": augment.add_white_noise,
    "pink": augment.add_pink_noise,
    "recorded": lambda key, samples, snr: augment.add_recorded_noise(key, samples, jnp.asarray(CLIPS), snr),
}


@pytest.fixture(scope="module")
def add(quick):
    """By kind, as KINDS, compiled."""
    return {kind: quick(function) for kind, function in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [-10.0, 0.0, 20.0])
def test_ratio_is_exact_for_every_channel(kind, level, add, rng):
    samples = rng.standard_normal((2, 3, 701)) * np.array([1.0, 30.0, 1e-3])[:, None] + 0.5
    samples = jnp.asarray(samples, jnp.float32)
    noisy = add[kind](jax.random.key(0), samples, level)
    np.testing.assert_allclose(snr_db(samples, noisy), level, atol=1e-3)


def test_range_of_ratios(quick):
    keys = jax.random.split(jax.random.key(0), 200)
    noisy = quick(jax.vmap(lambda key: augment.add_white_noise(key, jnp.ones(64), (3.0, 12.0))))(keys)
    drawn = snr_db(np.ones(64), noisy)
    assert 3 <= drawn.min() < 4
    assert 11 < drawn.max() <= 12


def test_power_falls_as_it_should(quick):
    keys = jax.random.split(jax.random.key(3), 16)
    coloured = quick(
        lambda exponent: jax.vmap(lambda key: augment.add_coloured_noise(key, jnp.ones(8191), 0.0, exponent))(keys)
    )
    for exponent, slope in [(0.0, 0.0), (1.0, -10.0), (2.0, -20.0)]:
        noise = np.asarray(coloured(exponent)) - 1.0
        assert np.abs(noise.mean(axis=-1)).max() < 1e-5
        power = np.mean(np.abs(np.fft.rfft(noise)) ** 2, axis=0)[10:4000]
        decades = np.log10(np.arange(10, 4000))
        # A straight line through third-octave means: the mean of a logarithm would be biased.
        band = np.floor(decades * 10).astype(int)
        level = [10 * np.log10(power[band == b].mean()) for b in np.unique(band)]
        middle = [np.log10(np.mean(10 ** decades[band == b])) for b in np.unique(band)]
        assert np.polyfit(middle, level, 1)[0] == pytest.approx(slope, abs=0.5)


def test_recorded_noise_is_a_circular_stretch_of_one_clip(add):
    samples = jnp.ones((2, 3, 701))  # longer than the clips
    used = set()
    for seed in range(8):
        key = jax.random.key(seed)
        channels = np.asarray(add["recorded"](key, samples, 0.0), np.float64) - 1
        np.testing.assert_array_equal(np.ptp(channels, axis=(0, 1)), 0)
        noise = channels[0, 0]
        np.testing.assert_allclose(noise[:401], noise[300:], atol=1e-5)
        starts = (np.arange(300)[None, :] - np.arange(300)[:, None]) % 300
        correlation = np.stack([np.corrcoef(noise[:300], clip[starts])[0, 1:] for clip in CLIPS])
        assert correlation.max() == pytest.approx(1, abs=1e-5)
        used.add(np.unravel_index(correlation.argmax(), correlation.shape))
    assert len(used) == 8
    assert {clip for clip, _ in used} == {0, 1}


def test_what_has_no_power_is_not_scaled(quick):
    key = jax.random.key(0)
    quiet = jnp.stack([jnp.zeros(10), jnp.ones(10)])
    recorded = quick(lambda clips: augment.add_recorded_noise(key, quiet, clips, 0.0))
    for nothing in (0.0, np.nan):
        np.testing.assert_array_equal(recorded(np.full((1, 10), nothing, np.float32)), quiet)
    gradient = quick(jax.grad(lambda x: augment.add_white_noise(key, x, jnp.inf).sum()))(quiet)
    np.testing.assert_array_equal(gradient, 1)


def test_gradient_is_the_difference_quotient(quick, rng):
    with jax.enable_x64(True):
        samples, noise, step = jnp.asarray(rng.standard_normal((3, 50)))

        def loss(amount):
            return jnp.sum(jnp.sin(augment.mix_at_snr(samples + amount * step, noise, 3.0)))

        value_and_slope = quick(jax.value_and_grad(loss))
        (_, slope), (above, _), (below, _) = (value_and_slope(amount) for amount in (0.0, 1e-5, -1e-5))
        assert slope == pytest.approx(float(above - below) / 2e-5, rel=1e-7)
