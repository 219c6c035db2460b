"""Every front end as TFLite and as ONNX, from raw samples."""

import functools

import jax
import numpy as np
import pytest

from hsjax import config, features, runtime
from hsjax.data import audio, synthetic
from hsjax.dsp.fourier import Backend
from hsjax.dsp.recipes import Paper, recipe
from hsjax.export import onnx, tflite
from hsjax.runtime import litert

RATE, WINDOW = 2000, 2000
# Its window of 57 s is cut to 3 s in each continuous integration; the whole one is in the test on real recordings.
SHORT = {"sriram": 3 * 22050}
IN_DB = ("mfcc", "log-mel", "gammatone", "learnable", "song", "sarkhel")


@functools.cache
def recordings(seconds: float, sample_rate: int) -> np.ndarray:
    dataset = synthetic.dataset(subjects=3, recordings_per_subject=1, seconds=2 * max(seconds, 2.0))
    return np.stack(
        [audio.resample(*_decoded(one), sample_rate)[: round(seconds * sample_rate)] for one in dataset.recordings]
    )


def _decoded(recording) -> tuple[np.ndarray, int]:
    return recording.read(), recording.sample_rate


def front_end(name: str, window: int | None = None):
    """Fastest and exportable transform, and the window and rate it takes."""
    paper = next((paper for paper in Paper if paper.value == name), None)
    if paper is not None:
        chosen = recipe(paper)
        window = window or chosen.window
        return (
            lambda samples: chosen.features(samples, Backend.FFT),
            lambda samples: chosen.features(samples, Backend.DFT),
            window,
            chosen.sample_rate,
        )
    settings = config.base().features
    settings.name = name
    built = features.build(settings, RATE, WINDOW)
    return built.transform, built.exportable, WINDOW, RATE


def files(exportable, window: int, folder):
    content = tflite.float32(exportable, (1, window))
    (folder / "front-end.tflite").write_bytes(content)
    (folder / "front-end.onnx").write_bytes(onnx.from_tflite(content))
    return folder / "front-end.tflite", folder / "front-end.onnx"


def assert_files_agree(transform, exportable, samples: np.ndarray, folder, in_db: bool) -> None:
    want = np.asarray(jax.jit(transform)(samples))
    assert np.isfinite(want).all()
    assert want.std() > 0
    # dB and coefficients of dB: relative to the largest; features that a paper normalises: as they are.
    tolerance = 1e-4 * (np.abs(want).max() if in_db else 1.0)
    np.testing.assert_allclose(jax.jit(exportable)(samples), want, rtol=0, atol=tolerance)
    for path in files(exportable, samples.shape[-1], folder):
        if path.suffix == ".tflite":
            names = litert.operators(path.read_bytes())
            assert not [name for name in names if name.startswith(litert.CUSTOM)], names
        np.testing.assert_allclose(runtime.load(path).run(samples), want, rtol=0, atol=tolerance)


@pytest.mark.filterwarnings("ignore:mel filters .0, 127.")
@pytest.mark.parametrize("name", features.NAMES)
def test_builtin_operators_give_what_jax_gives(name, tmp_path):
    transform, exportable, window, rate = front_end(name, SHORT.get(name))
    assert_files_agree(transform, exportable, recordings(window / rate, rate)[:, :window], tmp_path, name in IN_DB)


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore:mel filters .0, 127.")
@pytest.mark.parametrize("name", features.NAMES)
def test_builtin_operators_give_what_jax_gives_on_real_recordings(name, real_root, tmp_path):
    transform, exportable, window, rate = front_end(name)
    letters = "af" if name == "sriram" else "abcdef"
    files = [sorted((real_root / "physionet2016" / f"training-{letter}").glob("*.wav"))[3] for letter in letters]
    decoded = [audio.resample(*audio.decode(file), rate)[:window] for file in files]
    samples = np.stack([np.pad(one, (0, window - len(one))) for one in decoded])
    assert_files_agree(transform, exportable, samples, tmp_path, name in IN_DB)
