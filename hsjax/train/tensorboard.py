"""Training curves for TensorBoard: `tensorboard --logdir=RUN/tensorboard`."""

import pathlib
import time

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event  # pyrefly: ignore[missing-module-attribute] - made at import
from tensorboardX.proto.summary_pb2 import Summary  # pyrefly: ignore[missing-module-attribute] - likewise

from hsjax.train.log import Row, scalars

_PREFIX = "events"


class TensorBoard:
    """One training's events: a `Watch`.

    Such a log can only be appended to, and work after the last checkpoint is repeated when a training goes on. So each
    process begins it anew, from the rows before, and no epoch is there twice.
    """

    def __init__(self, directory: pathlib.Path):
        """Begins in `directory`, from which an earlier log is removed."""
        directory.mkdir(parents=True, exist_ok=True)
        for earlier in directory.glob(f"{_PREFIX}.out.tfevents.*"):
            earlier.unlink()
        # tensorboardX's SummaryWriter hands events to a thread, and its flush does not wait for them.
        self._events = EventsWriter(str(directory / _PREFIX))

    def __call__(self, row: Row) -> None:
        """Writes an epoch; when this returns it is in the file."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars(row).items()]
        self._events.write_event(Event(step=row["epoch"], wall_time=time.time(), summary=Summary(value=values)))
        self._events.flush()

    def close(self, failed: bool) -> None:
        """Nothing comes after; whether training failed is not told to TensorBoard, which has no such mark."""
        self._events.close()
