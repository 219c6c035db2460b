import json
import subprocess
import sys
import threading
import time

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from hsjax import train
from hsjax.models import Network
from hsjax.models.layers import EVALUATION, Phase
from hsjax.train import sources
from hsjax.types import Batch, Outputs, UserError

HPARAMS = train.hparams(learning_rate=3e-2, temperature=4.0, alpha=0.3)
SIZE, BATCH, WINDOW = 75, 16, 1500


class Tiny(nn.Module):
    """Small, so that it compiles at once; with dropout, so that randomness counts."""

    @nn.compact
    def __call__(self, inputs, phase: Phase = EVALUATION):
        hidden = jnp.tanh(nn.Dense(8)(inputs.reshape(len(inputs), -1)))
        hidden = nn.Dropout(0.1, deterministic=not phase.train)(hidden)
        return Outputs(nn.Dense(2)(hidden), hidden, {})


def compute(samples):
    """Loudness of 30 frames, (batch, 3, 10)."""
    return jnp.log(jnp.square(samples).reshape(len(samples), 3, 10, 50).mean(axis=-1) + 1e-3)


@pytest.fixture(scope="module")
def windows(tmp_path_factory) -> np.memmap:
    """Noise on the disk, every other window louder in the middle."""
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((SIZE + 20, WINDOW)).astype(np.float32)
    samples[::2, 500:1000] *= 1.3
    path = tmp_path_factory.mktemp("windows") / "samples.npy"
    np.save(path, samples)
    return np.load(path, mmap_mode="r")


@pytest.fixture(scope="module")
def both(windows) -> tuple[train.OnDevice, train.Streamed, train.WindowFeatures]:
    """The same training examples in both places, and validation inputs."""
    rng = np.random.default_rng(1)
    chosen = rng.permutation(len(windows))
    index, held_out = np.sort(chosen[:SIZE]), np.sort(chosen[SIZE:])
    label = (index % 2).astype(np.int32)
    teacher = np.stack([-2.0 * label, 2.0 * label], axis=1).astype(np.float32)
    others = (label, np.ones(SIZE, np.float32), rng.uniform(0.5, 2, SIZE).astype(np.float32), teacher)
    streamed = train.Streamed(Batch(train.WindowFeatures(windows, index, compute), *others))
    on_device = train.OnDevice(Batch(*(jnp.asarray(leaf) for leaf in (compute(windows[index]), *others))))
    return on_device, streamed, train.WindowFeatures(windows, held_out, compute)


def learner(objective=None):
    optimizer = train.Optimizer(train.Rule.ADAM, train.Schedule.COSINE, total_steps=50)
    return train.Learner(Network(Tiny()), objective or train.Supervised(), optimizer)


def fit(directory, data, validation, objective=None, **changes):
    label = validation.index % 2

    def validate(logits):
        loss = -scipy.special.log_softmax(logits, -1)[np.arange(len(label)), label].mean()
        return {"minus_loss": -float(loss)}

    settings = {
        "hparams": HPARAMS, "key": jax.random.key(7), "epochs": 2, "batch_size": BATCH, "patience": 0,
        "select": "minus_loss", "directory": directory, "dispatch": train.Dispatch.AUTO,
    } | changes  # fmt: skip
    return train.fit(learner(objective), data, validation, validate, **settings)


def order(epoch: int, batch: int = BATCH):
    return sources.epoch_order(jax.random.key(3), epoch, size=SIZE, batch_size=batch)


def test_both_sources_give_the_same_batches(both):
    on_device, streamed, _ = both
    for epoch in (1, 2):
        rows = order(epoch)
        assert rows[-1, -1] == -1  # the last batch is padded
        batches = list(streamed.batches(rows))
        assert len(batches) == 5
        for index, batch in zip(rows, batches, strict=True):
            want = sources.gather(on_device.data, index)
            chex.assert_trees_all_equal(batch._replace(inputs=None), want._replace(inputs=None))
            np.testing.assert_allclose(batch.inputs, want.inputs, atol=2e-5)
            assert all(isinstance(leaf, jax.Array) for leaf in batch)


def test_training_is_the_same_to_rounding(both, tmp_path):
    """Two epochs of 25 steps."""
    on_device, streamed, validation = both
    one, other = (
        fit(tmp_path / name, data, validation, train.Distil(), batch_size=3)
        for name, data in (("device", on_device), ("stream", streamed))
    )
    assert one.best_epoch == other.best_epoch
    chex.assert_trees_all_close(one.variables, other.variables, atol=1e-4)
    logs = [
        [row["train"]["loss"] for row in train.read_log(tmp_path / name / "metrics.jsonl")]
        for name in ("device", "stream")
    ]
    np.testing.assert_allclose(*logs, rtol=1e-4)
    assert logs[0][-1] < 0.9 * logs[0][0]


def test_a_batch_is_a_source_on_the_device(both, tmp_path):
    on_device, _, validation = both
    one, other = (fit(tmp_path / str(i), data, validation) for i, data in enumerate((on_device, on_device.data)))
    chex.assert_trees_all_equal(one.variables, other.variables)


