"""Runs that are killed and go on: `python tests/benchmarks/kills.py --count=100 --seed=0`, CSV on standard output.

A small but whole run (synthetic recordings, teacher, distillation, a sweep of it, report) through `python -m
hsjax.launch` is killed by SIGKILL at moments drawn uniformly over the processor time it takes, a third of them put off
until a checkpoint is being written, and started again until it ends: a chain. Parameters, predictions, tables and logs
must then be those of the run that nobody disturbed, byte for byte but for times. As many chains as the kills need.

A second row also damages a file after every kill: a bit flipped or the end cut off, of a checkpoint or of finished
variables. What the next start needs of it must be refused or passed over by name, and the result be the same; a
refusal's advice (delete that folder) is taken. Exit code 1 on any difference, crash or silence.

With 100 kills and 30 damages about 25 minutes on two cores that do nothing else.

    python tests/benchmarks/kills.py --papers kd lightweight --count=3

kills the papers' experiments instead (`papers_shortened.py`), on the recordings below HSJAX_DATA: a row each, one chain
of so many kills. Examples are prepared in the run's own folder, so that this is interrupted, too. XLA compiles without
optimisation, and what it has compiled is kept beside the run: else a chain would do little but compile. With --folder
the undisturbed run is made once.
"""

import argparse
import collections
import csv
import dataclasses
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent))

from tests.benchmarks import papers_shortened
from tests.benchmarks.damage import Expected, damage, parts

_ROOT = pathlib.Path(__file__).parent.parent.parent
_STUDENT = "'song-student', epochs=10, batch_size=16"
_TAUGHT = f"{_STUDENT}, objective='distil', teacher='teacher', temperature=7.0, alpha=0.1"
STAGES = {
    "teacher": f"base_config.train_stage({_STUDENT})",
    "kd": f"base_config.train_stage({_TAUGHT})",
    "grid": f"base_config.train_stage({_TAUGHT}, sweep=base_config.grid(temperature=(1.0, 4.0)))",
    "report": "base_config.report_stage(examples=1)",
}
"""The stages of the run, in order: Python in a config file."""
_CONFIG = """
from hsjax import config as base_config


def get_config():
    config = base_config.base()
    config.name, config.command = "kills", "tests/benchmarks/kills.py"
    config.data.synthetic.subjects, config.data.synthetic.recordings_per_subject = 48, 1
    config.data.synthetic.seconds = 5.0
    config.features.hop_length = 200
    config.evaluate.bootstrap = 100
    config.stages = {{{stages}}}
    config.pipeline = {pipeline}
    return config
"""
PHASES = ("importing", "preparing", "training", "checkpoint", "finishing", "exporting", "reporting")
COLUMNS = ("mode", "kills", "chains", "identical", "damages", "refused", "fell_back", *PHASES, "seconds")
# Of a folder of checkpoints: what only stands there while one is written.
_UNFINISHED = re.compile(r"(\d+)(\.orbax-checkpoint-tmp.*|\.sha256\.partial)?")
_PATIENCE = 900.0  # seconds for one start


class SurvivalError(Exception):
    """A run did what it must not do."""


@dataclasses.dataclass
class Experiment:
    """One configuration, and what the run that nobody disturbed made of it.

    Attributes:
      config: file, with its variant.
      environment: variables of its processes.
      reference: by name, what every other run must make too.
      parts: number of finished stages.
      exports: number of exported networks.
      seconds: of processor time that it took.
    """

    config: str
    environment: Mapping[str, str]
    reference: dict[str, bytes]
    parts: int
    exports: int
    seconds: float

    def start(self, workdir: pathlib.Path) -> subprocess.Popen:
        """A process of the run in `workdir`; what it says goes to `output.txt` beside it."""
        return _start(self.config, self.environment, workdir)


def prepare(
    folder: pathlib.Path, stages: Mapping[str, str] = STAGES, environment: Mapping[str, str] = os.environ
) -> Experiment:
    """Write the config and run it undisturbed."""
    config = folder / "kills_config.py"
    listed = ", ".join(f'"{name}": {made}' for name, made in stages.items())
    config.write_text(_CONFIG.format(stages=listed, pipeline=tuple(stages)))
    return undisturbed(folder, str(config), environment)


def prepare_paper(folder: pathlib.Path, paper: str) -> Experiment:
    """Link few recordings of the paper's data below HSJAX_DATA and run its shortened experiment undisturbed, twice.

    The first run compiles; the second says how long one takes that need not, and must make the same.
    """
    from tests import hurry

    if not (folder / "data").exists():
        papers_shortened.thinned(pathlib.Path(os.environ["HSJAX_DATA"]), folder / "data", paper)
    environment = {name: value for name, value in os.environ.items() if name != "HSJAX_CACHE"}
    environment |= {
        "HSJAX_DATA": str(folder / "data"),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XLA_FLAGS": hurry.FLAGS,
    }
    config = f"{_ROOT / 'tests/benchmarks/papers_shortened.py'}:{paper}"
    first, second = (undisturbed(folder / name, config, environment) for name in ("first", "second"))
    _require_same(first.reference, second.reference)
    return second


