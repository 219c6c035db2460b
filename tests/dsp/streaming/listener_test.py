import dataclasses

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.signal

from hsjax.dsp.cepstrum import mfcc as whole_mfcc
from hsjax.dsp.design import butterworth
from hsjax.dsp.polyphase import resample as whole_resample
from hsjax.dsp.sos import sos_filter as whole_sos_filter
from hsjax.dsp.streaming import Listener, chain, frame, in_chunks, mel_spectrogram, mfcc, pcen, resample, sos_filter

# A microphone at 4 kHz: band-pass, 2 kHz, coefficients of frames of 128 ms.
BAND = butterworth(3, (25, 400), 4000)
MELS = {"n_fft": 256, "hop_length": 50, "n_mels": 20, "fmax": 500}
STREAM = chain(sos_filter(BAND), resample(4000, 2000), mfcc(2000, 13, amin=1e-8, **MELS))
CHUNK = 400  # 100 ms


def peers(samples):
    """By SciPy and librosa, of the whole signal."""
    halved = scipy.signal.resample_poly(scipy.signal.sosfilt(BAND, samples), 1, 2, axis=-1)
    mel = librosa.feature.melspectrogram(y=halved, sr=2000, pad_mode="constant", dtype=np.float64, **MELS)
    db = librosa.power_to_db(mel, amin=1e-8, top_db=None)
    return librosa.feature.mfcc(S=db, n_mfcc=13)


@pytest.mark.filterwarnings("ignore:n_fft=256 is too large:UserWarning")
@hypothesis.settings(max_examples=10, deadline=None, derandomize=True)
@hypothesis.given(time=st.integers(1, 3000), sizes=st.lists(st.integers(0, 900), min_size=1, max_size=4).filter(any))
def test_whatever_is_pushed_is_what_the_peers_make_of_the_whole(hear, time, sizes):
    samples = 0.1 * np.random.default_rng(time).standard_normal(time)
    with jax.enable_x64(True):
        np.testing.assert_allclose(hear(STREAM, samples, sizes, CHUNK), peers(samples), rtol=0, atol=1e-9)


@pytest.mark.realdata
def test_real_recordings_are_what_the_peers_make_of_the_whole(recordings, hear):
    """Of every dataset, as if all were recorded at 4 kHz."""
    for turn, (samples, _) in enumerate(recordings.values()):
        samples = samples[: 4000 + 111 * turn]
        with jax.enable_x64(True):
            got = hear(STREAM, samples, [160 + 41 * turn, 1, 0, 900], CHUNK)
        np.testing.assert_allclose(got, peers(samples), rtol=0, atol=1e-9)


def test_pushing_scanning_and_the_whole_agree_in_single_precision(hear, rng):
    samples = (0.1 * rng.standard_normal((2, 2111))).astype(np.float32)
    whole = jax.jit(
        lambda x: whole_mfcc(
            whole_resample(whole_sos_filter(x, BAND), 4000, 2000), 2000, 13, amin=1e-8, top_db=None, **MELS
        )
    )(samples)
    scanned = jax.jit(lambda x: in_chunks(STREAM, x, CHUNK))(samples)
    pushed = hear(STREAM, samples, [1, 50, 600], CHUNK)
    loudest = np.abs(whole).max()
    assert pushed.shape == scanned.shape == whole.shape
    np.testing.assert_allclose(pushed, whole, rtol=0, atol=1e-6 * loudest)
    np.testing.assert_allclose(scanned, whole, rtol=0, atol=1e-6 * loudest)


def test_the_latency_of_a_chain():
    """By hand: 20 samples of the resampler and 128 - 1 of half a frame at half the rate are 274, in hops of 100."""
    assert STREAM.multiple == 100
    assert STREAM.latency == 200
    assert chain(STREAM, sos_filter(BAND)).latency == 200
    # Sample 100 t + 274 is among the first 100 (t + 1) + 200.


