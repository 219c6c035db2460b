"""Speed of `hsjax.dsp` beside its peers: `python tests/benchmarks/signals.py [PART...]`, CSV on standard output.

Every part runs on one core and on two, each time in a process of its own that is limited to them before JAX starts;
ours and the peer take turns (`pairing`). A ratio above 1 means that we are faster; its bounds are the 5 % and 95 %
quantiles of the pairs. The extra `bench` has what the peers need; `preparation` reads HSJAX_DATA.
"""

import argparse
import csv
import importlib
import os
import pathlib
import subprocess
import sys

PARTS = ("mfcc", "filtering", "streaming", "preparation")
COLUMNS = ("work", "peer", "unit", "ours", "theirs", "ratio", "ratio_low", "ratio_high")
_ROOT = pathlib.Path(__file__).parent.parent.parent


def limit(threads: int) -> None:
    """Confines this process to its first cores, which must happen before JAX counts them."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < threads:
        raise SystemExit(f"this machine has {len(cores)} cores, {threads} are wanted")
    os.sched_setaffinity(0, cores[:threads])
    if threads == 1:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--threads", type=int, help="run here with so many cores, without a header")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    if arguments.threads is None:
        writer.writeheader()
        sys.stdout.flush()
        for part in arguments.parts:
            for threads in (1, 2):
                command = [sys.executable, __file__, part, f"--threads={threads}"]
                subprocess.run(command, check=True)
        return
    limit(arguments.threads)
    sys.path.insert(0, str(_ROOT))
    for part in arguments.parts:
        for row in importlib.import_module(f"tests.benchmarks.{part}").rows(arguments.threads):
            numbers = {key: f"{value:.4g}" for key, value in row.items() if isinstance(value, float)}
            writer.writerow(row | numbers)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
