import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal

from hsjax.dsp.cepstrum import mfcc as whole_mfcc
from hsjax.dsp.decibels import Reference
from hsjax.dsp.fourier import Backend
from hsjax.dsp.frames import Padding
from hsjax.dsp.streaming import (
    chain,
    deltas,
    each,
    frame_latency,
    in_chunks,
    log_mel,
    mel_spectrogram,
    mfcc,
    pcen,
    power_spectrum,
    resample,
    stft,
)

RATE, MELS = 1000, {"n_fft": 64, "hop_length": 25, "n_mels": 12, "fmax": 400}


def close(got, want, tolerance):
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())


def librosa_s_mel(samples):
    mel = librosa.feature.melspectrogram(y=samples, sr=RATE, pad_mode="constant", dtype=np.float64, **MELS)
    return np.swapaxes(mel, -1, -2)


@pytest.mark.parametrize(("backend", "padding"), [(Backend.FFT, Padding.NONE), (Backend.DFT, Padding.CENTER)])
def test_transform_and_power_are_librosa_s(backend, padding, hear, rng):
    samples = rng.standard_normal((2, 409))
    with jax.enable_x64(True):
        spectrum = librosa.stft(samples, n_fft=64, hop_length=25, center=padding is Padding.CENTER, pad_mode="constant")
        want = np.swapaxes(spectrum, -1, -2)
        close(hear(stft(64, 25, padding=padding, backend=backend), samples, [77, 1], 100), want, 1e-12)
        power = power_spectrum(64, 25, slice(3, 9), padding=padding, backend=backend)
        close(hear(power, samples, [409], 100), np.abs(want[..., 3:9]) ** 2, 1e-12)


def test_bands_and_cepstra_are_librosa_s_and_the_whole_signal_s(hear, rng):
    samples = 0.1 * rng.standard_normal((2, 409))
    mel = librosa_s_mel(samples)
    db = librosa.power_to_db(mel, ref=0.5, amin=1e-4, top_db=None)
    lifted = scipy.fft.dct(db, norm="ortho")[..., :7] * (1 + 11 * np.sin(np.pi * np.arange(1, 8) / 22))
    cepstra = mfcc(RATE, 7, lifter=22, ref=0.5, amin=1e-4, **MELS)
    with jax.enable_x64(True):
        close(hear(mel_spectrogram(RATE, **MELS), samples, [1, 30], 50), mel, 1e-12)
        close(hear(log_mel(RATE, ref=0.5, amin=1e-4, **MELS), samples, [77, 200], 50), db, 1e-12)
        close(hear(cepstra, samples, [0, 77, 200], 50), np.swapaxes(lifted, -1, -2), 1e-12)
    assert cepstra.latency == frame_latency(64, 25) == 25
    single = samples.astype(np.float32)
    arguments = dict(lifter=22, ref=0.5, amin=1e-4, top_db=None, **MELS)
    want = jax.jit(lambda x: whole_mfcc(x, RATE, 7, **arguments))(single)
    close(hear(cepstra, single, [77, 200], 50), want, 1e-6)


@pytest.mark.filterwarnings("ignore:n_fft=64 is too large:UserWarning")
def test_energies_and_slopes_behind_late_streams_are_librosa_s(rng):
    """The running mean begins with the first frame, and the first frame is held before itself, not what precedes it."""
    samples = 1e3 * rng.standard_normal((2, 818))
    energies = librosa_s_mel(scipy.signal.resample_poly(samples, 1, 2, axis=-1))
    loudness = np.swapaxes(librosa.pcen(np.swapaxes(energies, -1, -2), sr=RATE, hop_length=25, axis=-1), -1, -2)
    slopes = scipy.signal.savgol_filter(np.log(1 + loudness), 5, 1, deriv=1, axis=-2, mode="nearest")
    late = chain(resample(2 * RATE, RATE), mel_spectrogram(RATE, **MELS), pcen(RATE, 25))
    with jax.enable_x64(True):
        stream = chain(late, each(lambda x: jnp.log(1 + x), axis_in=-2), deltas(5, axis=-2))
        assert stream.delay == late.delay + 2
        both = jax.jit(lambda x: (in_chunks(late, x, 100), in_chunks(stream, x, 100)))
        got = both(samples)
        close(got[0], loudness, 1e-12)
        close(got[1], slopes, 1e-12)
        # Over before the delay is.
        few = jax.jit(lambda x: in_chunks(late, x, 100))(samples[:, :60])
    energies = librosa_s_mel(scipy.signal.resample_poly(samples[:, :60], 1, 2, axis=-1))
    loudness = np.swapaxes(librosa.pcen(np.swapaxes(energies, -1, -2), sr=RATE, hop_length=25, axis=-1), -1, -2)
    close(few, loudness, 1e-12)


def test_a_signal_shorter_than_a_frame_has_no_frames_without_padding(hear):
    stream = chain(mel_spectrogram(RATE, padding=Padding.NONE, **MELS), pcen(RATE, 25), deltas(3, axis=-2))
    assert hear(stream, np.ones((2, 60), np.float32), [9], 50).shape == (2, 0, 12)
    assert jax.eval_shape(lambda x: in_chunks(stream, x, 100), jnp.ones((2, 60))).shape == (2, 0, 12)


def test_silence_is_finite(hear):
    stream = mfcc(RATE, 7, **MELS)
    heard = hear(stream, np.zeros(130, np.float32), [50], 50)
    np.testing.assert_allclose(heard[1:], 0, atol=1e-4)
    np.testing.assert_allclose(heard[0], -100 * np.sqrt(12), rtol=1e-6)


def test_what_cannot_be_says_so():
    for arguments in ({"top_db": 80.0}, {"ref": Reference.MAX}):
        for make in (lambda **more: log_mel(RATE, **more, **MELS), lambda **more: mfcc(RATE, 7, **more, **MELS)):
            with pytest.raises(ValueError, match="maximum of a whole signal is not known while it goes on"):
                make(**arguments)
    with pytest.raises(ValueError, match="mirror image"):
        mel_spectrogram(RATE, padding=Padding.CENTER_REFLECT, **MELS)
    with pytest.raises(ValueError, match="13 coefficients need"):
        mfcc(RATE, 13, **MELS)
    with pytest.raises(ValueError, match="win_length between 1 and n_fft"):
        stft(64, 25, win_length=65)
    with pytest.raises(ValueError, match="b between 0 and 1"):
        pcen(RATE, 25, b=2)
    with pytest.raises(ValueError, match="odd width"):
        deltas(4)
    with pytest.raises(TypeError, match="want hop_length, n_mels too"):
        log_mel(RATE, n_fft=64)
    with pytest.raises(ValueError, match="takes items along axis -2, but the one before gives them along axis -1"):
        chain(mfcc(RATE, 7, **MELS), pcen(RATE, 25))
