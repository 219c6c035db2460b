import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hsjax.dsp import augment


def amplitudes(signal):
    return np.abs(np.fft.rfft(np.asarray(signal, np.float64), axis=-1)) * 2 / signal.shape[-1]


def test_wander_is_slow_and_bounded(quick):
    rate, time = 20, 8000
    keys = jax.random.split(jax.random.key(0), 30)
    flat = jnp.zeros((2, time))
    wander = np.asarray(quick(jax.vmap(lambda key: augment.baseline_wander(key, flat, rate, 0.7)))(keys))
    np.testing.assert_array_equal(wander[:, 0], wander[:, 1])
    wander = wander[:, 0]
    assert 0.3 < np.abs(wander).max() <= 0.7
    power = amplitudes(wander * np.hanning(time)) ** 2
    frequency = np.fft.rfftfreq(time, 1 / rate)
    outside = (frequency < 0.04) | (frequency > 0.51)
    assert power[:, outside].sum() < 1e-4 * power.sum()
    assert (power[:, frequency < 0.275].sum() / power.sum()) == pytest.approx(0.5, abs=0.1)


def test_hum_is_the_mains_and_its_harmonics(quick):
    four, drawn = quick(
        lambda key: (
            augment.powerline_hum(key, jnp.zeros(400), 400, 0.25, 50, 4),
            augment.powerline_hum(key, jnp.zeros(36000), 360, 1.0, (59.0, 61.0), 1),
        )
    )(jax.random.key(0))
    # Whole periods, so that every sine is one bin; the fourth harmonic of 50 Hz lies at half the sample rate.
    got = amplitudes(four)
    want = np.zeros(201)
    want[[50, 100, 150]] = 0.25 / np.array([1, 2, 3]) / (1 + 1 / 2 + 1 / 3 + 1 / 4)
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert 59 <= amplitudes(drawn).argmax() / 100 <= 61


def test_hum_keeps_its_frequency_for_an_hour(quick):
    time, rate = 360 * 3600, 360
    hum = quick(lambda key: augment.powerline_hum(key, jnp.zeros(time), rate, 1.0, 60.0, 1))(jax.random.key(0))
    hum = np.asarray(hum, np.float64)
    turns = 2 * np.pi * np.float64(np.float32(60 / 360))  # the nearest there is in float32
    end = np.arange(time)[-5000:] * turns
    start = np.arange(5000) * turns
    fit = [np.linalg.lstsq(np.stack([np.sin(t), np.cos(t)], 1), h, rcond=None)[0] for t, h in
           ((start, hum[:5000]), (end, hum[-5000:]))]  # fmt: skip
    # A float32 product of time and frequency would be wrong by 0.02 turns, 0.1 in these.
    np.testing.assert_allclose(fit[0], fit[1], atol=2e-3)


def test_muscles_have_their_band_and_their_power(quick, rng):
    samples = jnp.asarray(rng.standard_normal((2, 1441)))
    muscle = quick(lambda key, samples: augment.muscle_noise(key, samples, 360, 0.05))
    noise = np.asarray(muscle(jax.random.key(0), samples), np.float64) - np.asarray(samples)
    np.testing.assert_allclose(np.sqrt(np.mean(noise**2, axis=-1)), 0.05, rtol=1e-4)
    frequency = np.fft.rfftfreq(1441, 1 / 360)
    power = np.abs(np.fft.rfft(noise)) ** 2
    assert power[:, (frequency < 19.9) | (frequency > 150.1)].sum() < 1e-8 * power.sum()
    assert abs(np.corrcoef(noise)[0, 1]) < 0.2


def test_impossible_disturbances_are_refused():
    key, samples = jax.random.key(0), jnp.zeros(10)
    with pytest.raises(ValueError, match=r"0 <= low <= high < 5 Hz, got 8, 0\.05 and 6"):
        augment.baseline_wander(key, samples, 10, 1.0, (0.05, 6))
    with pytest.raises(ValueError, match="at least one wave"):
        augment.baseline_wander(key, samples, 10, 1.0, waves=0)
    with pytest.raises(ValueError, match="at least one harmonic"):
        augment.powerline_hum(key, samples, 360, 1.0, harmonics=0)
    with pytest.raises(ValueError, match="low < 10 Hz, got 20 and 150"):
        augment.muscle_noise(key, samples, 20, 1.0)