def test_nothing_is_compiled_after_the_beginning_but_the_end_once():
    stream = chain(sos_filter(BAND), frame(20, 10))
    counted = dataclasses.replace(
        stream,
        step=chex.assert_max_traces(stream.step, n=1),
        flush=chex.assert_max_traces(stream.flush, n=1),
    )
    listener = Listener(counted, 20)
    for length in (0, 1, 2, 19, 33, 100):
        listener.push(np.ones(length, np.float32))
    listener.close()
    listener.reset()
    listener.push(np.ones(5))
    listener.close()
    Listener(counted, 20).push(np.ones(50, np.float32))


def test_no_sample_one_sample_and_silence_between():
    listener = Listener(frame(6, 2), 4)
    assert listener.push(np.zeros(0, np.float32)).shape == (0, 6)
    assert listener.close().shape == (0, 6)
    listener.reset()
    given = [listener.push(np.full(1, 1.0 + t, np.float32)) for t in range(4)]
    assert [len(frames) for frames in given] == [0, 0, 0, 1]
    np.testing.assert_array_equal(given[3], [[0, 0, 0, 1, 2, 3]])
    np.testing.assert_array_equal(listener.close(), [[0, 1, 2, 3, 4, 0], [2, 3, 4, 0, 0, 0]])


def test_what_was_heard_before_leaves_no_trace():
    """A NaN in recursions, and behind the end in the buffer; both are gone after reset."""
    stream = chain(sos_filter(BAND), mel_spectrogram(1000, n_fft=32, hop_length=16, n_mels=4), pcen(1000, 16))
    listener = Listener(stream, 32, (2,))
    samples = np.random.default_rng(1).standard_normal((2, 100)).astype(np.float32)
    want = np.concatenate([listener.push(samples), listener.close()], axis=-2)
    assert np.isfinite(want).all()
    listener.reset()
    spoiled = samples.copy()
    spoiled[0, 40] = np.nan
    heard = np.concatenate([listener.push(spoiled[:, :63]), listener.close()], axis=-2)
    assert np.isnan(heard[0]).any()
    assert np.isfinite(heard[1]).all()
    listener.reset()
    np.testing.assert_array_equal(np.concatenate([listener.push(samples), listener.close()], axis=-2), want)


def test_what_comes_back_does_not_change_with_what_comes_next():
    listener = Listener(frame(4, 4), 4)
    first = listener.push(np.full(8, 1.0, np.float32))
    kept = first.copy()
    listener.push(np.full(8, 2.0, np.float32))
    np.testing.assert_array_equal(first, kept)


def test_gradients_pass_through_the_state(rng):
    samples = jnp.asarray(rng.standard_normal(60), jnp.float32)
    stream = chain(sos_filter(BAND), frame(8, 4))
    slope = jax.jit(jax.grad(lambda x: jnp.sum(in_chunks(stream, x, 20)[2])))(samples)
    # Frame 2 of the filtered signal is samples 4 to 11, of which each is a sum over those before.
    impulse = scipy.signal.sosfilt(BAND, np.eye(60), axis=-1)
    np.testing.assert_allclose(slope, impulse[:, 4:12].sum(axis=-1), rtol=0, atol=1e-6)


def test_what_cannot_be_says_so():
    listener = Listener(frame(6, 2), 4, (3,))
    with pytest.raises(ValueError, match=r"want samples of shape \(3, 'time'\), got \(2, 9\)"):
        listener.push(np.zeros((2, 9), np.float32))
    with pytest.raises(TypeError, match=r"floating point, as dsp\.from_pcm gives them, got int16"):
        listener.push(np.zeros((3, 9), np.int16))
    with pytest.raises(TypeError, match=r"floating point, as dsp\.from_pcm gives them, got int16"):
        Listener(frame(6, 2), 4, dtype=np.int16)
    with pytest.raises(ValueError, match="positive multiple of 2 items along axis -1, got 3"):
        Listener(frame(6, 2), 3)
    with pytest.raises(ValueError, match="positive multiple of 2 items along axis -1, got 0"):
        Listener(frame(6, 2), 0)
    with pytest.raises(ValueError, match="stream of samples along axis -1, got one along axis -2"):
        Listener(pcen(1000, 10), 4)
    listener.close()
    with pytest.raises(ValueError, match="got them after close"):
        listener.push(np.zeros((3, 9), np.float32))
    with pytest.raises(ValueError, match="close\\(\\) once"):
        listener.close()
