"""Everything that is known of an exported file's costs, put together."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from hsjax import runtime
from hsjax.bench import tiers
from hsjax.bench.macs import Count, count
from hsjax.bench.measurement import Measurement, measure
from hsjax.micro import Arena, MicroSession
from hsjax.runtime import asking, files, isolated, sidecar
from hsjax.types import UserError

_SECONDS = 1.0
"""From one example to the next, where no sidecar says it."""


@dataclasses.dataclass(frozen=True)
class Profile:
    """What a file costs.

    Attributes:
      model: the file.
      bytes: its size.
      zipped_bytes: as the one file of a .zip archive, deflated as far as zlib can.
      measurements: a row for each batch and number of threads; each in a fresh process.
      count: multiply-accumulates of one example.
      arena: TFLite Micro's memory; None where it does not run there.
      no_arena: why not; empty where it does.
      seconds: from one example to the next: the sidecar's hop, or 1 s for heart beats and for files without sidecar.
      fits: for each kind of device whether the file fits; by the memory of the first measurement.
    """

    model: str
    bytes: int
    zipped_bytes: int
    measurements: tuple[Measurement, ...]
    count: Count
    arena: Arena | None
    no_arena: str
    seconds: float
    fits: tuple[tiers.Fit, ...]


def profile(
    model: pathlib.Path,
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
    repeats: int = 500,
    kernels: runtime.Kernels = runtime.Kernels.VECTOR,
    timeout: float = asking.SECONDS,
) -> Profile:
    """Measures and counts; the file is never loaded in this process, which a damaged one could end.

    Args:
      model: a `.tflite` or `.onnx` file; with a sidecar beside it, this is read for the time between two examples.
      batches: numbers of examples in one run.
      threads: numbers of threads.
      repeats: as for `measure`.
      kernels: for LiteRT.
      timeout: seconds that each measurement may take, and each count.

    Raises:
      UserError: the file cannot be loaded or run, or not in that time, or its sidecar is not its own.
    """
    if not files.is_file(model):
        raise UserError(f"there is no model {model}")
    seconds = _seconds(model)  # before the measurements: a stale sidecar would discard them
    measured = tuple(measure(model, many, repeats, kernels, batch, timeout) for many in threads for batch in batches)
    with isolated.Isolated(isolated.Start.FRESH, timeout) as apart:
        counted = asking.ask(apart, f"read {model}", count, model)
        arena, no_arena = asking.ask(apart, f"ran {model}", arena_here, model)
    data = model.read_bytes()
    need = tiers.Need(
        len(data),
        measured[0].model_memory_bytes,
        measured[0].peak_memory_bytes,
        arena.total if arena else None,
        no_arena,
        counted.total,
        seconds,
    )
    fits = tuple(tiers.fits(need))
    return Profile(str(model), len(data), files.zipped(data), measured, counted, arena, no_arena, seconds, fits)


def arena_here(model: pathlib.Path) -> tuple[Arena | None, str]:
    """What TFLite Micro takes for a file, in this process; or None, and why it does not run it."""
    if model.suffix != ".tflite":
        return None, "TFLite Micro runs .tflite files only"
    session = runtime.load(model)
    if session.input_dtype != np.int8:
        return None, f"the file takes {session.input_dtype}: TFLite Micro is for files that are int8 from features"
    try:
        return MicroSession(model).arena(), ""
    except UserError as error:
        return None, str(error)


def _seconds(model: pathlib.Path) -> float:
    if not sidecar.path_of(model).is_file():
        return _SECONDS
    described = sidecar.read(model)
    if described.beats is not None:  # about one a second
        return _SECONDS
    return described.hop / described.sample_rate
