"""What exported files cost: `python -m hsjax.bench MODEL...` prints size, latency and memory, one JSON object a file.

Every file is measured in a fresh process of its own, or the memory of one would hide in that of another.
"""

import argparse
import dataclasses
import json
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from hsjax import runtime
from hsjax.types import UserError

_WARM_UP_RUNS = 20
_MAX_SECONDS = 20.0  # of timed runs; a slower model is run fewer times, `runs` says how many
_LEAST_RUNS = 5
_FAILED = 1

_STATUS = pathlib.Path("/proc/self/status")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What running one file costs on this machine.

    Attributes:
      model: the file.
      bytes: its size.
      threads: it was allowed to use.
      kernels: it was run with, see `runtime.Kernels`.
      runs: how many were timed, after a warm-up.
      median_microseconds: time of one run of one example: the model alone, inputs in place.
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
) -> Measurement:
    """Measures one file in a fresh process.

    Args:
      model: a `.tflite` or `.onnx` file; it needs no sidecar.
      threads: how many the runtime may use.
      repeats: timed runs; fewer, and at least 5, where they would take more than 20 seconds.
      kernels: for LiteRT.

    Raises:
      UserError: the file cannot be loaded or run.
    """
    flags = [f"--threads={threads}", f"--repeats={repeats}", f"--kernels={kernels.value}", "--here", "--", str(model)]
    child = subprocess.run([sys.executable, "-m", "hsjax.bench", *flags], capture_output=True, text=True, check=False)
    if child.returncode < 0:
        raise UserError(f"{model}: the process that ran it was killed by signal {-child.returncode}")
    if not child.stdout:
        raise UserError(f"{model} cannot be measured: {child.stderr.strip().splitlines()[-1]}")
    line = json.loads(child.stdout)
    if "error" in line:
        raise UserError(line["error"])
    return Measurement(**line)


def measure_here(model: pathlib.Path, threads: int, repeats: int, kernels: runtime.Kernels) -> Measurement:
    """As `measure`, in this process; its memory means something only if nothing else has run in it."""
    runtime.library(model)
    before = _reset_peak_memory()
    session = runtime.load(model, threads, kernels)
    example = np.random.default_rng(0).standard_normal((1, *session.input_shape), np.float32)
    run = session.bind(example)
    run()
    peak = _peak_memory()
    times = 1e6 * _time(run, repeats)
    p5, median, p95 = (float(value) for value in np.percentile(times, (5, 50, 95)))
    return Measurement(
        model=str(model),
        bytes=model.stat().st_size,
        threads=threads,
        kernels=kernels.value,
        runs=len(times),
        median_microseconds=median,
        p5_microseconds=p5,
        p95_microseconds=p95,
        peak_memory_bytes=peak,
        model_memory_bytes=None if peak is None or before is None else peak - before,
        processor=processor(),
    )


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


def _status(key: str) -> int | None:
    """Bytes of a line of the process's status, None where there is none."""
    if not _STATUS.is_file():
        return None
    lines = [line for line in _STATUS.read_text().splitlines() if line.startswith(f"{key}:")]
    return 1024 * int(lines[0].split()[1]) if lines else None


def _peak_memory() -> int | None:
    return _status("VmHWM")


def _reset_peak_memory() -> int | None:
    """Forgets the peak so far (proc(5), clear_refs) and returns the resident memory it starts from."""
    if _status("VmRSS") is None:
        return None
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # some sandboxes have no such file: nothing is known then
        return None
    return _status("VmHWM")


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    information = pathlib.Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or platform.machine()


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one JSON object a model and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m hsjax.bench",
        description="Measures exported models, each in a fresh process.",
        epilog="One JSON object a model goes to standard output: model, bytes, threads, kernels, runs, median, 5th and "
        "95th percentile of the time of one run in microseconds, peak memory of the process and what the model adds to "
        "it in bytes, and the processor; or model and error. The exit code is 1 if a model could not be measured.",
    )
    parser.add_argument("models", type=pathlib.Path, nargs="+", metavar="model", help=".tflite or .onnx file")
    parser.add_argument("--threads", type=int, default=1, help="threads the runtime may use (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=500, help="timed runs (default: %(default)s)")
    parser.add_argument(
        "--kernels",
        choices=[kernels.value for kernels in runtime.Kernels],
        default=runtime.Kernels.VECTOR.value,
        help="of LiteRT: vector (without Intel's AMX, which slows small int8 models down), auto (LiteRT's own choice) "
        "or reference (default: %(default)s)",
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # what `measure` starts
    flags = parser.parse_args(arguments)
    if min(flags.threads, flags.repeats) < 1:
        parser.error("--threads and --repeats have to be at least 1")
    one = measure_here if flags.here else measure
    failed = False
    for model in flags.models:
        try:
            line = dataclasses.asdict(one(model, flags.threads, flags.repeats, runtime.Kernels(flags.kernels)))
        except UserError as error:
            line = {"model": str(model), "error": str(error)}
            failed = True
        print(json.dumps(line), flush=True)
    return _FAILED if failed else 0


if __name__ == "__main__":
    sys.exit(main())
