"""Who else is told of the metrics of every epoch, beside metrics.jsonl: TensorBoard, Weights & Biases."""

import importlib.util
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from hsjax.config import ConfigDict, Viewer, choice
from hsjax.experiment.context import Context, Training
from hsjax.types import UserError

# The package that each needs, which is also the module.
_PACKAGES = {Viewer.TENSORBOARD: "tensorboardX", Viewer.WANDB: "wandb"}


def check(config: ConfigDict) -> None:
    """Make sure before any work that all that `config.watch` names can be told.

    Raises:
      UserError: it names something else, a package is missing, or nobody is logged in.
    """
    for viewer in _viewers(config):
        package = _PACKAGES[viewer]
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"config.watch names {viewer.value}, which needs {package}: pip install 'hsjax[{viewer.value}]', or "
                f"leave {viewer.value} out of it"
            )
        if viewer is Viewer.WANDB:
            from hsjax.train import weights_and_biases

            weights_and_biases.check()


@runtime_checkable  # tests check types as they run
class _Open(Protocol):
    """A training's log with one of the viewers."""

    def __call__(self, row: dict[str, Any]) -> None: ...

    def close(self, failed: bool) -> None: ...


class Watching:
    """The logs of trainings; leaving it as a context manager closes those that are still open."""

    def __init__(self, context: Context):
        self._context = context
        self._makers = [_MAKERS[viewer] for viewer in _viewers(context.config)]
        self._open: dict[Training, list[_Open]] = {}

    def told(self, training: Training, row: dict[str, Any]) -> None:
        """Tells of an epoch. Logs are opened by the first one: of a large sweep most members wait."""
        if training not in self._open:
            self._open[training] = [make(self._context, training) for make in self._makers]
        for one in self._open[training]:
            one(row)

    def close(self, training: Training, failed: bool = False) -> None:
        """Closes the logs of a training, if any are open."""
        for one in self._open.pop(training, ()):
            one.close(failed)

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for training in tuple(self._open):
            self.close(training, failed=error is not None)


def _viewers(config: ConfigDict) -> list[Viewer]:
    return [choice(Viewer, name, "watch") for name in config.watch]


def _tensorboard(context: Context, training: Training) -> _Open:
    from hsjax.train.tensorboard import TensorBoard

    return TensorBoard(context.workdir / "tensorboard" / _name(context, training))


def _weights_and_biases(context: Context, training: Training) -> _Open:
    from hsjax.train.weights_and_biases import WeightsAndBiases

    settings = context.trained(training).settings
    return WeightsAndBiases(context.workdir, context.config.name, _name(context, training), settings)


_MAKERS: dict[Viewer, Callable[[Context, Training], _Open]] = {
    Viewer.TENSORBOARD: _tensorboard,
    Viewer.WANDB: _weights_and_biases,
}


def _name(context: Context, training: Training) -> str:
    """As its folder below `stages`."""
    return context.path(training).relative_to(context.workdir / "stages").as_posix()
