"""Song's grid beside the same members one after another: `python tests/benchmarks/sweep.py`, CSV on standard output.

The members of `configs/kd.py:grid` learn from cached logits of a teacher: as one sweep (`hsjax.train.sweep`), by ours
one after another (`hsjax.train.fit`), and by PyTorch one after another, on the same batches in the same order. What is
timed is whole trainings as a run has them: initial weights, steps, and after every epoch a checkpoint and validation on
256 examples; PyTorch validates and saves too. Compilation is not in it. Before, the losses of every member's first
steps are compared with PyTorch's. Numbers are milliseconds for each step of one member, of the clock and of the
processor (all threads together).

All sides use both cores, in a process that is limited to them before JAX starts, and take turns. A ratio above 1 means
that the sweep is faster; its bounds are the 5 % and 95 % quantiles of the turns. With HSJAX_DATA the examples are
PhysioNet/CinC 2016's, else noise, which costs as much. Idle threads of PyTorch's wait actively, which ruins its times
where other programs compute: then set OMP_WAIT_POLICY=passive.
"""

import argparse
import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent))

from tests.benchmarks import pairing
from tests.benchmarks.signals import COLUMNS
from tests.benchmarks.training import prepare, setting

_PEERS = ("torch", "torch, channels last")
_ALONE = "hsjax, one after another"
Row = dict[str, str | float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, nargs="*", default=(2, 1), help="numbers of cores; 2 and 1 by default")
    parser.add_argument("--accelerator", action="store_true", help="on the GPU that JAX and PyTorch see")
    parser.add_argument("--seeds", type=int, default=1, help="each has ten members; 1 by default")
    parser.add_argument("--steps", type=int, default=80, help="of each member, at least; epochs are whole")
    parser.add_argument("--examples", type=int, default=2560, help="in an epoch; 0: all of PhysioNet's")
    parser.add_argument("--repetitions", type=int, default=7, help="turns behind a row")
    parser.add_argument("--peers", nargs="*", default=_PEERS, help="of PyTorch's ways to train, see `steps.PEERS`")
    root = os.environ.get("HSJAX_DATA", "")
    parser.add_argument("--data", default=root, help="folder of the distributions, HSJAX_DATA by default; '': noise")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.examples and not arguments.data:
        parser.error("noise needs a number of --examples")
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    if arguments.child is not None:
        for row in rows(arguments.child, arguments):
            writer.writerow({key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()})
            sys.stdout.flush()
        return
    writer.writeheader()
    sys.stdout.flush()
    failed = []  # which keeps no other row from being printed
    for cores in (0,) if arguments.accelerator else arguments.cores:
        if subprocess.run([sys.executable, __file__, *sys.argv[1:], f"--child={cores}"]).returncode:
            failed.append(setting(cores))
    if failed:
        raise SystemExit(f"failed, see above: {', '.join(failed)}")


def rows(cores: int, arguments: argparse.Namespace) -> Iterator[Row]:
    """Two rows, of wall and of processor time, for each way to train one after another.

    Args:
      cores: to which this process confines itself; 0 on an accelerator.
      arguments: of the command line.

    Raises:
      RuntimeError: the sides compute something else.
    """
    prepare(cores)
    from tests.benchmarks import grids, steps

    eager = {peer: how for peer, how in steps.PEERS.items() if not how.compiled}
    if unknown := set(arguments.peers) - set(eager):
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; there are {'; '.join(eager)}")
    root = pathlib.Path(arguments.data) if arguments.data else None
    grid = grids.grid(arguments.seeds, arguments.steps, arguments.examples, root)
    grids.check(grid)
    sides = {"ours": grids.Ours(grid, one_after_another=False), _ALONE: grids.Ours(grid, one_after_another=True)}
    sides |= {peer: grids.Theirs(grid, eager[peer]) for peer in arguments.peers}
    spent: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for turn in range(1 + arguments.repetitions):
        # Who begins is another one each time, and both directions take turns: a busy machine slows all.
        names = list(sides)
        names = names[turn % len(names) :] + names[: turn % len(names)]
        for side in names if turn % 2 else reversed(names):
            spent[side].append(_timed(sides[side]))
        if turn:
            print(f"turn {turn}: " + _said(spent, grid.steps), file=sys.stderr, flush=True)
    work = f"grid {len(grid.points)} members, {setting(cores)}"
    for peer in list(sides)[1:]:
        for column, unit in enumerate(("ms", "ms of CPU") if cores else ("ms",)):
            both = [(ours[column], theirs[column]) for ours, theirs in zip(spent["ours"], spent[peer], strict=True)]
            ours, theirs, *ratios = pairing.summary(both[1:])  # the first has the compilation in it
            each = 1e3 * ours / grid.steps, 1e3 * theirs / grid.steps
            yield {"work": work, "peer": peer, "unit": unit} | dict(zip(COLUMNS[3:], (*each, *ratios), strict=True))


def _timed(side) -> tuple[float, float]:
    """Seconds of the clock and of all threads that one training of the grid takes."""
    with tempfile.TemporaryDirectory() as folder:
        clock, processor = time.perf_counter(), time.process_time()
        side.run(pathlib.Path(folder))
        return time.perf_counter() - clock, time.process_time() - processor


def _said(spent: dict[str, list[tuple[float, float]]], steps: int) -> str:
    return ", ".join(f"{side} {1e3 * times[-1][0] / steps:.1f} ms" for side, times in spent.items())


if __name__ == "__main__":
    main()
