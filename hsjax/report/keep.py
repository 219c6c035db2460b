"""`python -m hsjax.report.keep RUN --output FILE.csv`: a run's figures as a small table worth committing.

Rows of report/results.csv without volatile ones, without cells of confusion matrices and supports unless asked for; and
beside the table, as FILE.json, where they come from. The command there is the config's own: what
other flags changed is in the run's config.json, and belongs into the text that goes with the table. The revision is
that of the checkout that keeps the table, which the run need not have been made with.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from hsjax.report import run as run_files
from hsjax.report import tables
from hsjax.types import ResultRow, UserError

_COUNTS = ("confusion", "support")
_FAILED = 2
_ROOT = pathlib.Path(__file__).resolve().parents[2]


def keep(run: pathlib.Path, output: pathlib.Path, counts: bool = False) -> dict[str, Any]:
    """Writes the table and what is beside it; returns the latter.

    Args:
      run: a finished run's folder.
      output: of the table; its suffix is .csv.
      counts: whether to keep cells of confusion matrices and supports.

    Raises:
      UserError: the folder has no report, or `output` is no .csv.
    """
    if output.suffix != ".csv":
        raise UserError(f"{output} is no .csv; name the table so that beside it there is room for the .json")
    rows = tables.read_results(run / run_files.REPORT / tables.RESULTS)
    origin = _origin(run, rows)
    tables.write_results(output, kept(rows, counts))
    output.with_suffix(".json").write_text(json.dumps(origin, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return origin


def kept(rows: Iterable[ResultRow], counts: bool) -> list[ResultRow]:
    """The rows that are worth keeping: the same run gives the same ones."""
    return [row for row in rows if not row.volatile and (counts or not _is_count(row.metric))]


def _is_count(metric: str) -> bool:
    return metric.removeprefix("sd:").partition("@")[0] in _COUNTS


def _origin(run: pathlib.Path, rows: Sequence[ResultRow]) -> dict[str, Any]:
    """What a reader of the figures wants to know of how they were made, None where nobody wrote it down."""
    config = _json(run / "config.json")
    seeds = sorted({row.seed for row in rows if isinstance(row.seed, int) and row.protocol})
    protocols = [name for name in dict.fromkeys(row.protocol for row in rows) if name]
    # What other calls have begun in the same folder is not in the tables.
    parts = (run / "stages" / name / str(seed) for name in protocols for seed in seeds)
    folders = sorted(path.parent for part in parts for path in part.rglob("settings.json"))
    settings = {folder: _json(folder / "settings.json") for folder in folders}
    described = run / run_files.REPORT / run_files.DATA
    return {
        "command": config["command"],
        "commit": _commit(),
        "dataset": config["data"]["name"],
        "recordings": _json(described)["recordings"] if described.is_file() else None,
        "protocols": protocols,
        "seeds": seeds,
        "epochs": {folder.name: one["stage.epochs"] for folder, one in settings.items() if "stage.epochs" in one},
        "training_seconds": _seconds(folders),
        "cores": os.cpu_count(),
        "backend": _of_all(settings.values(), "backend"),
        "jax": _of_all(settings.values(), "jax"),
        "hsjax": _of_all(settings.values(), "hsjax"),
    }


def _of_all(settings: Iterable[dict[str, Any]], key: str) -> list[str]:
    """Every value that the stages were trained under; models of scikit-learn have none."""
    return sorted({one[key] for one in settings if key in one})


def _seconds(folders: Iterable[pathlib.Path]) -> dict[str, float]:
    """Clock time of all epochs of all trainings in the folder, by stage; without evaluation, export and report."""
    total: dict[str, float] = collections.defaultdict(float)
    for folder in folders:
        log = folder / "metrics.jsonl"
        if log.is_file():
            lines = log.read_text(encoding="utf-8").splitlines()
            total[folder.name] += sum(json.loads(line)["seconds"] for line in lines)
    return {name: round(seconds, 1) for name, seconds in total.items()}


def _commit() -> str | None:
    """Revision of the checkout that keeps the table, with a plus where it has been changed; None outside of one."""
    try:
        revision = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "hsjax", "configs/*.py")
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision + ("+" if changed else "")


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(_ROOT), *words], check=True, capture_output=True, text=True).stdout.strip()


def _json(path: pathlib.Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path} is missing; give the folder of a finished run")
    return json.loads(path.read_text(encoding="utf-8"))


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the command line, prints one JSON object and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m hsjax.report.keep", description="Keeps a run's figures as a small table worth committing."
    )
    parser.add_argument("run", type=pathlib.Path, help="the run's folder")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="FILE.csv")
    parser.add_argument("--counts", action="store_true", help="confusion matrices and supports, too")
    flags = parser.parse_args(argv)
    try:
        print(json.dumps(keep(flags.run, flags.output, flags.counts), sort_keys=True))
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
