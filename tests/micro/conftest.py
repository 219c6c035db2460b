"""Song's student with random weights, exported once for all tests of the room."""

import jax
import numpy as np
import pytest

from hsjax import config, features, models
from hsjax.data import synthetic
from tests.micro.folders import RATE, WINDOW, Exported, write_exported


@pytest.fixture(scope="session")
def windows() -> np.ndarray:
    """int16 windows of synthetic heart sounds."""
    dataset = synthetic.dataset(subjects=12, recordings_per_subject=1, seconds=8.0, sample_rate=RATE)
    cut = [recording.read()[: 2 * WINDOW].reshape(2, WINDOW) for recording in dataset.recordings]
    return np.round(np.concatenate(cut) * 32767).astype(np.int16)


@pytest.fixture(scope="session")
def exported(tmp_path_factory, windows) -> Exported:
    """Song's student with random weights on MFCCs."""
    settings = config.base().features
    front_end = features.build(settings, RATE, WINDOW)
    state = front_end.fit(windows / np.float32(32768))
    network = models.build("song-student", num_classes=2, form=models.Form.PLAIN)
    variables = network.init(jax.random.key(0), np.zeros((1, *front_end.shape), np.float32))
    folder = tmp_path_factory.mktemp("exports")
    return write_exported(folder, lambda x: network.apply(variables, x)[0].logits, front_end, state, windows, settings)
