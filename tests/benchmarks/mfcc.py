"""MFCC of 64 windows of 2.5 s at 2 kHz, beside librosa and torch: the same float32 samples in, host arrays out."""

from collections.abc import Iterator

import jax
import librosa
import numpy as np
import scipy.fft
import scipy.signal
import torch

from hsjax.dsp.cepstrum import mfcc
from hsjax.dsp.fourier import Backend
from hsjax.dsp.mel import MelScale
from tests.benchmarks.pairing import paired

RATE, BATCH, WINDOW = 2000, 64, 5000
N_MFCC, N_FFT, HOP, N_MELS, FMIN, FMAX, TOP_DB = 13, 256, 50, 26, 20.0, 500.0, 80.0


def samples() -> np.ndarray:
    """Noise, louder at low frequencies, at the level of recordings."""
    noise = np.random.default_rng(0).standard_normal((BATCH, WINDOW))
    return (0.05 * scipy.signal.lfilter([1], [1, -0.9], noise)).astype(np.float32)


def ours(backend: Backend):
    """Jitted; a host array out."""
    compiled = jax.jit(
        lambda x: mfcc(
            x, RATE, N_MFCC, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, fmin=FMIN, fmax=FMAX, scale=MelScale.HTK,
            top_db=TOP_DB, backend=backend,
        )
    )  # fmt: skip
    return lambda x: np.asarray(compiled(x))


def librosa_s(x: np.ndarray) -> np.ndarray:
    """The whole batch in one call, where the floor of `top_db` is that of the loudest window."""
    return librosa.feature.mfcc(
        y=x, sr=RATE, n_mfcc=N_MFCC, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, fmin=FMIN, fmax=FMAX, htk=True,
        pad_mode="constant",
    )  # fmt: skip


def librosa_one_by_one(x: np.ndarray) -> np.ndarray:
    """A call for each window, as recordings come; the floor of `top_db` is each window's own."""
    return np.stack([librosa_s(window) for window in x])


def torch_s():
    """What torchaudio computes: stft, power, a product with the filterbank, logarithm, a product with the DCT."""
    filters = librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=N_MELS, fmin=FMIN, fmax=FMAX, htk=True)
    mel = torch.from_numpy(filters)
    dct = torch.from_numpy(scipy.fft.dct(np.eye(N_MELS), norm="ortho")[:, :N_MFCC].T.astype(np.float32))
    window = torch.hann_window(N_FFT)

    def compute(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            spectrum = torch.stft(
                torch.from_numpy(x), N_FFT, HOP, window=window, pad_mode="constant", return_complex=True
            )
            power = spectrum.real.square() + spectrum.imag.square()
            db = torch.matmul(mel, power).clamp_(min=1e-10).log10_().mul_(10.0)
            db = torch.maximum(db, db.amax((1, 2), keepdim=True) - TOP_DB)
            return torch.matmul(dct, db).numpy()

    return compute


def rows(threads: int) -> Iterator[dict[str, str | float]]:
    """One row per backend and peer. The caller limits this process to `threads` cores before jax starts.

    Args:
      threads: cores; torch is told, and it is part of the name.

    Raises:
      RuntimeError: a peer computes something else.
    """
    torch.set_num_threads(threads)
    x = samples()
    peers = {"librosa": librosa_one_by_one, "librosa, one call": librosa_s, "torch": torch_s()}
    for backend in (Backend.FASTEST, Backend.FFT):
        compute = ours(backend)
        for peer, theirs in peers.items():
            deviation = np.abs(compute(x) - theirs(x)).max() / np.abs(theirs(x)).max()
            if deviation > 1e-4:
                raise RuntimeError(f"{peer} computes something else: {deviation:.1e}")
            times = paired(lambda c=compute: c(x), lambda t=theirs: t(x), repetitions=40)
            seconds, their_seconds, ratio, low, high = times
            yield {
                "work": f"mfcc {BATCH} x 2.5 s at 2 kHz, {backend.value}, {threads} core{'s' * (threads > 1)}",
                "peer": peer,
                "unit": "ms",
                "ours": 1e3 * seconds,
                "theirs": 1e3 * their_seconds,
                "ratio": ratio,
                "ratio_low": low,
                "ratio_high": high,
            }
