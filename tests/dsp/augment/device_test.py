import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from hsjax.dsp import augment

RATE, TIME = 1000, 8000
IMPULSE = jnp.zeros(TIME).at[TIME // 2].set(1)
FREQUENCY = np.fft.rfftfreq(TIME, 1 / RATE)


def db(responses):
    return 20 * np.log10(np.abs(np.fft.rfft(responses)))


def test_low_pass_is_scipy_s_butterworth(quick):
    orders = (1, 2, 4)
    every = quick(lambda key: [augment.stethoscope(key, IMPULSE, RATE, 0, 100.0, 6, order) for order in orders])
    for order, got in zip(orders, every(jax.random.key(0)), strict=True):
        zeros, poles, gain = scipy.signal.butter(order, 2 * np.pi * 100, analog=True, output="zpk")
        _, want = scipy.signal.freqs_zpk(zeros, poles, gain, 2 * np.pi * FREQUENCY)
        audible = FREQUENCY < 300
        np.testing.assert_allclose(db(got)[audible], 20 * np.log10(np.abs(want))[audible], atol=0.02)


def test_equaliser_is_smooth_random_and_bounded(quick):
    keys = jax.random.split(jax.random.key(0), 20)
    responses = db(quick(jax.vmap(lambda key: augment.stethoscope(key, IMPULSE, RATE, 6.0, jnp.inf)))(keys))
    assert np.abs(responses).max() < 6.05
    assert responses.max() > 4
    assert responses.min() < -4
    assert responses.std(axis=0).min() > 1.5
    octaves = np.log2(FREQUENCY[20:])  # from 2.5 Hz
    assert np.abs(np.diff(responses[:, 20:]) / np.diff(octaves)).max() < 20  # dB an octave
    np.testing.assert_allclose(responses[:, 1], responses[:, 100], atol=0.3)  # the lowest band is a shelf


def test_onsets_stay_and_energy_is_bounded(quick, rng):
    heard = quick(lambda key: augment.stethoscope(key, IMPULSE, RATE, 6.0, (150.0, 300.0)))(jax.random.key(1))
    heard = np.asarray(heard)
    assert heard.argmax() == TIME // 2
    np.testing.assert_allclose(heard[TIME // 2 :][:3000], heard[: TIME // 2 + 1][::-1][:3000], atol=1e-6)
    noise = jnp.asarray(rng.standard_normal((2, 500)), jnp.float32)
    keys = jax.random.split(jax.random.key(0), 5)
    out = np.asarray(quick(jax.vmap(lambda key: augment.stethoscope(key, noise, RATE, 6.0, jnp.inf)))(keys))
    assert (np.sum(out**2, axis=-1) <= 10**0.6 * np.sum(noise**2, axis=-1)).all()


def test_impossible_devices_are_refused():
    with pytest.raises(ValueError, match="at least one band and a sample rate above 40 Hz, got 0"):
        augment.stethoscope(jax.random.key(0), IMPULSE, RATE, bands=0)
    with pytest.raises(ValueError, match="got 6 and 30 Hz"):
        augment.stethoscope(jax.random.key(0), IMPULSE, 30)