def undisturbed(folder: pathlib.Path, config: str, environment: Mapping[str, str]) -> Experiment:
    """Run a config and keep what it made; a run that is there is not made again."""
    folder.mkdir(exist_ok=True)
    took = folder / "processor_seconds.txt"
    if not took.exists():
        shutil.rmtree(folder / "reference", ignore_errors=True)
        took.write_text(str(_run_undisturbed(folder / "reference", config, environment)))
    workdir = folder / "reference"
    done = (_finished(workdir / below) for below in ("stages", "exports"))
    return Experiment(config, environment, result(workdir), *done, float(took.read_text()))


def _run_undisturbed(workdir: pathlib.Path, config: str, environment: Mapping[str, str]) -> float:
    """The processor time that it took, in seconds."""
    process = _start(config, environment, workdir)
    seconds = 0.0
    while process.poll() is None:
        seconds = max(seconds, _processor_seconds(process))
        time.sleep(0.05)
    if process.returncode:
        raise SurvivalError(f"the undisturbed run failed:\n{output(workdir)}")
    return seconds


def _finished(folder: pathlib.Path) -> int:
    return len(list(folder.rglob("done.json")))


def _start(config: str, environment: Mapping[str, str], workdir: pathlib.Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "hsjax.launch", f"--config={config}", f"--workdir={workdir}"]
    with _log(workdir).open("w") as log:
        return subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)


def _log(workdir: pathlib.Path) -> pathlib.Path:
    return workdir.with_name(workdir.name + "-output.txt")


def output(workdir: pathlib.Path) -> str:
    """What the latest process in `workdir` said."""
    return _log(workdir).read_text()


def result(workdir: pathlib.Path) -> dict[str, bytes]:
    """Everything of a finished run that must not depend on how it came about."""
    import jax
    import orbax.checkpoint as ocp

    found = {}
    for path in sorted((workdir / "stages").rglob("*")):
        name = str(path.relative_to(workdir))
        if path.name == "variables":  # Orbax's files have random names; the arrays are read as Orbax reads them
            with ocp.StandardCheckpointer() as checkpointer:
                for keys, leaf in jax.tree_util.tree_leaves_with_path(checkpointer.restore(path.absolute())):
                    array = np.asarray(leaf)
                    found[name + jax.tree_util.keystr(keys)] = f"{array.dtype}{array.shape}".encode() + array.tobytes()
        elif path.suffix == ".npz":
            found[name] = path.read_bytes()
        elif path.name == "metrics.jsonl":
            rows = map(json.loads, path.read_text().splitlines())
            found[name] = json.dumps([{key: row[key] for key in row if key != "seconds"} for row in rows]).encode()
    for path in sorted((workdir / "exports").rglob("*")):
        # Not the profile, which is of times, nor what is sealed with it.
        if path.is_file() and path.name not in ("profile.json", "done.json"):
            found[str(path.relative_to(workdir))] = path.read_bytes()
    for path in sorted((workdir / "report").glob("*.csv")):
        rows = csv.DictReader(io.StringIO(path.read_text()))
        found[path.name] = repr([row for row in rows if row.get("volatile", "0") == "0"]).encode()
    return found


def _being_written(workdir: pathlib.Path, since: float) -> bool:
    """True while a checkpoint is."""
    for part, finished in parts(workdir):
        for folder in [] if finished else part.rglob("checkpoints"):
            names = os.listdir(folder)
            for name in names:
                if _UNFINISHED.fullmatch(name) and f"{name}.sha256" not in names:
                    try:
                        return (folder / name).stat().st_mtime >= since
                    except FileNotFoundError:
                        return True  # it was, a moment ago
    return False


def phase(workdir: pathlib.Path, since: float, experiment: Experiment) -> str:
    """What a process begun at `since` was doing when it was killed."""
    config = workdir / "config.json"
    if not config.exists() or config.stat().st_mtime < since:
        return "importing"
    states = dict(parts(workdir))
    if sum(states.values()) == experiment.parts:
        return "reporting" if _finished(workdir / "exports") == experiment.exports else "exporting"
    if _being_written(workdir, since):
        return "checkpoint"
    new = [path for path in (workdir / "stages").rglob("*") if path.stat().st_mtime >= since]
    if any(path.name.startswith(("variables", "predictions", "features")) for path in new
           if not states.get(path.parent)):  # fmt: skip
        return "finishing"
    return "training" if new else "preparing"


