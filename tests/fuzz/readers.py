"""Feeds damaged files to the readers: each must be read, put into quarantine or refused with one sentence.

    python tests/fuzz/readers.py --count=10000 --seed=0 [--formats=wav,flac] [--jobs=2] [--failures=FOLDER]

Starts from small files of every format, and from real ones where HSJAX_DATA says where they are. Mutants are read in
processes of their own, with limits of memory and time, so that a crash, an endless loop or memory that grows with what
a header claims is a failure as well. Prints a table by format on standard output; failures are told on standard error,
and their mutants kept. Exits with 1 if there was one.
"""

import argparse
import collections
import concurrent.futures
import csv
import dataclasses
import json
import os
import pathlib
import pickle
import selectors
import subprocess
import sys
import tempfile
import time

import cases
import worker

COLUMNS = ("format", "mutants", "read", "quarantined", "refused", "failed")
OUTCOMES = COLUMNS[2:]

_BEGIN_SECONDS = 120.0  # for the libraries to be imported
_FAILURES = pathlib.Path(tempfile.gettempdir()) / "hsjax-fuzz-failures"


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of one mutant."""

    index: int
    outcome: str
    detail: str


def run(chosen: tuple[cases.Case, ...], *, count: int, seed: int, jobs: int = 1, seconds: float = 10.0) -> list[Result]:
    """Reads `count` mutants, of all formats alike many.

    Args:
      chosen: what to mutate.
      count: of mutants.
      seed: same seed, same mutants.
      jobs: processes.
      seconds: that one mutant may take.
    """
    with tempfile.TemporaryDirectory(prefix="hsjax-fuzz-", dir=_memory()) as temporary:
        pickled = pathlib.Path(temporary) / "cases"
        pickled.write_bytes(pickle.dumps(chosen))
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            tasks = [pool.submit(_run_worker, pickled, seed, job, jobs, count, seconds) for job in range(jobs)]
            results = [result for task in tasks for result in task.result()]
    return sorted(results, key=lambda result: result.index)


def _memory() -> str | None:
    """A folder in memory where there is one: small files are written by the thousand."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _run_worker(pickled: pathlib.Path, seed: int, job: int, jobs: int, count: int, seconds: float) -> list[Result]:
    """All mutants of one job, with a new process after each that did not survive one."""
    results: list[Result] = []
    start = job
    while start < count:
        arguments = [str(value) for value in (pickled, seed, start, jobs, count)]
        command = [sys.executable, str(pathlib.Path(worker.__file__)), *arguments]
        with (
            tempfile.TemporaryFile("w+", errors="replace") as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=_environment()) as process,
        ):
            try:
                found, failure = _follow(process, seconds)
            finally:
                process.kill()
            process.wait()
            errors.seek(0)
            said = errors.read()[-2000:]
        if found is None:
            raise SystemExit(f"a worker could not begin: {failure} {said}")
        results += found
        start = found[-1].index + jobs if found else start
        if failure and start < count:
            results.append(Result(start, "failed", f"{failure} {said}"))
            start += jobs
    return results


def _environment() -> dict[str, str]:
    """One thread for linear algebra and few arenas: both take address space by the core."""
    limits = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    return os.environ | limits


def _follow(process: subprocess.Popen, seconds: float) -> tuple[list[Result] | None, str]:
    """What a worker says until it ends, and how it failed to go on; None if it did not even begin."""
    assert process.stdout is not None
    found: list[Result] | None = None
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(_BEGIN_SECONDS if found is None else seconds):
                return found, f"no answer within {seconds:g} s"
            chunk = os.read(process.stdout.fileno(), 2**16)
            if not chunk:
                status = process.wait()
                return found, f"the process ended with {status}" if status else ""
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                said = json.loads(line)
                if found is None:
                    found = []
                else:
                    found.append(Result(**said))


def table(chosen: tuple[cases.Case, ...], results: list[Result]) -> list[dict[str, object]]:
    """How many mutants of each format ended in which way, and of all."""
    by_format = cases.by_format(chosen)
    counts = {kind: collections.Counter() for kind in (*by_format, "all")}
    for result in results:
        for kind in (worker.choose(by_format, result.index).format, "all"):
            counts[kind] += {"mutants": 1, result.outcome: 1}
    return [{"format": kind} | {name: found[name] for name in COLUMNS[1:]} for kind, found in counts.items()]


def _keep(chosen: tuple[cases.Case, ...], seed: int, failed: list[Result], folder: pathlib.Path) -> None:
    """Writes failing mutants and says what they did."""
    by_format = cases.by_format(chosen)
    for result in failed:
        case = worker.choose(by_format, result.index)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{seed}-{result.index}.{case.format}"
        path.write_bytes(worker.mutant(case, seed, result.index))
        print(f"{path} as {case.name}:\n{result.detail}\n", file=sys.stderr)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", default=",".join(cases.FORMATS), help="some of the default, by commas")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--seconds", type=float, default=10.0, help="limit of each mutant")
    parser.add_argument("--failures", type=pathlib.Path, default=_FAILURES, help="folder for mutants that failed")
    arguments = parser.parse_args()
    formats = arguments.formats.split(",")
    if unknown := set(formats) - set(cases.FORMATS):
        parser.error(f"there is no format {', '.join(sorted(unknown))}: choose of {', '.join(cases.FORMATS)}")
    chosen = cases.made()
    if os.environ.get("HSJAX_DATA"):
        chosen += cases.real(pathlib.Path(os.environ["HSJAX_DATA"]))
    chosen = tuple(case for case in chosen if case.format in formats)
    begin = time.monotonic()
    results = run(chosen, count=arguments.count, seed=arguments.seed, jobs=arguments.jobs, seconds=arguments.seconds)
    rows = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    rows.writeheader()
    rows.writerows(table(chosen, results))
    took = time.monotonic() - begin
    print(
        f"{len(results)} mutants of {len(chosen)} files in {took:.0f} s, {len(results) / took:.0f}/s", file=sys.stderr
    )
    failed = [result for result in results if result.outcome == "failed"]
    _keep(chosen, arguments.seed, failed, arguments.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
