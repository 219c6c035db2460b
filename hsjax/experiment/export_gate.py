"""Exported files held against the parity gate and scored as a device would; what they cost."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from hsjax import bench, evaluate, predict, progress, train
from hsjax.config import ConfigDict
from hsjax.evaluate import Decided, coverage
from hsjax.experiment import export_scoring, exports, folder
from hsjax.experiment.context import Context
from hsjax.experiment.export_source import Source
from hsjax.export import gate, models
from hsjax.runtime import Input, Kernels, Sidecar, Variant, isolated, sidecar
from hsjax.types import Predictions, UserError

# Of one call that runs a file: hundreds of times as long as the slowest network takes for all windows of a test part.
_SECONDS = 3600.0

# Files with integers are slowed down by Intel's AMX where LiteRT chooses by itself (see `runtime.matrix_tiles`).
_CHOOSES_AMX = (Variant.TFLITE_INT8, Variant.TFLITE_DYNAMIC)


class _Windows(NamedTuple):
    """The windows of the test part.

    Attributes:
      samples: of them.
      features: that the network sees.
      logits: in float.
      emulated: logits of a network with trained ranges, as its files of integers should have them.
    """

    samples: np.ndarray
    features: np.ndarray
    logits: np.ndarray
    emulated: np.ndarray


class _Case(NamedTuple):
    """What all files of one network are held against.

    Attributes:
      context: of the run.
      stage: the export stage.
      source: the network.
      windows: of the test part.
      recordings: of the test part.
    """

    context: Context
    stage: ConfigDict
    source: Source
    windows: _Windows
    recordings: list[export_scoring.Tested]


def judge(context: Context, stage: ConfigDict, name: str, source: Source, files: list[pathlib.Path]) -> None:
    """Writes checks, predictions and costs of all files of a network into their folder.

    Files are run in a process of its own: one that crashes it has failed, and the others go on. Whether TFLite Micro
    has all operators of a file is not asked here: no run fails over microcontrollers that it never asked for, and
    `python -m hsjax.micro` refuses such a file.
    """
    directory = files[0].parent
    windows = _windows(context, source, context.split(stage.protocol, stage.fold).test)
    recordings = export_scoring.tested(context, stage, source.reference)
    case = _Case(context, stage, source, windows, recordings)
    checks, profiles = [], {}
    with (
        isolated.Isolated(seconds=_SECONDS) as apart,
        progress.bar(f"gate: {name}, recordings", len(files) * len(recordings)) as advance,
    ):
        for file in files:
            checks += _judged(apart, case, file, advance)
    for file in [*files, directory / models.FRONT_END]:
        try:
            profiles[file.name] = _profile(file, stage.threads, tuple(stage.batches))
        except UserError as error:
            checks.append(gate.broken(file.name, "can be measured", error))
    named = (dataclasses.replace(check, model=f"{name}/{check.model}") for check in checks)
    folder.write_json(directory / exports.GATE, [dataclasses.asdict(check) for check in named])
    folder.write_json(directory / exports.PROFILE, profiles)


def _windows(context: Context, source: Source, test: np.ndarray) -> _Windows:
    normalised = context.inputs(source.key.protocol, source.key.fold).on_host(test)
    emulated = train.logits(source.network, source.variables, normalised)
    logits = train.logits(*source.in_float, normalised) if source.quantised else emulated
    return _Windows(context.examples.samples[test], normalised, logits, emulated)


def _judged(
    apart: isolated.Isolated, case: _Case, file: pathlib.Path, advance: Callable[[int], None]
) -> list[gate.Check]:
    """All checks of a file as far as it can be run, and where one failed the layer to look at."""
    found = []
    try:
        for check in _checks(apart, case, file, advance):
            found.append(check)
    except isolated.Died as error:
        found.append(gate.broken(file.name, "runs", f"the process that ran it {error.how}"))
    except UserError as error:
        found.append(gate.broken(file.name, "runs on recordings", error))
    if not all(check.passed for check in found):
        found += _located(apart, case, file)
    return found


def _located(apart: isolated.Isolated, case: _Case, file: pathlib.Path) -> Iterator[gate.Check]:
    """The layer of a failed file to look at; none of a file that its sidecar does not describe, which has been told."""
    try:
        described = sidecar.read(file)
    except UserError:
        return
    beside = models.reference(file.parent, described.variant, described.input)
    few = _inputs(described, case.windows)[: gate.EXAMPLES]
    # Computed here, because most runs have no file that fails, and an operator at a time is slow to compile.
    taps = case.source.taps(case.windows.features[: gate.EXAMPLES])
    try:
        yield apart.call(gate.locate, file, described.variant, few, beside, taps)
    except isolated.Died as error:
        yield gate.broken(file.name, "values of its layers", f"the process that ran it {error.how}")


def _inputs(described: Sidecar, windows: _Windows) -> np.ndarray:
    return windows.samples if described.input is Input.SAMPLES else windows.features


def _checks(
    apart: isolated.Isolated, case: _Case, file: pathlib.Path, advance: Callable[[int], None]
) -> Iterator[gate.Check]:
    """All checks of a file; of one that names other classes than its network there is nothing to compare."""
    stage, source, windows, classes = case.stage, case.source, case.windows, case.context.dataset.classes
    described = sidecar.read(file)
    labels = gate.labels(file.name, described.labels, classes)
    yield labels
    if not labels.passed:
        return
    inputs = _inputs(described, windows)
    found = apart.call(gate.inspect, file, inputs, windows.logits, stage.float_deviation, described.variant)
    yield from found
    if described.variant in source.trained and all(check.passed for check in found):
        limit = stage.emulation_agreement
        yield apart.call(gate.emulation, file, inputs, windows.emulated, limit, classes)
    predictions = export_scoring.score(apart, file, described, case.recordings, source.reference, advance)
    folder.save_predictions(exports.predictions_path(file), predictions)
    yield from _compare(case, file, described, predictions)


def _compare(case: _Case, file: pathlib.Path, described: Sidecar, predictions: Predictions) -> Iterator[gate.Check]:
    """Whether a file decides as its network does, and loses nothing that matters."""
    context, stage, source = case.context, case.stage, case.source
    expected = source.expected(described.variant)
    classes = [_decided(one, described) for one in (expected, predictions)]
    yield gate.agreement(file.name, *classes, limit=stage.agreement, classes=described.labels, one_may_differ=True)
    ranked, network = (_of_classes_there(one, context.positive) for one in (predictions, expected))
    ours, theirs = (
        evaluate.selection(one.probabilities, one.label, context.positive)["auroc"] for one in (ranked, network)
    )
    paired = evaluate.difference(
        [Decided(ranked, source.threshold)],
        [Decided(network, source.threshold)],
        source.key.stage,
        positive=context.positive,
        resamples=context.config.evaluate.bootstrap,
        seed=context.config.data.split_seed,
    )
    # Of the file minus its network: the lower end of the interval is the largest drop it leaves possible.
    low = next((row.low for row in paired if row.metric.endswith(":auroc")), None)
    bound = None if low is None else largest_drop(low)
    groups = min(coverage.groups_by_class(ranked.label, ranked.group, ranked.classes).values())
    few = groups if groups < coverage.ENOUGH_GROUPS else None
    yield from gate.metric_drop(file.name, "AUROC", theirs, ours, limit=stage.auroc_drop, bound=bound, few=few)


def largest_drop(low: float) -> float:
    """That the lower end of an interval of differences leaves possible: none where it is above 0, nan of nan."""
    return float(np.maximum(0.0, -low))


def _of_classes_there(predictions: Predictions, positive: int | None) -> Predictions:
    """Without the classes of which the test part has none, where all are ranked: each against the rest, and the mean.

    Of no beat of a class nothing can be ranked, and the mean over all classes would have no value.
    """
    if positive is not None:
        return predictions
    there = np.unique(predictions.label)
    return dataclasses.replace(
        predictions,
        classes=tuple(predictions.classes[index] for index in there),
        label=np.searchsorted(there, predictions.label).astype(np.int32),
        probabilities=predictions.probabilities[:, there],
    )


def _decided(predictions: Predictions, described: Sidecar) -> np.ndarray:
    """The class that `predict` would say of each recording, as an index into the labels."""
    named = (dict(zip(predictions.classes, row, strict=True)) for row in predictions.probabilities.tolist())
    return np.array([described.labels.index(predict.decide(probabilities, described)) for probabilities in named])


def _profile(file: pathlib.Path, threads: int, batches: tuple[int, ...]) -> dict[str, Any]:
    """What a file costs, and which devices it fits; of integers in TFLite also with LiteRT's own kernels."""
    found = bench.profile(file, (1, *(size for size in batches if size != 1)), (threads,))
    profile = dataclasses.asdict(found.measurements[0]) | {
        **{exports.of_batch(one.batch): one.median_microseconds for one in found.measurements[1:]},
        "model": file.name,
        "zipped_bytes": found.zipped_bytes,
        "arena_bytes": found.arena.total if found.arena else None,
        "macs": found.count.total,
        exports.FITS: {fit.tier: fit.fits for fit in found.fits},
        exports.AUTO_KERNELS: None,
    }
    if file.name.startswith(_CHOOSES_AMX):
        profile[exports.AUTO_KERNELS] = bench.measure(file, threads, kernels=Kernels.AUTO).median_microseconds
    return profile
