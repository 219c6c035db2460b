"""Training steps beside PyTorch's: `python tests/benchmarks/training.py [WORK...]`, CSV on standard output.

Forward, loss, backward and Adam of the same network on the same batches, which both have where they compute. Before it
is timed, ours gets PyTorch's weights and must give the same logits and gradient. Every network runs on one core and on
two, each time in a process of its own that is limited to them before JAX starts; the two sides take turns (`pairing`).
A ratio above 1 means that we are faster, or need less; its bounds are the 5 % and 95 % quantiles of the pairs. Rows in
`ms of CPU` are the processor time of all threads, which a busy machine disturbs less. Freed memory is kept in the
process, as hsjax has it while training, and PyTorch profits from that too. Memory is measured by `memory`.
"""

import argparse
import csv
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent))

from tests.benchmarks import memory, pairing
from tests.benchmarks.signals import COLUMNS, limit

WORKS = ("song-student", "song-teacher", "resnet18", "mobilenetv3-small", "squeezenet")
_LEAST_SECONDS = 0.25  # that one side computes before the other takes its turn
Row = dict[str, str | float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("works", nargs="*", default=WORKS, help=f"of {', '.join(WORKS)}; all by default")
    parser.add_argument("--repetitions", type=int, help="pairs behind a row; 15 by default, 5 of steps above 1 s")
    parser.add_argument("--cores", type=int, nargs="*", default=(1, 2), help="numbers of cores; 1 and 2 by default")
    parser.add_argument("--peers", nargs="*", default=[], help="of PyTorch's ways to train; all by default")
    parser.add_argument("--accelerator", action="store_true", help="on the GPU that JAX and PyTorch see")
    parser.add_argument("--only", choices=("time", "memory"), help="one part of the table")
    parser.add_argument("--profile", metavar="WORK", help="print where our step's time goes instead")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--checked", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := {*arguments.works, arguments.profile or WORKS[0]} - set(WORKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}")
    settings = (0,) if arguments.accelerator else arguments.cores
    if arguments.profile:
        for cores in settings:
            script = str(pathlib.Path(__file__).with_name("step_profile.py"))
            subprocess.run([sys.executable, script, arguments.profile, str(cores)], check=True)
        return
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    if arguments.child is not None:
        how = arguments.repetitions, arguments.peers, arguments.checked
        _print(writer, rows(arguments.works[0], arguments.child, *how))
        return
    writer.writeheader()
    sys.stdout.flush()
    failed = []  # which keeps no other row from being printed
    for work in arguments.works:
        for cores in settings:
            if arguments.only != "memory":
                options = [f"--repetitions={arguments.repetitions}"] if arguments.repetitions else []
                options += ["--peers", *arguments.peers] if arguments.peers else []
                options += ["--checked"] if cores != settings[0] else []
                if subprocess.run([sys.executable, __file__, work, f"--child={cores}", *options]).returncode:
                    failed.append(f"{work} on {setting(cores)}")
            if arguments.only != "time":
                try:
                    _print(writer, memory.rows(work, cores))
                except subprocess.CalledProcessError:
                    failed.append(f"memory of {work} on {setting(cores)}")
    if failed:
        raise SystemExit(f"failed, see above: {', '.join(failed)}")


def _print(writer: csv.DictWriter, table: Iterator[Row]) -> None:
    for row in table:
        writer.writerow({key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()})
        sys.stdout.flush()


def rows(
    name: str,
    cores: int,
    repetitions: int | None = None,
    only: list[str] | None = None,
    checked: bool = False,
) -> Iterator[Row]:
    """Two rows, of wall and of processor time, for each of PyTorch's ways to train and each input of ours.

    Args:
      name: of `WORKS`.
      cores: to which this process confines itself; 0 on an accelerator.
      repetitions: pairs.
      only: names of PyTorch's ways, see `steps.PEERS`.
      checked: whether another process has compared the sides already.

    Raises:
      RuntimeError: the sides compute something else.
    """
    prepare(cores)
    from tests.benchmarks import agreement, steps

    if unknown := set(only or ()) - set(steps.PEERS):
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; there are {'; '.join(steps.PEERS)}")
    peers = {peer: steps.PEERS[peer] for peer in only or steps.PEERS}
    theirs: dict[str, steps.Theirs] = {}
    for variant, work in steps.WORKS.items():
        if variant.split(",")[0] != name:
            continue
        if not checked:
            agreement.check(work)
        ours = steps.Ours(work)
        ours.run(1)
        start = time.perf_counter()
        ours.run(2)
        seconds = (time.perf_counter() - start) / 2
        count = max(1, round(_LEAST_SECONDS / seconds))
        for peer, how in peers.items():
            if peer not in theirs:
                theirs[peer] = steps.Theirs(work, how)
                try:
                    theirs[peer].run(1)
                except RuntimeError as error:
                    if not how.compiled:
                        raise
                    print(f"{variant}: no row for {peer!r}, which does not compile here: {error}", file=sys.stderr)
                    del theirs[peer]
                    continue
            clocks = _Clock(ours.run, count), _Clock(theirs[peer].run, count)
            pairs = repetitions or (15 if seconds < 1 else 5)
            wall = pairing.paired(*clocks, repetitions=pairs)
            start_of = {"work": f"{variant}, batch {work.batch}, {setting(cores)}", "peer": peer}
            yield start_of | _numbers("ms", [1e3 * value / count for value in wall[:2]], wall[2:])
            if cores:
                spent = zip(*(clock.seconds[-pairs:] for clock in clocks), strict=True)
                processor = pairing.summary(list(spent))
                yield start_of | _numbers("ms of CPU", [1e3 * value / count for value in processor[:2]], processor[2:])


def prepare(cores: int, side: str | None = None) -> None:
    """Confines this process before JAX and PyTorch compute anything.

    Ours keeps freed memory as it does while training; so PyTorch does, where both sides share a process.

    Args:
      cores: 0 on an accelerator.
      side: `ours` or `theirs`, where the process is for one only.
    """
    if cores:
        limit(cores)
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    else:
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    import jax
    import torch

    from hsjax import train

    if cores:
        torch.set_num_threads(cores)
    elif jax.default_backend() != "gpu" or not torch.cuda.is_available():
        raise SystemExit("no GPU: JAX and PyTorch must both be installed for it and see one")
    if side != "theirs":
        train.keep_freed_memory()


def setting(cores: int) -> str:
    """What a row says of where it ran."""
    return f"{cores} core{'s' * (cores > 1)}" if cores else "accelerator"


def _numbers(unit: str, values: list[float], ratios: tuple[float, ...]) -> Row:
    return {"unit": unit} | dict(zip(COLUMNS[3:], (*values, *ratios), strict=True))


class _Clock:
    """Runs steps and notes the processor time of each call, all threads together."""

    def __init__(self, run: Callable[[int], None], steps: int):
        self._run, self._steps, self.seconds = run, steps, []

    def __call__(self) -> None:
        start = time.process_time()
        self._run(self._steps)
        self.seconds.append(time.process_time() - start)


if __name__ == "__main__":
    main()
