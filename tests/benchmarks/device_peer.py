"""From samples to a probability as it is usually done: SciPy's filter, librosa's features, ONNX Runtime."""

import pathlib
from collections.abc import Callable

import librosa
import numpy as np
import onnxruntime
import scipy.fft
import scipy.signal

from tests.benchmarks.device_files import STATE, Work

BAND = (3, (20.0, 400.0))  # Butterworth, Hz
_SILENCE = 1e-8
_TOP_DB = 80.0


class Peer:
    """The pipeline around an ONNX file of a network from features. Not for use by two threads at once."""

    def __init__(self, work: Work, model: pathlib.Path, at_once: bool):
        """Loads a file.

        Args:
          work: what the network hears.
          model: the file, with the normalisation beside it.
          at_once: whether all windows of a recording go through each step together, or one after another.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        state = np.load(model.parent / STATE)
        self._mean, self._std = state["mean"], state["std"]
        self._work, self._at_once = work, at_once
        order, edges = BAND
        self._sections = scipy.signal.butter(order, edges, "bandpass", fs=work.sample_rate, output="sos")
        self._features = _features(work)

    def probability(self, samples: np.ndarray, sample_rate: int) -> float:
        """Of the second class: the mean over windows.

        Args:
          samples: float32.
          sample_rate: of these, Hz.
        """
        work = self._work
        if sample_rate != work.sample_rate:
            samples = librosa.resample(samples, orig_sr=sample_rate, target_sr=work.sample_rate)
        windows = _windows(samples, work.window)
        parts = [windows] if self._at_once else [windows[index : index + 1] for index in range(len(windows))]
        return float(np.concatenate([self._part(part) for part in parts]).mean())

    def _part(self, windows: np.ndarray) -> np.ndarray:
        centred = windows - windows.mean(axis=-1, keepdims=True)
        filtered = scipy.signal.sosfilt(self._sections, centred, axis=-1).astype(np.float32)
        power = np.square(filtered).mean(axis=-1, keepdims=True)
        level = filtered / np.sqrt(np.maximum(power, _SILENCE**2))
        features = (self._features(level) - self._mean) / self._std
        (logits,) = self._session.run(None, {self._input: features.astype(np.float32)})
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds[:, 1] / odds.sum(axis=1)


def _features(work: Work) -> Callable[[np.ndarray], np.ndarray]:
    """Windows to (windows, coefficients, frames); the filterbank is made once, librosa would make it each time."""
    from hsjax import config

    keys = config.base().features
    keys.update(dict(work.features))
    filters = librosa.filters.mel(
        sr=work.sample_rate, n_fft=keys.n_fft, n_mels=keys.n_mels, fmin=keys.fmin, fmax=keys.fmax, htk=True
    )

    def compute(windows: np.ndarray) -> np.ndarray:
        spectrum = librosa.stft(windows, n_fft=keys.n_fft, hop_length=keys.hop_length, pad_mode="constant")
        decibels = librosa.power_to_db(np.matmul(filters, np.abs(spectrum) ** 2), top_db=None)
        decibels = np.maximum(decibels, decibels.max(axis=(-2, -1), keepdims=True) - _TOP_DB)  # of each window
        if keys.name == "log-mel":
            return decibels
        return scipy.fft.dct(decibels, axis=-2, norm="ortho")[..., : keys.n_mfcc, :]

    return compute


def _windows(samples: np.ndarray, window: int) -> np.ndarray:
    """One after another; what is left behind the last is covered by one flush with the end from half a window on."""
    if len(samples) < window:
        samples = np.pad(samples, (0, window - len(samples)))
    starts = list(range(0, len(samples) - window + 1, window))
    if 2 * (len(samples) - window - starts[-1]) >= window:
        starts.append(len(samples) - window)
    return np.stack([samples[start : start + window] for start in starts])
