"""One stretch of a real recording from every dataset."""

import pathlib

import numpy as np
import pytest
import soundfile
import wfdb

_SECONDS = 6
_AUDIO = {
    "physionet2016": "physionet2016/training-a/*.wav",
    "yaseen2018": "yaseen2018/*/*.wav",
    "pascal-a": "pascal/set_a/*.wav",
    "pascal-b": "pascal/set_b/*.wav",
    "circor": "the-circor-digiscope-phonocardiogram-dataset-1.0.3/**/*.wav",
}
_ECG = "mit-bih-arrhythmia-database-1.0.0/*.hea"


def _audio(root: pathlib.Path, pattern: str) -> tuple[np.ndarray, int]:
    path = next(path for path in sorted(root.glob(pattern)) if soundfile.info(path).duration > 1)
    samples, sample_rate = soundfile.read(path, dtype="float64", always_2d=True)
    return samples[: _SECONDS * sample_rate, 0], sample_rate


@pytest.fixture(scope="session")
def recordings(real_root) -> dict[str, tuple[np.ndarray, int]]:
    """By dataset: (time,) float64 of at most 6 s, and its sample rate in Hz. ECG in millivolts, first lead."""
    found = {name: _audio(real_root, pattern) for name, pattern in _AUDIO.items()}
    header = sorted(real_root.glob(_ECG))[0]
    record = wfdb.rdrecord(str(header.with_suffix("")), sampto=_SECONDS * 360, channels=[0])
    found["mitdb"] = (record.p_signal[:, 0], int(record.fs))
    return found
