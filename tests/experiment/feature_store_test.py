"""Features are computed once and held once: in memory, or on the disk where the examples are."""

import tracemalloc

import numpy as np
import pytest

from hsjax import config as run_config
from hsjax import features
from hsjax.experiment import feature_store
from hsjax.experiment.context import Context
from hsjax.experiment.inputs import Inputs
from hsjax.types import Examples

SHAPE = (4, 500)


def doubled(samples):
    return 2 * samples.reshape(-1, *SHAPE)


def halved(samples):
    return samples.reshape(-1, *SHAPE) / 2


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(features, "_CHUNK_WINDOWS", 16)


@pytest.fixture
def examples(rng) -> Examples:
    samples = rng.standard_normal((600, 2000)).astype(np.float32)
    count = np.arange(600, dtype=np.int32)
    return Examples(samples, count % 2, count, count / 10)


def peak(function) -> int:
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_making_them_takes_little_more_memory_than_they_take(examples):
    np.testing.assert_array_equal(
        feature_store.in_memory(doubled, SHAPE, examples.samples), 2 * examples.samples.reshape(-1, *SHAPE)
    )
    used = peak(lambda: feature_store.in_memory(doubled, SHAPE, examples.samples))
    assert used < 1.3 * examples.samples.nbytes


def test_few_are_normalised_where_few_are_asked_for(examples):
    raw = 5 + examples.samples.reshape(-1, *SHAPE)
    before, index = raw.copy(), np.arange(0, 600, 40)
    inputs = Inputs(features.normalisation(raw), raw)
    mean, std = (find(raw.astype(np.float64), axis=(0, 2)) for find in (np.mean, np.std))
    want = (raw[index] - mean[:, None]) / std[:, None]
    np.testing.assert_allclose(inputs.on_host(index), want, atol=1e-5)
    np.testing.assert_allclose(inputs.of(index), want, atol=1e-5)
    np.testing.assert_array_equal(raw, before)
    assert peak(lambda: inputs.of(index)) < raw.nbytes / 10


def test_folds_share_them(tmp_path):
    config = run_config.base()
    config.protocols, config.pipeline = ("paper", "grouped"), ("student",)
    config.stages = {"student": run_config.train_stage("song-student")}
    config.data.synthetic.update({"subjects": 40, "recordings_per_subject": 1, "seconds": 3.0})
    config.split.paper.update({"test": 0.3, "validation": 0.3, "stratified": True})
    context = Context(config, tmp_path)
    one, other = (context.inputs(protocol, next(iter(context.folds(protocol)))) for protocol in config.protocols)
    assert one.features is other.features
    assert not np.array_equal(one.state.mean, other.state.mean)


def test_on_the_disk_they_are_made_once_for_each_program(examples, tmp_path, monkeypatch):
    def made(transform, key):
        return feature_store.on_disk(transform, SHAPE, examples, tmp_path, key, {"features": "made"})

    found = made(doubled, "a")
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, 2 * examples.samples.reshape(-1, *SHAPE))
    np.testing.assert_array_equal(made(halved, "a"), examples.samples.reshape(-1, *SHAPE) / 2)
    monkeypatch.delattr(features, "extracted")
    np.testing.assert_array_equal(made(doubled, "a"), found)
    with pytest.raises(AttributeError):  # other examples
        made(doubled, "b")
