"""What TensorBoard's own reader finds in a log."""

import sys
import types

import pytest

from hsjax.train import log
from hsjax.train.tensorboard import TensorBoard


@pytest.fixture(autouse=True)
def _without_tensorflow(monkeypatch):
    """TensorBoard reads by itself where this module is found, instead of importing all of TensorFlow."""
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", types.ModuleType("notf"))


def read(directory) -> list[tuple[int, str, float]]:
    """Every scalar that is there: step, tag and value, in the order of writing, files by age."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    events = (event for path in sorted(directory.iterdir()) for event in EventFileLoader(str(path)).Load())
    return [
        (event.step, value.tag, float(make_ndarray(value.tensor))) for event in events for value in event.summary.value
    ]


def row(epoch: int) -> log.Row:
    return {"epoch": epoch, "train": {"loss": 1 / epoch}, "validation": {"loss": 2.0, "auroc": 0.5}, "seconds": 0.25}


def scalars(epoch: int) -> list[tuple[int, str, float]]:
    values = {"train/loss": 1 / epoch, "validation/loss": 2.0, "validation/auroc": 0.5, "seconds": 0.25}
    return [(epoch, name, pytest.approx(value, rel=1e-6)) for name, value in values.items()]


def test_every_epoch_is_there_as_soon_as_it_is_told_of(tmp_path):
    board = TensorBoard(tmp_path / "grouped" / "0" / "kd")
    for epoch in (1, 2):
        board(row(epoch))
        assert read(tmp_path / "grouped" / "0" / "kd") == [one for done in range(1, epoch + 1) for one in scalars(done)]
    board.close(failed=False)


def test_no_epoch_is_there_twice_after_a_training_has_gone_on(tmp_path):
    """Killed when two epochs were told of and the first one was in a checkpoint: the second is repeated."""
    path, directory = tmp_path / "metrics.jsonl", tmp_path / "board"
    killed = log.MetricsLog(path, 0, watch=TensorBoard(directory))
    for epoch in (1, 2):
        killed.add(row(epoch))
    (left,) = directory.iterdir()
    left.rename(directory / "events.out.tfevents.1000000000.here")  # names tell the second and the machine
    goes_on = log.MetricsLog(path, 1, watch=TensorBoard(directory))
    assert read(directory) == scalars(1)
    for epoch in (2, 3):
        goes_on.add(row(epoch))
    assert read(directory) == [one for epoch in (1, 2, 3) for one in scalars(epoch)]
    assert [one["epoch"] for one in log.read(path)] == [1, 2, 3]


def test_of_several_processes_only_the_first_one_tells(tmp_path):
    told = []
    other = log.MetricsLog(tmp_path / "metrics.jsonl", 0, writes=False, watch=told.append)
    other.add(row(1))
    assert not told
