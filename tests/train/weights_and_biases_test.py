"""What W&B's offline log holds, read record by record with its own messages."""

import json
import pathlib
import struct
import time

import pytest
from wandb.proto import wandb_internal_pb2

from hsjax.train import log
from hsjax.train.weights_and_biases import WeightsAndBiases, check
from hsjax.types import UserError

_MAGIC, _BLOCK, _HEADER = 7, 32768, 7


def records(path: pathlib.Path):
    """Of a LevelDB log behind W&B's magic; each record lies within one block here."""
    content, position = path.read_bytes(), _MAGIC
    while position + _HEADER <= len(content):
        size, kind = struct.unpack("<HB", content[position + 4 : position + _HEADER])
        if position + _HEADER + size > len(content):
            return  # half written
        if kind == 0:  # the rest of a block
            position += _BLOCK - position % _BLOCK
            continue
        assert kind == 1, "a record in pieces"
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content[position + _HEADER : position + _HEADER + size])
        yield record
        position += _HEADER + size


def history(workdir: pathlib.Path) -> list[tuple[int, float, float]]:
    """Step, training loss and validation AUROC of every row of the one run that there is."""
    (path,) = workdir.glob("wandb/offline-run-*/*.wandb")
    found, whole = [], []
    while not any(record.WhichOneof("record_type") == "exit" for record in whole):
        time.sleep(0.05)  # W&B's own process writes the end when it finds the time
        whole = list(records(path))
    for record in whole:
        if record.WhichOneof("record_type") == "history":
            items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            found.append((record.history.step.num, items["train/loss"], items["validation/auroc"]))
    return found


def row(epoch: int) -> log.Row:
    return {"epoch": epoch, "train": {"loss": 1 / epoch}, "validation": {"auroc": 0.5 + epoch / 8}, "seconds": 0.25}


def open_run(workdir: pathlib.Path) -> WeightsAndBiases:
    return WeightsAndBiases(workdir, "kd", "grouped/0/student", {"stage.epochs": 3, "seed": 0})


def test_no_epoch_is_there_twice_after_a_training_has_gone_on(tmp_path, monkeypatch):
    """Stopped when two epochs were told of and the first one was in a checkpoint: the second is repeated."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    path = tmp_path / "metrics.jsonl"
    first = open_run(tmp_path)
    stopped = log.MetricsLog(path, 0, watch=first)
    for epoch in (1, 2):
        stopped.add(row(epoch))
    first.close(failed=True)
    assert history(tmp_path) == [(1, 1.0, 0.625), (2, 0.5, 0.75)]
    second = open_run(tmp_path)
    goes_on = log.MetricsLog(path, 1, watch=second)
    for epoch in (2, 3, 4):
        goes_on.add(row(epoch))
    second.close(failed=False)
    assert history(tmp_path) == [(1, 1.0, 0.625), (2, 0.5, 0.75), (3, 1 / 3, 0.875), (4, 0.25, 1.0)]


def test_nobody_is_asked_for_a_key(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr("wandb.login", lambda prompt, verify: prompt or verify)  # as it answers without a key
    with pytest.raises(UserError, match=r"nobody is logged in.*wandb login.*WANDB_MODE=offline.*config\.watch"):
        check()
