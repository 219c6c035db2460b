import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
import scipy.signal
import soundfile

from hsjax.dsp.segmentation.envelopes import condition, envelopes, hilbert
from hsjax.dsp.segmentation.strided import correlate
from hsjax.dsp.segmentation.wavelet import detail

HOMOMORPHIC, HILBERT, WAVELET, PSD = range(4)
TIME = 12500


@pytest.fixture(scope="module")
def computed(quick):
    """(conditioned, lengths), (features, frames); compiled once, for every test has (6, TIME) samples."""
    return quick(lambda x, lengths: (condition(x, 2000, lengths), envelopes(x, 2000, lengths)))


@pytest.fixture(scope="module")
def gradient_and_envelopes(quick):
    def cubes(samples, lengths):
        features, frames = envelopes(samples, 2000, lengths)
        return jnp.sum(features**3), (features, frames)

    return quick(jax.grad(cubes, has_aux=True))


def heart(rng, seconds, sample_rate=2000, cycle=0.85):
    """Bursts of 50 and 70 Hz in noise."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    samples = 0.01 * rng.standard_normal(len(time))
    for k in range(int(seconds / cycle) + 1):
        for delay, tone in [(0.1, 50), (0.42, 70)]:
            moved = time - k * cycle - delay
            samples += 0.3 * np.exp(-0.5 * (moved / 0.02) ** 2) * np.sin(2 * np.pi * tone * moved)
    return samples


def padded(recordings, time, behind=0.3):
    batch = np.full((len(recordings), time), behind, recordings[0].dtype)
    for row, samples in zip(batch, recordings, strict=True):
        row[: len(samples)] = samples
    return batch, np.array([len(samples) for samples in recordings], np.int32)


def band_passed(samples):
    """At 1000 Hz, without spikes to remove."""
    low = scipy.signal.butter(2, 400, fs=1000, output="sos")
    high = scipy.signal.butter(2, 25, "highpass", fs=1000, output="sos")
    return scipy.signal.sosfiltfilt(np.concatenate([low, high]), scipy.signal.resample_poly(samples, 1, 2))


def standardised(values):
    return (values - values.mean()) / values.std(ddof=1)


def reference(conditioned):
    """(frames, 4) of one conditioned recording, by SciPy and PyWavelets."""
    time = len(conditioned)
    # Zeros around it, or scipy's transform takes the recording's end for its past.
    around = np.pad(conditioned, 8192)
    amplitude = np.abs(scipy.signal.hilbert(around))[8192 : 8192 + time]
    smooth = scipy.signal.butter(1, 8, fs=1000, output="sos")
    homomorphic = np.exp(scipy.signal.sosfiltfilt(smooth, np.log(amplitude)))
    coefficients = pywt.wavedec(conditioned, "rbio3.9", "symmetric", 3)[1]
    wavelet = np.repeat(np.abs(coefficients), 8)[63 : 63 + time]
    around = np.pad(conditioned, (12, 40))
    frequency, _, power = scipy.signal.spectrogram(around, 1000, "hamming", 25, 20, 1000, detrend=False)
    psd = power[(frequency > 39.5) & (frequency < 60.5)].mean(axis=0)[: -(-time // 5)]
    decimated = [(homomorphic, 20), (amplitude, 20), (wavelet, 20), (psd, 4)]
    return np.stack(
        [standardised(scipy.signal.resample_poly(values, 1, step, padtype="edge")) for values, step in decimated], -1
    )


def springer(conditioned):
    """As in Springer's published code, ends and offsets included."""
    amplitude = np.abs(scipy.signal.hilbert(conditioned))
    b, a = scipy.signal.butter(1, 8, fs=1000)
    homomorphic = np.exp(scipy.signal.filtfilt(b, a, np.log(amplitude), padlen=3))
    homomorphic[0] = homomorphic[1]
    coefficients = pywt.wavedec(conditioned, "rbio3.9", "symmetric", 3)[1]
    held = np.repeat(np.abs(coefficients), 8)
    wavelet = held[(len(held) - len(conditioned)) // 2 :][: len(conditioned)]
    frequency, time, power = scipy.signal.spectrogram(conditioned, 1000, "hamming", 25, 13, 1000, detrend=False)
    psd = power[(frequency > 39.5) & (frequency < 60.5)].mean(axis=0)
    values = [scipy.signal.resample_poly(values, 1, 20) for values in (homomorphic, amplitude, wavelet)]
    # Springer stretches the power to the other envelopes' length; here it stays where it was measured.
    values.append(np.interp(np.arange(len(values[0])) * 0.02, time, psd))
    return np.stack([standardised(value) for value in values], -1)


def assert_agrees(features, frames, conditioned, lengths):
    for got, count, samples, length in zip(features, frames, conditioned, lengths, strict=True):
        want = reference(samples[:length])
        assert count == len(want) == -(-length // 20)
        np.testing.assert_array_equal(got[count:], 0)
        np.testing.assert_allclose(got[:count, [WAVELET, PSD]], want[:, [WAVELET, PSD]], atol=1e-9)
        for which, tolerance in [(HOMOMORPHIC, 0.2), (HILBERT, 0.2)]:
            assert np.corrcoef(got[:count, which], want[:, which])[0, 1] > 0.999
            np.testing.assert_allclose(got[:count, which], want[:, which], atol=tolerance)
            assert np.median(np.abs(got[:count, which] - want[:, which])) < 0.02


@pytest.fixture(scope="module")
def batch64(computed):
    """Six recordings, what is made of them, in float64."""
    rng = np.random.default_rng(0)
    recordings = [heart(rng, seconds) for seconds in (5.0, 3.3335, 4.0215, 2.5, 3.0, 6.1)]
    samples, lengths = padded(recordings, TIME)
    with jax.enable_x64(True):
        return recordings, *map(np.array, jax.tree.leaves(computed(samples, lengths)))


def test_conditioned_is_scipy_s_filter(batch64):
    recordings, conditioned, lengths, *_ = batch64
    for samples, got, length in zip(recordings, conditioned, lengths, strict=True):
        want = band_passed(samples)
        assert length == len(want)
        np.testing.assert_allclose(got[:length], want, atol=1e-9)
        np.testing.assert_array_equal(got[length:], 0)


def test_envelopes_are_scipy_s_and_pywavelets_(batch64):
    _, conditioned, lengths, features, frames = batch64
    assert_agrees(features, frames, conditioned, lengths)


def test_float32_agrees_with_float64(gradient_and_envelopes, batch64):
    recordings, _, _, features, frames = batch64
    samples, lengths = padded([samples.astype(np.float32) for samples in recordings], TIME)
    gradient, (got, count) = gradient_and_envelopes(samples, lengths)
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max(axis=-1) > 0).all()
    np.testing.assert_array_equal(count, frames)
    np.testing.assert_allclose(got, features, atol=1e-3)


def test_degenerate_recordings(gradient_and_envelopes, rng):
    sound = heart(rng, 2.0).astype(np.float32)
    nan = sound.copy()
    nan[1234] = np.nan
    samples, lengths = padded([0 * sound, 0 * sound + 0.5, nan, sound[:30], sound[:0], sound], TIME)
    gradient, (features, frames) = gradient_and_envelopes(samples, lengths)
    assert np.isfinite(gradient[np.array([0, 1, 3, 4, 5])]).all()
    np.testing.assert_array_equal(frames, [100, 100, 100, 1, 0, 100])
    np.testing.assert_array_equal(features[0], 0)
    assert np.isfinite(features[1]).all()
    assert np.isnan(features[2, :100]).all()
    np.testing.assert_array_equal(features[3:5], 0)
    assert np.isfinite(features[5]).all()


@pytest.mark.parametrize("time", [0, 30])
def test_too_few_samples_are_refused(time):
    with pytest.raises(ValueError, match="want"):
        jax.eval_shape(lambda x: envelopes(x, 2000), jnp.zeros(time))


def test_integers_are_refused():
    with pytest.raises(TypeError, match="int16"):
        envelopes(jnp.zeros(4000, jnp.int16), 2000)


def test_hilbert_turns_cosines_into_sines(quick):
    turns = 2 * np.pi * np.array([20.0, 55.5, 200.0, 480.0])[:, None] * np.arange(1999) / 1000
    with jax.enable_x64(True):
        got = quick(hilbert)(np.cos(turns))
    np.testing.assert_allclose(got[:, 300:-300], np.sin(turns)[:, 300:-300], atol=1e-3)


# time, taps, kernels, hop, frames
CORRELATIONS = [(50, 3, 2, 1, 50), (701, 25, 3, 5, 141), (90, 4, 1, 7, 20), (300, 130, 1, 64, 5)]


def test_correlate_is_the_sum_it_says(quick, rng):
    given = [
        (rng.standard_normal((2, time)), rng.standard_normal((taps, kernels)))
        for time, taps, kernels, _, _ in CORRELATIONS
    ]
    with jax.enable_x64(True):
        results = quick(
            lambda every: [
                correlate(x, weights, hop, frames)
                for x, (_, weights), (_, _, _, hop, frames) in zip(every, given, CORRELATIONS, strict=True)
            ]
        )([samples for samples, _ in given])
    for (samples, weights), (_, taps, _, hop, frames), got in zip(given, CORRELATIONS, results, strict=True):
        longer = np.pad(samples, ((0, 0), (0, frames * hop + taps)))
        want = np.stack([longer[:, f * hop : f * hop + taps] @ weights for f in range(frames)], axis=1)
        np.testing.assert_allclose(got, want, atol=1e-12)


def test_detail_is_pywavelets_s_for_every_length(quick, rng):
    samples = rng.standard_normal((6, 131))
    lengths = np.array([131, 130, 97, 24, 3, 1], np.int32)
    with jax.enable_x64(True):
        got = np.asarray(quick(detail)(samples, lengths))
    for row, values, length in zip(got, samples, lengths, strict=True):
        for _ in range(2):
            values, length = pywt.dwt(values[:length], "rbio3.9", "symmetric")[0], (length + 19) // 2
        want = pywt.dwt(values, "rbio3.9", "symmetric")[1]
        np.testing.assert_allclose(row[: len(want)], want, atol=1e-12)


@pytest.mark.realdata
def test_envelopes_of_real_recordings(computed, real_root):
    paths = [sorted((real_root / f"physionet2016/training-{part}").glob("*.wav"))[3] for part in "abcdef"]
    recordings = [soundfile.read(path)[0][: 12000 + 37 * k] for k, path in enumerate(paths)]
    samples, lengths = padded(recordings, TIME)
    with jax.enable_x64(True):
        conditioned, shorter, features, frames = map(np.array, jax.tree.leaves(computed(samples, lengths)))
    for got, count, values, length in zip(features, frames, conditioned, shorter, strict=True):
        want = reference(values[:length])
        np.testing.assert_allclose(got[:count, [WAVELET, PSD]], want[:, [WAVELET, PSD]], atol=1e-9)
        theirs = springer(values[:length])
        for which, least in [(HOMOMORPHIC, 0.99), (HILBERT, 0.99), (WAVELET, 0.95), (PSD, 0.9)]:
            assert np.corrcoef(got[:count, which], theirs[:, which])[0, 1] > least
            if which in (HOMOMORPHIC, HILBERT):
                assert np.corrcoef(got[:count, which], want[:, which])[0, 1] > 0.999
                assert np.abs(got[:count, which] - want[:, which]).max() < 0.2


@pytest.mark.realdata
def test_other_rates_come_to_the_same(quick, recordings):
    """44.1 kHz is resampled to 1000 Hz like everything else."""
    samples, sample_rate = recordings["pascal-a"]
    assert sample_rate == 44100
    with jax.enable_x64(True):
        got, length = quick(lambda x: condition(x, sample_rate))(samples)
    want = scipy.signal.resample_poly(samples, 10, 441)
    low = scipy.signal.butter(2, 400, fs=1000, output="sos")
    high = scipy.signal.butter(2, 25, "highpass", fs=1000, output="sos")
    want = scipy.signal.sosfiltfilt(np.concatenate([low, high]), want)
    assert length == len(want) == got.shape[-1]
    kept = np.asarray(got) != 1e-4  # spikes
    assert kept.mean() > 0.9
    np.testing.assert_allclose(np.asarray(got)[kept], want[kept], atol=1e-9)
