import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from hsjax.dsp import augment
from hsjax.dsp.augment.speed import positions

N_FFT, HOP = 128, 32


def heart_sounds(time=3000, rate=2000):
    t = np.arange(time) / rate
    beats = np.exp(-(((t % 0.7) - 0.2) ** 2) / 0.001) + 0.5 * np.exp(-(((t % 0.7) - 0.5) ** 2) / 0.0005)
    return beats * (np.sin(2 * np.pi * 60 * t) + np.sin(2 * np.pi * 130 * t + 1))


def stretched(samples, rate):
    return librosa.effects.time_stretch(samples, rate=rate, n_fft=N_FFT, hop_length=HOP)


def test_plain_rates_are_librosa_s(quick, rng):
    samples = rng.standard_normal((2, 601))
    cases = [(0.7, None), (1, 1000), (1.31, None), (1.31, 1000)]
    with jax.enable_x64(True):
        every = quick(lambda x: [augment.stretch(x, rate, N_FFT, HOP, length) for rate, length in cases])
        results = every(jnp.asarray(samples))
    for (rate, length), got in zip(cases, results, strict=True):
        want = stretched(samples, rate)
        np.testing.assert_allclose(got, librosa.util.fix_length(want, size=length or want.shape[-1]), atol=1e-9)


def test_traced_rate_is_librosa_s_cut_or_padded(quick, rng):
    samples = rng.standard_normal(1501)
    with jax.enable_x64(True):
        traced = quick(lambda x, rate: augment.stretch(x, rate, N_FFT, HOP, len(x)))
        for rate in (0.713, 0.987, 1.0531, 1.3917):
            got = traced(jnp.asarray(samples), jnp.asarray(rate))
            want = librosa.util.fix_length(stretched(samples, rate), size=1501)
            np.testing.assert_allclose(got, want, atol=1e-9)
            np.testing.assert_array_equal(np.asarray(got)[round(1501 / rate) :], 0)


def test_random_rates_fill_the_range(quick, rng):
    samples = jnp.asarray(rng.standard_normal(1500), jnp.float32)
    keys = jax.random.split(jax.random.key(0), 40)
    out = np.asarray(quick(jax.vmap(lambda key: augment.time_stretch(key, samples, 64, 16, (1.1, 1.5))))(keys))
    rates = 1500 / (1500 - (out[:, ::-1] != 0).argmax(axis=1))  # from where the zeros behind it begin
    assert 1.09 < rates.min() < 1.14
    assert 1.46 < rates.max() < 1.51


def test_phase_vocoder_is_librosa_s(quick, rng):
    spectrum = rng.standard_normal((2, 20, 33)) + 1j * rng.standard_normal((2, 20, 33))
    spectrum[0, 5:8] = 0
    with jax.enable_x64(True):
        got = quick(lambda x: augment.phase_vocoder(x, 0.8, 25))(jnp.asarray(spectrum))
    want = librosa.phase_vocoder(np.swapaxes(spectrum, 1, 2), rate=0.8, hop_length=16, n_fft=64)
    np.testing.assert_allclose(got, np.swapaxes(want, 1, 2), atol=1e-9)


def test_phases_do_not_drift_in_float32(quick, rng):
    spectrum = (rng.standard_normal((20000, 3)) + 1j * rng.standard_normal((20000, 3))).astype(np.complex64)
    got = quick(lambda x: augment.phase_vocoder(x, 1.0, 20000))(jnp.asarray(spectrum))
    np.testing.assert_allclose(got, spectrum, atol=5e-4)


def test_transposition_is_librosa_s(quick):
    samples = heart_sounds()
    with jax.enable_x64(True):
        shifted = quick(lambda x, n: augment.transpose(x, n, N_FFT, HOP))
        for semitones in (-2.9, 1.3, 4.0):
            want = librosa.effects.pitch_shift(samples, sr=2000, n_steps=semitones, n_fft=N_FFT, hop_length=HOP)
            got = shifted(jnp.asarray(samples), jnp.asarray(semitones))
            # librosa resamples with soxr; the difference is that of the two interpolations.
            np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())
        np.testing.assert_array_equal(shifted(jnp.asarray(samples), 9.0), shifted(jnp.asarray(samples), 4.0))