def chain(
    experiment: Experiment, workdir: pathlib.Path, rng: np.random.Generator, most: int, damaging: bool
) -> collections.Counter[str]:
    """Start, kill, damage and start again until the run ends, and compare.

    Args:
      experiment: what to run.
      workdir: where, a folder that is not there yet.
      rng: of moments, files and bytes.
      most: kills after which it may end; where files are damaged, so many refusals and fallbacks.
      damaging: whether to damage a file after each kill.

    Returns:
      Kills in all and by phase, damages, and what became of them.

    Raises:
      SurvivalError: another result, an error nobody can act on, or damage that was not told of.
    """
    counts: collections.Counter[str] = collections.Counter()
    awaited: Expected | None = None
    while True:
        since = time.time()
        process = experiment.start(workdir)
        killed = _spent(counts, damaging) < most and _kill(process, experiment, workdir, rng)
        if not killed:
            process.wait(_PATIENCE)
        said = output(workdir)
        if awaited and re.search(awaited.pattern, said) and (process.returncode == 1 or not awaited.refused):
            counts["refused" if awaited.refused else "fell_back"] += 1
            awaited = None
        if killed:
            counts["kills"] += 1
            counts[phase(workdir, since, experiment)] += 1
            if damaging and awaited is None and (told := damage(rng, workdir)):
                counts["damages"] += 1
                awaited = told if isinstance(told, Expected) else None
        elif process.returncode == 0:
            break
        else:
            refusal = re.search(r"^hsjax: .*; delete (\S+) to make it anew$", said, re.MULTILINE)
            if not damaging or refusal is None or workdir not in pathlib.Path(refusal[1]).parents:
                raise SurvivalError(f"exit code {process.returncode}:\n{said}")
            shutil.rmtree(refusal[1])
    if awaited:
        raise SurvivalError(f"nothing was said of a damaged file; there should have been: {awaited.pattern}")
    _require_same(experiment.reference, result(workdir))
    return counts


def _require_same(reference: Mapping[str, bytes], got: Mapping[str, bytes]) -> None:
    if differing := sorted(key for key in reference.keys() | got.keys() if reference.get(key) != got.get(key)):
        raise SurvivalError(f"differs from the undisturbed run: {', '.join(differing[:5])}")


def _spent(counts: collections.Counter[str], damaging: bool) -> int:
    return counts["refused"] + counts["fell_back"] if damaging else counts["kills"]


def _kill(process: subprocess.Popen, experiment: Experiment, workdir: pathlib.Path, rng: np.random.Generator) -> bool:
    """Kill at a moment drawn beforehand, or at the first checkpoint after it; False where the run ended before."""
    since = time.time()
    aimed = rng.random() < 1 / 3
    # After the first half there may be no checkpoint to wait for.
    moment = rng.random() * experiment.seconds * (0.5 if aimed else 1.0)
    while _processor_seconds(process) < moment or (aimed and not _being_written(workdir, since)):
        if process.poll() is not None:
            return False
        time.sleep(0.005 if aimed else 0.02)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def _processor_seconds(process: subprocess.Popen) -> float:
    """Of user and system together, so far: how far a run is, however busy the machine. 0 for one that has ended."""
    try:
        stat = pathlib.Path(f"/proc/{process.pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return 0.0
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def survive(
    experiment: Experiment, folder: pathlib.Path, count: int, seed: int, damaging: bool = False, mode: str = ""
) -> dict[str, str | int]:
    """Chains until `count` kills are spent, or damage was told of so many times: one row of the table.

    Raises:
      SurvivalError: as `chain`.
    """
    rng = np.random.default_rng(seed)
    counts: collections.Counter[str] = collections.Counter()
    mode = mode or ("damage" if damaging else "kills")
    began = time.monotonic()
    while (spent := _spent(counts, damaging)) < count:
        workdir = folder / f"{mode}-{counts['chains']}"
        shutil.rmtree(workdir, ignore_errors=True)
        counts += chain(experiment, workdir, rng, count - spent, damaging)
        counts["chains"] += 1
        shutil.rmtree(workdir)  # one that failed stays to be looked at
        print(f"{mode}: {_spent(counts, damaging)} of {count}, {counts['chains']} chains, "
              f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)  # fmt: skip
    fixed = {"mode": mode, "identical": counts["chains"], "seconds": round(time.monotonic() - began)}
    return {column: fixed.get(column, counts[column]) for column in COLUMNS}


def main() -> None:
    """All rows; exit code 1 and the reason where a run did not survive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="kills without damage")
    parser.add_argument("--damages", type=int, default=30, help="damaged files that a run must tell of")
    parser.add_argument("--papers", nargs="+", default=[], choices=papers_shortened.CONFIGS, help="their runs instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where to work; undisturbed runs that are there are not made again")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="kills-"))
    table = csv.DictWriter(sys.stdout, COLUMNS)
    table.writeheader()
    try:
        if options.papers:
            for paper in options.papers:
                (folder / paper).mkdir(parents=True, exist_ok=True)
                experiment = prepare_paper(folder / paper, paper)
                table.writerow(survive(experiment, folder / paper, options.count, options.seed, mode=paper))
                sys.stdout.flush()
        else:
            experiment = prepare(folder)
            for count, damaging in ((options.count, False), (options.damages, True)):
                table.writerow(survive(experiment, folder, count, options.seed, damaging))
                sys.stdout.flush()
    except SurvivalError as failure:
        sys.exit(f"{failure}\n(what is left of the run lies in {folder})")
    if not options.folder:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
