"""What the export stage has left in a run's folder, read back."""

import json
import pathlib
from collections.abc import Iterator

import numpy as np

from hsjax import config as run_config
from hsjax.config import ConfigDict, StageKind
from hsjax.experiment import folder
from hsjax.experiment.context import Context, Training
from hsjax.export import gate
from hsjax.types import Predictions, ResultRow

GATE, PROFILE = "gate.json", "profile.json"
# Latency with the kernels that LiteRT chooses by itself (see `runtime.matrix_tiles`).
AUTO_KERNELS = "median_microseconds_auto_kernels"
# Whether a file fits each kind of device (`bench.tiers`), by its name.
FITS = "fits"
_BATCH = "median_microseconds@"
# Of a `bench.Profile`: figures that go into results.csv, and whether they differ from run to run.
_COSTS = {
    "bytes": 0,
    "zipped_bytes": 0,
    "arena_bytes": 0,
    "macs": 0,
    "median_microseconds": 1,
    AUTO_KERNELS: 1,
    "p5_microseconds": 1,
    "p95_microseconds": 1,
    "threads": 0,
    "peak_memory_bytes": 1,
    "model_memory_bytes": 1,
}


def of_batch(size: int) -> str:
    """Metric of the time that a file takes for so many examples in one run."""
    return f"{_BATCH}{size}"


def training(stage: ConfigDict, source: str) -> Training:
    """The training that an export stage deploys."""
    return Training(stage.protocol, stage.seed, stage.fold, source)


def part(context: Context, stage: ConfigDict, source: str) -> folder.Part:
    """The folder of one exported network, with everything that its files and their figures depend on."""
    settings = dict(context.trained(training(stage, source)).settings)
    settings |= folder.flat({key: value for key, value in stage.items() if key != "models"}, "export.")
    settings["evaluate.bootstrap"] = context.config.evaluate.bootstrap
    return folder.Part(context.workdir / "exports" / source, settings)


def predictions_path(file: pathlib.Path) -> pathlib.Path:
    """Where the predictions of an exported file are kept."""
    return file.parent / "predictions" / f"{file.stem}.npz"


def parts(context: Context) -> Iterator[folder.Part]:
    """The folders of all exports."""
    for stage in run_config.stages(context.config, StageKind.EXPORT).values():
        for source in stage.models:
            yield part(context, stage, source)


def _directories(context: Context) -> Iterator[tuple[ConfigDict, str, pathlib.Path]]:
    for stage in run_config.stages(context.config, StageKind.EXPORT).values():
        for source in stage.models:
            yield stage, source, part(context, stage, source).path


def predictions(context: Context) -> Iterator[Predictions]:
    """Of all exported files, per recording of the test part."""
    for _, _, directory in _directories(context):
        for path in sorted((directory / "predictions").glob("*.npz")):
            yield folder.load_predictions(path)


def gate_checks(context: Context) -> list[dict]:
    """All checks of all exported files."""
    return [check for _, _, directory in _directories(context) for check in json.loads((directory / GATE).read_text())]


def enforce(context: Context) -> None:
    """Raise `GateFailed` if a file failed a check."""
    gate.enforce(gate.Check(**check) for check in gate_checks(context))


def model_rows(context: Context) -> Iterator[ResultRow]:
    """Of every exported file how often it agrees with its network; size, latency and memory, of the front end too."""
    for stage, source, directory in _directories(context):
        yield from _agreements(context, stage, source, directory)
        for name, profile in json.loads((directory / PROFILE).read_text()).items():
            variant, _, kind = pathlib.Path(name).stem.rpartition("-")
            batches = {metric: 1 for metric in profile if metric.startswith(_BATCH)}
            for metric, volatile in (_COSTS | batches).items():
                if profile[metric] is not None:
                    yield ResultRow(
                        context.dataset.name, stage.protocol, source, stage.seed, stage.fold, "", "model", variant,
                        kind, metric, "", float(profile[metric]),
                        n=profile["runs"] if "microseconds" in metric else None,
                        volatile=volatile,
                    )  # fmt: skip
            # Folders of earlier revisions have none. The measured memory, which it depends on, is volatile.
            for tier, fits in profile.get(FITS, {}).items():
                if fits is not None:
                    yield ResultRow(
                        context.dataset.name, stage.protocol, source, stage.seed, stage.fold, "", "model", variant,
                        kind, FITS, tier, float(fits), volatile=1,
                    )  # fmt: skip


def _agreements(context: Context, stage: ConfigDict, source: str, directory: pathlib.Path) -> Iterator[ResultRow]:
    """The part of the test recordings, and of windows the part that training emulates, decided as the network does."""
    for check in json.loads((directory / GATE).read_text()):
        if check["check"] not in (gate.AGREEMENT, gate.EMULATION):
            continue
        file = directory / pathlib.PurePosixPath(check["model"]).name
        variant, _, kind = file.stem.rpartition("-")
        if check["check"] == gate.AGREEMENT:
            scored = folder.load_predictions(predictions_path(file))
            metric, unit, n, n_groups = "agreement", scored.unit, len(scored.label), len(np.unique(scored.group))
        else:
            metric, unit, n_groups = "emulation-agreement", "segment", None
            n = len(context.split(stage.protocol, stage.fold).test)
        yield ResultRow(
            context.dataset.name, stage.protocol, source, stage.seed, stage.fold, "test", unit, variant, kind, metric,
            "", check["value"], n=n, n_groups=n_groups,
        )  # fmt: skip
