"""Training curves for Weights & Biases: sent as they come, or with WANDB_MODE=offline kept for `wandb sync`."""

import os
import pathlib
import shutil
import uuid
from collections.abc import Mapping
from typing import Any

import wandb

from hsjax.train.log import Row, scalars
from hsjax.types import UserError

_MEND = "run `wandb login`, set WANDB_MODE=offline, or leave wandb out of config.watch"


class WeightsAndBiases:
    """One training's run there: a `Watch`. Metrics and settings are logged, no recordings, no code, no output.

    Online, a training that goes on goes on in its run, and epochs that it has already are left out. Offline, each
    process begins the run anew, from the rows before, as what is kept can only be appended to.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        project: str,
        name: str,
        settings: Mapping[str, Any],
    ):
        """Opens a run, or opens it again.

        Args:
          workdir: of the run of hsjax; all is kept in its folder `wandb`.
          project: there.
          name: of the training, unique in `workdir`; its slashes are folders.
          settings: of the training.

        Raises:
          UserError: W&B does not answer, or nobody is logged in.
        """
        mark = workdir / "wandb" / "ids" / name
        if not mark.exists():
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(uuid.uuid4().hex[:8])
        identifier = mark.read_text()
        for earlier in (workdir / "wandb").glob(f"offline-run-*-{identifier}"):
            shutil.rmtree(earlier)
        try:
            self._run = wandb.init(
                project=project,
                name=name,
                group=workdir.resolve().name,
                id=identifier,
                dir=workdir,
                config=dict(settings),
                resume="allow",
                reinit="create_new",  # several trainings run side by side
                settings=wandb.Settings(silent=True, console="off", save_code=False, disable_git=True),
            )
        except wandb.errors.Error as error:
            raise UserError(f"Weights & Biases: {error}; {_MEND}") from error

    def __call__(self, row: Row) -> None:
        """Logs an epoch that is not there yet."""
        if row["epoch"] >= self._run.step:
            self._run.log(scalars(row), step=row["epoch"])

    def close(self, failed: bool) -> None:
        """Nothing comes after."""
        self._run.finish(exit_code=int(failed))


def check() -> None:
    """Make sure that runs can be opened without asking anything.

    Raises:
      UserError: nobody is logged in.
    """
    mode = os.environ.get("WANDB_MODE") or wandb.setup().settings.mode
    if mode == "online" and not wandb.login(prompt=False, verify=False):
        raise UserError(f"nobody is logged in at Weights & Biases: {_MEND}")