@pytest.mark.realdata
def test_real_recordings_stretch_as_librosa_s(quick, recordings):
    rows = np.stack([samples[:2000] / np.abs(samples[:2000]).max() for samples, _ in recordings.values()])
    got = quick(lambda x: augment.stretch(x, 0.9137, N_FFT, HOP))(jnp.asarray(rows, jnp.float32))
    # float32 beside float64: where a bin holds next to nothing, its phase is uncertain, and so are all later ones.
    np.testing.assert_allclose(got, stretched(rows, 0.9137), atol=1e-3)


@pytest.fixture(scope="module")
def read(quick):
    """480 samples of three channels of 800."""
    return quick(lambda x, rate: augment.change_speed(x, rate, 480))


def test_interpolation_is_exact_for_sines_below_its_edge(read):
    for rate in np.float32([0.5, 0.83, 1.0, 1.1, 1.6]):
        omega = np.pi * np.array([0.3, 0.6, 0.8])[:, None] * min(1, 1 / rate)
        got = read(np.sin(omega * np.arange(800)).astype(np.float32), rate)
        want = np.sin(omega * np.arange(480) * rate)
        for one, exact, most in zip(np.asarray(got), want, [2e-5, 2e-5, 5e-5], strict=True):
            np.testing.assert_allclose(one[60:-60], exact[60:-60], atol=most)


def test_what_would_alias_is_faded(read):
    high = np.sin(np.pi * 0.9 * np.arange(800) + np.arange(3)[:, None]).astype(np.float32)
    assert np.abs(np.asarray(read(high, np.float32(1.5)))[:, 60:-60]).max() < 1e-3


def test_past_the_end_is_silence(read):
    got = np.asarray(read(np.ones((3, 800), np.float32), np.float32(2)))
    np.testing.assert_array_equal(got[:, 400:], 0)
    np.testing.assert_allclose(got[:, 20:380], 1, atol=1e-4)


def test_positions_are_precise_after_a_million_steps(quick):
    read = quick(lambda r: positions(1_200_000, r, jnp.dtype(jnp.float32)))
    for rate in map(np.float32, [0.97, 1.0, 1.0371, 0.16666667]):
        whole, fraction = map(np.asarray, read(rate))
        exact = np.arange(1_200_000) * np.float64(rate)
        np.testing.assert_allclose(whole + fraction.astype(np.float64), exact, atol=1e-4)
        assert fraction.min() >= 0
        assert fraction.max() <= 1


def test_gradients_are_difference_quotients(quick, rng):
    with jax.enable_x64(True):
        samples, step = jnp.asarray(rng.standard_normal(300)), jnp.asarray(rng.standard_normal(300))

        def by_samples(amount):
            return jnp.sum(jnp.sin(augment.transpose(samples + amount * step, 2.0, 64, 16)))

        def by_rate(rate):
            return jnp.sum(jnp.sin(augment.change_speed(samples, rate, 300, 8)))

        for function, at in ((by_samples, 0.0), (by_rate, 0.91377131)):
            loss = quick(jax.value_and_grad(function))
            (_, slope), (above, _), (below, _) = (loss(at + change) for change in (0, 1e-6, -1e-6))
            assert slope == pytest.approx(float(above - below) / 2e-6, rel=1e-5)


def test_impossible_stretches_are_refused():
    for function, message in [
        (lambda x: augment.stretch(x, 0, 64, 16), "rate above 0, got 0"),
        (lambda x: augment.stretch(x, jnp.float32(1), 64, 16), "want a length with a traced rate"),
        (lambda x: augment.transpose(x, 1, 64, 16, most=-1), "0 semitones or more"),
    ]:
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(function, jnp.zeros(300))
