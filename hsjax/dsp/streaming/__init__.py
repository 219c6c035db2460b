"""Filters and features of a signal that goes on: pure states and steps whose joined output is that of the whole signal.

Functions here are named as those of a whole signal are and take their arguments, without the signal; they give a
`Stream`. `chain` makes one stream of several, `in_chunks` applies it to a signal, a `Listener` to samples as they come:

    stream = chain(sos_filter(butterworth(3, (20, 400), 4000)), resample(4000, 2000), mfcc(2000, 13, n_fft=256, ...))
    listener = Listener(stream, chunk=400)
    coefficients = listener.push(samples)  # again and again
"""

from hsjax.dsp.streaming.features import deltas, log_mel, mel_spectrogram, mfcc, pcen, power_spectrum, stft
from hsjax.dsp.streaming.filters import fir_filter, resample, sos_filter
from hsjax.dsp.streaming.frames import frame, frame_latency, windowed
from hsjax.dsp.streaming.listener import Listener
from hsjax.dsp.streaming.stream import Stream, chain, each, in_chunks

__all__ = [
    "Listener",
    "Stream",
    "chain",
    "deltas",
    "each",
    "fir_filter",
    "frame",
    "frame_latency",
    "in_chunks",
    "log_mel",
    "mel_spectrogram",
    "mfcc",
    "pcen",
    "power_spectrum",
    "resample",
    "sos_filter",
    "stft",
    "windowed",
]
