"""What every function of signals does with silence, a constant, clipping, a NaN, one sample and none.

The segmentation and R peaks, whose compilations are long, are asked the same in their own tests.
"""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from hsjax import dsp

RATE, TIME = 2000, 600
SECTIONS = dsp.butterworth(2, (25.0, 400.0), RATE)
BANDS = {"n_fft": 64, "hop_length": 32, "n_mels": 8}

WINDOWED = {
    "frame": functools.partial(dsp.frame, frame_length=64, hop_length=32, padding=dsp.Padding.NONE),
    "stft": functools.partial(dsp.stft, n_fft=64, hop_length=32, padding=dsp.Padding.NONE),
    "power_spectrum": functools.partial(dsp.power_spectrum, n_fft=64, hop_length=32, padding=dsp.Padding.NONE),
    "spectrogram": functools.partial(dsp.spectrogram, sample_rate=RATE, nperseg=64),
    "log_mel": functools.partial(dsp.log_mel, sample_rate=RATE, padding=dsp.Padding.NONE, **BANDS),
    "mfcc": functools.partial(dsp.mfcc, sample_rate=RATE, n_mfcc=4, padding=dsp.Padding.NONE, **BANDS),
}
WHOLE = {
    "remove_mean": dsp.remove_mean,
    "z_score": dsp.z_score,
    "peak": dsp.peak,
    "unit_rms": dsp.unit_rms,
    "min_max": dsp.min_max,
    "fir_filter": lambda x: dsp.fir_filter(x, np.array([0.5, 0.3, 0.2])),
    "sos_filter": lambda x: dsp.sos_filter(x, SECTIONS),
    "resample": lambda x: dsp.resample(x, RATE, 1000),
    "running_median": lambda x: dsp.running_median(x, 5),
}
NEED_MORE = {
    "zero_phase": lambda x: dsp.zero_phase(x, SECTIONS),
    "notch": lambda x: dsp.notch(x, RATE),
    "remove_baseline": lambda x: dsp.remove_baseline(x, RATE),
}
SPIKES = {"remove_spikes": lambda x: dsp.remove_spikes(x, RATE)}

ALL = WINDOWED | WHOLE | NEED_MORE | SPIKES

SIGNALS = {
    "silence": np.zeros(TIME, np.float32),
    "constant": np.full(TIME, 0.7, np.float32),
    "clipped": np.sign(np.sin(np.arange(TIME) * 0.05 + 0.01)).astype(np.float32),
}


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("name", ALL)
def test_finite_in_finite_out(name, signal):
    result = np.asarray(ALL[name](jnp.asarray(SIGNALS[signal])))
    assert result.size
    assert np.isfinite(result).all()


@pytest.mark.parametrize("name", ALL)
def test_a_nan_is_not_lost_and_troubles_no_neighbour(name):
    """Two recordings in a batch, one with a NaN: the other is what it is alone."""
    good = np.random.default_rng(0).standard_normal(TIME).astype(np.float32)
    bad = good.copy()
    bad[TIME // 2] = np.nan
    both = np.asarray(ALL[name](jnp.asarray(np.stack([good, bad]))))
    alone = np.asarray(ALL[name](jnp.asarray(good)))
    np.testing.assert_allclose(both[0], alone, atol=1e-5)
    assert np.isnan(both[1]).any() or name == "running_median"  # which counts a NaN as larger than all numbers


@pytest.mark.parametrize("name", ALL)
def test_no_samples_say_so(name):
    if name == "remove_spikes":  # nothing in it to remove
        assert ALL[name](jnp.zeros(0)).shape == (0,)
        return
    with pytest.raises(ValueError, match=r"sample|frame|longer|shorter"):
        ALL[name](jnp.zeros(0))


@pytest.mark.parametrize("name", WINDOWED | NEED_MORE)
def test_one_sample_is_too_short_and_says_so(name):
    with pytest.raises(ValueError, match=r"sample|frame|segment"):
        ALL[name](jnp.ones(1))


@pytest.mark.parametrize("name", WHOLE | SPIKES)
def test_one_sample_is_enough(name):
    result = np.asarray(ALL[name](jnp.ones(1)))
    assert result.shape == (1,)
    assert np.isfinite(result).all()


@pytest.mark.parametrize("name", ALL)
def test_integers_are_refused(name):
    with pytest.raises(TypeError, match=r"from_pcm|Expected type: .*Float"):
        ALL[name](jnp.ones(TIME, jnp.int16))


def test_pcm_of_another_width_is_refused():
    with pytest.raises(TypeError, match="int64"):
        dsp.from_pcm(np.array([16384], np.int64))
    np.testing.assert_array_equal(dsp.from_pcm(np.array([16384, -32768], np.int16)), [0.5, -1.0])
