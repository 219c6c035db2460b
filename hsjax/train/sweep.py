"""Many trainings that differ in constants and seeds, run as one: beside each other, or as one program.

On a CPU every core trains one member at a time, from examples and features that all share: `vmap` would turn their
convolutions into grouped ones, which XLA computes slowly there, and one step of a small network leaves several cores
waiting for each other. On accelerators all members are one program with a member axis (`together`).
"""

import concurrent.futures
import os
import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jaxtyping import Array

from hsjax.train.dispatch import Dispatch, Threads
from hsjax.train.layout import Layout
from hsjax.train.loop import Fitted, Validate, fit
from hsjax.train.sources import OnDevice, Source, WindowFeatures
from hsjax.train.step import Learner
from hsjax.train.together import Member, fit_together
from hsjax.types import UserError

Finish = Callable[[int, Fitted], None]


def side_by_side() -> bool:
    """Whether members train beside each other on this backend, and not as one program."""
    return jax.default_backend() == "cpu"


def sweep(
    learner: Learner,
    source: Source,
    validation_inputs: Array | WindowFeatures,
    validate: Validate,
    members: Sequence[Member],
    finish: Finish,
    *,
    epochs: int,
    batch_size: int,
    patience: int,
    select: str,
    directory: pathlib.Path,
    dispatch: Dispatch = Dispatch.AUTO,
    progress: Callable[[int], None] = lambda steps: None,
    lanes: int = 0,
    of: int = 0,
) -> None:
    """Train all members, or go on training them, and hand each over as soon as it is done.

    Args:
      learner: of all members.
      source: training examples, with any one's teacher logits.
      validation_inputs: on the device, or computed when they are needed.
      validate: validation logits (n, classes) to metrics.
      members: what is different between them.
      finish: takes a member's number and what training left; never called twice at once.
      epochs: see `loop.fit`, and for what follows.
      batch_size: examples per step of each member.
      patience: of each member.
      select: see `loop.fit`.
      directory: for checkpoints of all members, where they are one program.
      dispatch: see `Dispatch`.
      progress: told the number of steps done, those of all members.
      lanes: members that train beside each other on a CPU; 0 for as many as there are cores. One after another where
        several processes share every batch: they have to take the same steps in the same order.
      of: how many there are with those that are finished already and left out; 0 for none. Whether a member computes on
        one core or on all depends on it, and with that its last bits.

    Raises:
      UserError: a member's loss is not finite; all others are trained and handed over before.
    """
    shared: dict[str, Any] = {
        "epochs": epochs, "batch_size": batch_size, "patience": patience, "select": select, "dispatch": dispatch,
    }  # fmt: skip
    errors: list[UserError] = []
    if len(members) > 1 and not side_by_side():
        if not isinstance(source, OnDevice):
            raise UserError("a sweep trains as one program on accelerators: set config.data.placement=device")
        made = fit_together(
            learner, source, validation_inputs, validate, members, directory=directory, progress=progress, **shared
        )
        for number, fitted in enumerate(made):
            if isinstance(fitted, UserError):
                errors.append(fitted)
            else:
                finish(number, fitted)
    else:
        lanes = 1 if jax.process_count() > 1 else min(lanes or _cores(), max(of, len(members)))
        threads = Threads.ONE if lanes > 1 else Threads.ALL
        # Two locks: the other lanes go on while a member is handed over.
        counting, finishing, stop = threading.Lock(), threading.Lock(), threading.Event()

        def advance(steps: int) -> None:
            if stop.is_set():
                raise _StoppedError
            with counting:
                progress(steps)

        def train(number: int) -> None:
            member = members[number]
            data = source.data._replace(teacher_logits=member.teacher_logits)
            mine = type(source)(data)
            try:
                fitted = fit(
                    learner, mine, validation_inputs, validate, hparams=member.hparams, key=member.key,
                    directory=member.directory, progress=advance, watch=member.watch, start=member.begin,
                    fixed=member.fixed, layout=Layout.default() if lanes == 1 else Layout(), threads=threads, **shared,
                )  # fmt: skip
            except UserError as error:
                errors.append(error)
                return
            with finishing:
                finish(number, fitted)

        with concurrent.futures.ThreadPoolExecutor(lanes) as pool:
            try:
                for future in concurrent.futures.as_completed([pool.submit(train, n) for n in range(len(members))]):
                    future.result()
            except BaseException:
                stop.set()  # or the pool would wait until all members are trained
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    if errors:
        raise UserError("; ".join(map(str, errors)))


class _StoppedError(Exception):
    """The run ends: another member failed, or the user stopped it."""


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