def reading_ahead() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("grain")]


def test_resumed_in_the_middle_of_an_epoch_it_ends_bit_identical(both, tmp_path):
    _, streamed, validation = both
    whole = fit(tmp_path / "whole", streamed, validation)

    class Killed(BaseException):
        pass

    done = 0

    def kill(steps):
        nonlocal done
        done += steps
        if done > 7:
            raise Killed

    with pytest.raises(Killed):
        fit(tmp_path / "killed", streamed, validation, progress=kill)
    deadline = time.monotonic() + 20
    while reading_ahead() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not reading_ahead()
    resumed = fit(tmp_path / "killed", streamed, validation)
    chex.assert_trees_all_equal(resumed.variables, whole.variables)


def test_an_iterator_goes_on_where_another_was(both):
    _, streamed, _ = both
    first = streamed.batches(order(1))
    for _ in range(2):
        next(first)
    state = json.loads(json.dumps(first.get_state()))
    rest = list(first)
    second = streamed.batches(order(1))
    second.set_state(state)
    chex.assert_trees_all_equal(list(second), rest)
    assert len(rest) == 3


def test_every_process_has_its_own_part_and_as_many_steps(both):
    _, streamed, _ = both
    data = streamed.data._replace(weight=np.arange(SIZE, dtype=np.float32))  # names the example
    whole = list(train.Streamed(data).batches(order(1)))
    parts = [list(train.Streamed(data, process, 4).batches(order(1))) for process in range(4)]
    assert {len(part) for part in parts} == {5}
    for step, batch in enumerate(whole):
        together = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(part[step] for part in parts))
        chex.assert_trees_all_close(together, jax.device_get(batch), atol=2e-5)
        assert all(len(part[step].label) == 4 for part in parts)
    seen = [batch.weight[batch.mask > 0] for part in parts for batch in part]
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(SIZE))


def test_batches_that_cannot_be_divided_are_refused(both):
    _, streamed, _ = both
    with pytest.raises(UserError, match=r"16 examples cannot be divided among 3 processes: .*multiple of 3"):
        train.Streamed(streamed.data, 0, 3).batches(order(1))


def test_what_cannot_be_done_with_a_stream_is_said(both, tmp_path):
    _, streamed, validation = both
    with pytest.raises(UserError, match=r"dispatch=steps, or config\.data\.placement=device"):
        fit(tmp_path, streamed, validation, dispatch=train.Dispatch.SCAN)
    with pytest.raises(UserError, match="divided among 2 processes, but 1 train"):
        fit(tmp_path, train.Streamed(streamed.data, 0, 2), validation)


def test_window_features_are_indexed_like_an_array(both):
    on_device, streamed, _ = both
    inputs, want = streamed.data.inputs, on_device.data.inputs
    assert (inputs.shape, inputs.dtype, len(inputs)) == (want.shape, want.dtype, SIZE)
    for rows in (slice(3, 9), slice(60, 100), np.array([5, 2, 2, -1])):
        np.testing.assert_allclose(inputs[rows], want[rows], atol=2e-5)


def test_logits_of_more_than_a_chunk_are_those_of_the_array(windows):
    made = learner()
    variables = made.init(jax.random.key(0), jax.ShapeDtypeStruct((1, 3, 10), jnp.float32), HPARAMS).variables
    index = np.arange(300) % len(windows)
    many = train.WindowFeatures(windows, index, compute)
    got = train.logits(made.network, variables, many)
    assert got.shape == (300, 2)
    want = train.logits(made.network, variables, many[:])
    np.testing.assert_allclose(got, want, atol=1e-4)


SCRIPT = """
import json, pathlib, sys
import jax, numpy as np
from hsjax import train
from hsjax.models.layers import EVALUATION, Phase
from hsjax.train import sources
from hsjax.types import Batch

def resident():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

size, window = 100_000, 5_000
windows = np.load(sys.argv[1], mmap_mode="r")
assert windows.nbytes == 2 * 10**9
compute = lambda samples: samples.reshape(len(samples), 50, 100).mean(axis=2)
label = np.zeros(size, np.int32)
ones = np.ones(size, np.float32)
data = Batch(train.WindowFeatures(windows, np.arange(size), compute), label, ones, ones)
order = sources.epoch_order(jax.random.key(0), 1, size=size, batch_size=250)
streamed = train.Streamed(data)
batches = streamed.batches(order)
next(batches).inputs.block_until_ready()
base, most, total = resident(), 0, 0.0
for _, batch in zip(range(120), batches):
    total += float(batch.inputs.sum())
    most = max(most, resident())
print(json.dumps({"base": base, "most": most, "total": total}))
"""


def test_a_set_of_two_gigabytes_streams_through_little_memory(tmp_path):
    """A sparse file, of which 120 batches of 5 MB are read here and there."""
    path = tmp_path / "samples.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(100_000, 5_000)).flush()
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["total"] == 0.0
    assert found["most"] - found["base"] < 2e8
