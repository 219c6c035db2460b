"""What listening costs per second of sound, as rows for a table of speed.

The stream is a wearable's: at 2 kHz, a causal band-pass and 13 coefficients of frames of 128 ms every 25 ms, fed with
NumPy arrays as they come and read back as such. The peers compute the same values with carried state of their own,
which is checked before anything is timed. Compilation is not counted.
"""

import time
from collections.abc import Iterator

import librosa
import numpy as np
import scipy.fft
import scipy.signal

from hsjax.dsp.design import butterworth
from hsjax.dsp.streaming import Listener, chain, mfcc, sos_filter
from tests.benchmarks.pairing import paired

_COLUMNS = ("work", "peer", "unit", "ours", "theirs", "ratio", "ratio_low", "ratio_high")
_RATE = 2000
_SECONDS = 10
_CHUNKS = (50, 200, 1000)  # samples: 25, 100 and 500 ms
_BATCHES = (1, 64)
_N_FFT, _HOP, _MELS, _COEFFICIENTS, _FMAX, _FLOOR = 256, 50, 26, 13, 500, 1e-8
_UNIT = "ms per second of sound"


def rows(threads: int, repetitions: int = 15) -> Iterator[dict]:
    """One row per work and peer; `ratio` > 1 where hsjax is faster.

    Args:
      threads: cores that this process was limited to; part of the name.
      repetitions: pairs of runs behind a row.
    """

    sections = butterworth(3, (25, 400), _RATE)
    stream = chain(
        sos_filter(sections),
        mfcc(_RATE, _COEFFICIENTS, n_fft=_N_FFT, hop_length=_HOP, n_mels=_MELS, fmax=_FMAX, amin=_FLOOR),
    )
    filters = librosa.filters.mel(sr=_RATE, n_fft=_N_FFT, n_mels=_MELS, fmax=_FMAX)
    window = np.asarray(scipy.signal.get_window("hann", _N_FFT), np.float32)

    def by_librosa(samples):
        mel = librosa.feature.melspectrogram(
            y=samples, sr=_RATE, n_fft=_N_FFT, hop_length=_HOP, n_mels=_MELS, fmax=_FMAX, center=False
        )
        return librosa.feature.mfcc(S=librosa.power_to_db(mel, amin=_FLOOR, top_db=None), n_mfcc=_COEFFICIENTS)

    def by_numpy(samples):
        frames = np.lib.stride_tricks.sliding_window_view(samples, _N_FFT, axis=-1)[..., ::_HOP, :]
        spectrum = scipy.fft.rfft(frames * window)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        db = 10 * np.log10(np.maximum(power @ filters.T, _FLOOR))
        return np.swapaxes(scipy.fft.dct(db, norm="ortho")[..., :_COEFFICIENTS], -1, -2)

    def peer(chunks, features):
        """Band-pass with carried `zi`, then features of frames of which the tail is carried."""
        zi = np.zeros((len(sections), *chunks[0].shape[:-1], 2), np.float32)
        tail = np.zeros((*chunks[0].shape[:-1], _N_FFT // 2), np.float32)
        given = []
        for chunk in chunks:
            filtered, zi = scipy.signal.sosfilt(sections, chunk, zi=zi)
            tail = np.concatenate([tail, filtered.astype(np.float32)], axis=-1)
            frames = (tail.shape[-1] - _N_FFT) // _HOP + 1
            if frames > 0:
                given.append(features(tail[..., : (frames - 1) * _HOP + _N_FFT]))
                tail = tail[..., frames * _HOP :]
        return given

    random = np.random.default_rng(0)
    for batch in _BATCHES:
        samples = (0.1 * random.standard_normal((batch, _SECONDS * _RATE))).astype(np.float32)
        for size in _CHUNKS:
            chunks = np.split(samples, samples.shape[-1] // size, axis=-1)
            listener = Listener(stream, size, (batch,))

            def ours(listener=listener, chunks=chunks):
                listener.reset()
                return [listener.push(chunk) for chunk in chunks]

            work = f"stream band-pass + mfcc, {batch} x 2 kHz, chunks of {1000 * size / _RATE:g} ms"
            work = f"{work}, {threads} core{'s' * (threads > 1)}"
            got = np.concatenate(ours(), axis=-1)
            for name, features in (("scipy + librosa", by_librosa), ("scipy + numpy", by_numpy)):

                def theirs(features=features, chunks=chunks):
                    return peer(chunks, features)

                want = np.concatenate(theirs(), axis=-1)
                np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * np.abs(want).max())
                ours_s, theirs_s, *ratios = paired(ours, theirs, repetitions)
                per_second = [1e3 * seconds / _SECONDS for seconds in (ours_s, theirs_s)]
                yield dict(zip(_COLUMNS, [work, name, _UNIT, *per_second, *ratios], strict=True))
            # The sound itself takes 1000 ms a second, however busy the machine.
            times = sorted(_time(ours) for _ in range(repetitions))
            paces = [_SECONDS / times[round(share * (len(times) - 1))] for share in (0.5, 0.95, 0.05)]
            yield dict(zip(_COLUMNS, [work, "real time", _UNIT, 1e3 / paces[0], 1e3, *paces], strict=True))


def _time(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
