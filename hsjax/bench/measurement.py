"""Time and memory of one file, in a fresh process of its own, or the memory of one would hide in that of another."""

import dataclasses
import enum
import pathlib
import platform
import time
from collections.abc import Callable

import numpy as np

from hsjax import runtime
from hsjax.bench import memory
from hsjax.runtime import asking, isolated

_WARM_UP_RUNS = 20
_MAX_SECONDS = 20.0  # of timed runs; a slower model is run fewer times, `runs` says how many
_LEAST_RUNS = 5

# Of two ways to compute the same in float32.
_ROUNDING = 1e-4


class Batching(enum.StrEnum):
    """How a batch goes through a file.

    WHOLE: in one run, as the file is.
    RESIZED: in one run of a file for one example whose input was resized; it gives what single runs give.
    REPEATED: in as many runs one after another, because the file is for one example and cannot be resized.
    """

    WHOLE = "whole"
    RESIZED = "resized"
    REPEATED = "repeated"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What running one file costs on this machine.

    Attributes:
      model: the file.
      bytes: its size.
      threads: it was allowed to use.
      kernels: it was run with, see `runtime.Kernels`.
      batch: examples in one run.
      batching: how they go through the file.
      runs: how many were timed, after a warm-up.
      median_microseconds: time of one run of the batch: the model alone, inputs in place.
      p5_microseconds: 5th percentile of the runs.
      p95_microseconds: 95th percentile of the runs.
      peak_memory_bytes: peak resident memory of the process (Python, NumPy and runtime included); None where the
        system has no /proc.
      model_memory_bytes: by how much loading and running the file raised it; importing the runtime does not count.
      processor: its name.
    """

    model: str
    bytes: int
    threads: int
    kernels: str
    batch: int
    batching: str
    runs: int
    median_microseconds: float
    p5_microseconds: float
    p95_microseconds: float
    peak_memory_bytes: int | None
    model_memory_bytes: int | None
    processor: str


def measure(
    model: pathlib.Path,
    threads: int = 1,
    repeats: int = 500,
    kernels: runtime.Kernels = runtime.Kernels.VECTOR,
    batch: int = 1,
    seconds: float = asking.SECONDS,
) -> Measurement:
    """Measures one file in a fresh process.

    Args:
      model: a `.tflite` or `.onnx` file; it needs no sidecar.
      threads: how many the runtime may use.
      repeats: timed runs; fewer, and at least 5, where they would take more than 20 seconds.
      kernels: for LiteRT.
      batch: examples in one run.
      seconds: that all of it may take.

    Raises:
      UserError: the file cannot be loaded or run, or not in that time.
    """
    with isolated.Isolated(isolated.Start.FRESH, seconds) as apart:
        return asking.ask(apart, f"ran {model}", measure_here, model, threads, repeats, kernels, batch)


def measure_here(
    model: pathlib.Path, threads: int, repeats: int, kernels: runtime.Kernels, batch: int = 1
) -> Measurement:
    """As `measure`, in this process; its memory means something only if nothing else has run in it."""
    runtime.library(model)
    before = memory.reset_peak()
    session = runtime.load(model, threads, kernels)
    examples = np.random.default_rng(0).standard_normal((batch, *session.input_shape), np.float32)
    run, batching = _bound(session, examples)
    run()
    peak = memory.peak()
    times = 1e6 * _time(run, repeats)
    p5, median, p95 = (float(value) for value in np.percentile(times, (5, 50, 95)))
    return Measurement(
        model=str(model),
        bytes=model.stat().st_size,
        threads=threads,
        kernels=kernels.value,
        batch=batch,
        batching=str(batching),
        runs=len(times),
        median_microseconds=median,
        p5_microseconds=p5,
        p95_microseconds=p95,
        peak_memory_bytes=peak,
        model_memory_bytes=None if peak is None or before is None else peak - before,
        processor=processor(),
    )


def _bound(session: runtime.Session, examples: np.ndarray) -> tuple[Callable[[], None], Batching]:
    """What runs the file on examples, and how it does that."""
    if session.batch is None or len(examples) == 1:
        return session.bind(examples), Batching.WHOLE
    single = session.run(examples)
    whole = session.resized(len(examples))
    if whole is not None:
        outputs = whole.run(examples)
        if np.abs(outputs - single).max() <= _ROUNDING * np.abs(single).max():
            return whole.bind(examples), Batching.RESIZED
    run = session.bind(examples[:1])

    def repeat() -> None:
        for _ in range(len(examples)):
            run()

    return repeat, Batching.REPEATED


def _time(run: Callable[[], None], repeats: int) -> np.ndarray:
    """Seconds of single runs."""
    for _ in range(_WARM_UP_RUNS):
        began = time.perf_counter()
        run()
        if time.perf_counter() - began > _MAX_SECONDS / _WARM_UP_RUNS:
            break
    times = []
    deadline = time.perf_counter() + _MAX_SECONDS
    while len(times) < repeats and (len(times) < _LEAST_RUNS or time.perf_counter() < deadline):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return np.array(times)


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    information = pathlib.Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or platform.machine()
