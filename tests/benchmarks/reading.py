"""Seconds to read the PhysioNet/CinC 2016 part at hand: `python tests/benchmarks/reading.py [CACHE]`, CSV on standard
output.

Two calls as a run makes them: the reader, which decodes and inspects every file, and `prepare.examples`, the windows
of configs/kd.py:physionet2016. Each row is a fresh process, imports not counted. Cold: an empty cache folder, files
that the kernel no longer holds in memory, and an entry that is flushed to the disk. Warm: the same two calls once more.
`read_seconds` are the reader's share, `peak_mb` is all that the process ever held. Reads HSJAX_DATA.
"""

import csv
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

COLUMNS = ("work", "recordings", "hours", "examples", "seconds", "cpu_seconds", "read_seconds", "peak_mb")
_ROOT = pathlib.Path(__file__).parent.parent.parent
_CONFIG = "physionet2016"


def forget(folder: pathlib.Path) -> None:
    """Asks the kernel to drop what it holds of the files below a folder."""
    for path in folder.rglob("*.wav"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def row(work: str, root: pathlib.Path, cache_dir: pathlib.Path) -> dict[str, str | int | float]:
    """Both calls, timed."""
    sys.path.insert(0, str(_ROOT))
    import configs.kd
    from hsjax import prepare
    from hsjax.data.readers import physionet2016

    chosen = configs.kd.get_config(_CONFIG).prepare
    began, used = time.perf_counter(), time.process_time()
    dataset = physionet2016.dataset(root, cache_dir)
    read = time.perf_counter() - began
    examples = prepare.examples(dataset, chosen, cache_dir=cache_dir)
    seconds, used = time.perf_counter() - began, time.process_time() - used
    return {
        "work": work,
        "recordings": len(dataset.recordings),
        "hours": sum(recording.num_samples / recording.sample_rate for recording in dataset.recordings) / 3600,
        "examples": len(examples.label),
        "seconds": seconds,
        "cpu_seconds": used,
        "read_seconds": read,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def main() -> None:
    root = pathlib.Path(os.environ["HSJAX_DATA"])
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    if len(sys.argv) == 3:
        found = row(sys.argv[1], root, pathlib.Path(sys.argv[2]))
        writer.writerow({key: f"{value:.4g}" if isinstance(value, float) else value for key, value in found.items()})
        return
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) == 2 else None) as folder:
        writer.writeheader()
        sys.stdout.flush()
        forget(root / _CONFIG)
        for work in ("cold", "warm"):
            subprocess.run([sys.executable, __file__, work, folder], check=True)


if __name__ == "__main__":
    main()
