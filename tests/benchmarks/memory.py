"""Peak memory of training steps, ours and PyTorch's each in a process of its own.

As a script it is that process: `python tests/benchmarks/memory.py WORK SIDE CORES`, figures as JSON on standard output.
"""

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator

_ROOT = pathlib.Path(__file__).parent.parent.parent
_STEPS = 8
_MB = 2**20
_UNITS = {
    "whole": "MB, whole process",
    "above": "MB above the built network",
    "steps": "MB above the built network, after the first step",
}


def rows(name: str, cores: int) -> Iterator[dict[str, str | float]]:
    """Peaks of resident memory over some steps; on an accelerator (0 cores), of what its allocator had given out.

    `whole process` has everything, `above the built network` is without what the process held once modules were
    imported, weights made and batches at hand. The first step compiles (XLA) or makes the optimiser's state (PyTorch);
    the last unit is the peak of those after it.

    Args:
      name: of a network, see `training`.
      cores: for each of the two processes.
    """
    sides = [_measure(name, side, cores) for side in ("ours", "theirs")]
    from tests.benchmarks.training import setting

    for key, unit in _UNITS.items():
        if key in sides[0]:
            ours, theirs = (side[key] / _MB for side in sides)
            ratio = theirs / ours
            yield {
                "work": f"{name}, batch {sides[0]['batch']}, {setting(cores)}",
                "peer": "torch",
                "unit": unit,
                "ours": ours,
                "theirs": theirs,
                "ratio": ratio,
                "ratio_low": ratio,
                "ratio_high": ratio,
            }


def _measure(name: str, side: str, cores: int) -> dict[str, int]:
    command = [sys.executable, __file__, name, side, str(cores)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _peak(name: str, side: str, cores: int) -> dict[str, int]:
    from tests.benchmarks.training import prepare

    prepare(cores, side)
    from tests.benchmarks import steps

    work = steps.WORKS[name]
    trained = steps.Ours(work) if side == "ours" else steps.Theirs(work)
    if not cores:
        trained.run(_STEPS)
        return {"batch": work.batch, "whole": steps.device_peak(side)}
    built = _status("VmRSS")
    trained.run(1)
    first = _status("VmHWM")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # begins a new VmHWM
    trained.run(_STEPS)
    later = _status("VmHWM")
    whole = max(first, later)
    return {"batch": work.batch, "whole": whole, "above": whole - built, "steps": later - built}


def _status(field: str) -> int:
    """Bytes of a field of /proc/self/status."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


if __name__ == "__main__":
    sys.path.insert(0, str(_ROOT))
    print(json.dumps(_peak(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
