"""The stage that turns everything a run has made into three tidy tables and a page."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator

from hsjax import config as run_config
from hsjax import evaluate, train
from hsjax.config import StageKind
from hsjax.data import protocols, quarantine
from hsjax.evaluate import Decided, errors, inference
from hsjax.experiment import (
    error_analysis,
    evidence,
    explain_stage,
    exports,
    fit_stage,
    folder,
    layers,
    shown_examples,
    train_stage,
)
from hsjax.experiment.context import Context
from hsjax.report import members, model_card, page, run, tables
from hsjax.runtime import Input, Variant
from hsjax.types import CurveRow, Predictions, ResultRow, RunKey

# Of a finished train stage, by the name of the metric in results.csv.
_MODEL_FIGURES = ("parameters", "macs", "best_epoch", "epochs")
# The file that is held against other stages' networks, too.
_DEPLOYED = (str(Variant.TFLITE_INT8), str(Input.FEATURES))
# Of one whose network is compressed.
_SIZES = ("nonzero", "raw_bytes", "zipped_bytes", "entropy_bytes")


def write(context: Context, name: str) -> pathlib.Path:
    """Write the tables, model cards and the page anew from what the stages left; returns the page."""
    directory = context.workdir / "report"
    predictions = list(_predictions(context))
    decided = _decide(context, predictions)
    compared = [*decided, *_compared_on_validation(context, predictions)]
    rows = [row for one in compared for row in _score(context, one)]
    rows += _over_folds(context, compared)
    rows += _averages(context, decided)
    rows += _differences(context, decided)
    rows += _inference(context, predictions, decided)
    rows += evaluate.over_seeds(rows)
    rows += _significance(context, decided)
    sounds = error_analysis.sounds(context)
    analysed = [one for one in decided if _analysed(context, one)]
    rows += [row for one in analysed for row in errors.rates(one, sounds, context.positive)]
    rows += list(_model_rows(context))
    rows += exports.model_rows(context)
    rows += evidence.control_rows(context)
    tables.write_results(directory / tables.RESULTS, rows)
    tables.write_predictions(directory / tables.PREDICTIONS, predictions)
    wrong = [row for one in analysed for row in errors.wrong(one, sounds, context.positive)]
    tables.write_errors(directory / tables.ERRORS, wrong)
    tables.write_curves(directory / tables.CURVES, _curves(context))
    quarantine.write(context.dataset, directory / run.FINDINGS)
    folder.write_json(directory / run.DATA, evidence.describe(context))
    folder.write_json(directory / run.LAYERS, layers.describe(context))
    folder.write_json(directory / "gate.json", exports.gate_checks(context))
    shown_examples.write(context, directory / "examples.npz", context.config.stages[name].examples)
    explain_stage.write(context, directory / run.EXPLANATIONS)
    model_card.build(context.workdir)
    return page.build(context.workdir, context.published)


def _predictions(context: Context) -> Iterator[Predictions]:
    """Of networks and other fitted models, per segment and per recording; of exported files, per recording."""
    networks = map(context.trained, filter(context.predicts, context.trainings()))
    fitted = (fit_stage.folder_of(context, fitting) for fitting in fit_stage.fittings(context))
    for part in itertools.chain(networks, fitted):
        for split in ("validation", "test"):
            segments = folder.load_predictions(train_stage.predictions_path(part.path, split))
            yield segments
            if context.labelled:
                yield evaluate.recordings(segments, context.aggregation)
    yield from exports.predictions(context)


def _decide(context: Context, predictions: list[Predictions], split: str = "test") -> list[Decided]:
    """A part's predictions with the thresholds that the network's own validation predictions of the same unit ask for.

    An exported file is decided at its network's threshold: that one is in its sidecar.
    """
    thresholds = {}
    for one in predictions:
        if one.key.split == "validation" and context.positive is not None:
            identity = (one.key.protocol, one.key.seed, one.key.fold, one.key.stage, one.unit)
            thresholds[identity] = evaluate.choose(
                one.probabilities[:, context.positive], one.label == context.positive
            )
    return [
        Decided(one, thresholds.get((one.key.protocol, one.key.seed, one.key.fold, one.key.stage, one.unit)))
        for one in predictions
        if one.key.split == split
    ]


def _compared_on_validation(context: Context, predictions: list[Predictions]) -> list[Decided]:
    """Of the members of sweeps, and of the stages they are held against: there one of them is selected."""
    stages = run_config.stages(context.config, StageKind.TRAIN)
    swept = [name for name, stage in stages.items() if stage.sweep]
    names = {member for name in swept for member in run_config.members(name, stages[name])}
    alone = [name for name, stage in stages.items() if not stage.sweep]
    names |= {members.plain(stages, alone, name) for name in swept}
    return [one for one in _decide(context, predictions, "validation") if one.predictions.key.stage in names]


def _score(context: Context, decided: Decided) -> list[ResultRow]:
    return evaluate.score(
        decided.predictions,
        threshold=decided.threshold,
        positive=context.positive,
        resamples=context.config.evaluate.bootstrap,
        seed=context.config.data.split_seed,
    )


def _over_folds(context: Context, decided: list[Decided]) -> list[ResultRow]:
    """Means over the folds of each model, for protocols that have several."""
    models: dict[tuple[RunKey, str], list[Decided]] = {}
    for one in decided:
        key = dataclasses.replace(one.predictions.key, fold=evaluate.MEAN)
        models.setdefault((key, one.predictions.unit), []).append(one)
    return [
        row
        for folds in models.values()
        if len(folds) > 1
        for row in evaluate.over_folds(
            folds,
            positive=context.positive,
            resamples=context.config.evaluate.bootstrap,
            seed=context.config.data.split_seed,
        )
    ]


def _averages(context: Context, decided: list[Decided]) -> list[ResultRow]:
    """Means over the stages that the config averages over, of each protocol, seed, fold and unit."""
    models: dict[tuple[str, ...], dict[str, Decided]] = {}
    for one in decided:
        key = one.predictions.key
        if key.variant == "jax":
            place = (key.protocol, str(key.seed), str(key.fold), one.predictions.unit)
            models.setdefault(place, {})[key.stage] = one
    return [
        row
        for name, stages in run_config.averages(context.config.evaluate.averages).items()
        for by_stage in models.values()
        for row in evaluate.average(
            [by_stage[stage] for stage in stages],
            name,
            positive=context.positive,
            resamples=context.config.evaluate.bootstrap,
            seed=context.config.data.split_seed,
        )
    ]


def _differences(context: Context, decided: list[Decided]) -> list[ResultRow]:
    """Paired differences between train stages, per protocol and unit, over all seeds; and of files to their network.

    The int8 file from features is held against the networks that its own one is held against, as well.
    """
    pairs: list[tuple[list[Decided], list[Decided], str]] = []
    networks = [one for one in decided if one.predictions.key.variant == "jax"]
    for protocol in context.config.protocols:
        for unit in ("segment", "recording") if context.labelled else ("segment",):
            by_stage: dict[str, list[Decided]] = {}
            for one in networks:
                if one.predictions.key.protocol == protocol and one.predictions.unit == unit:
                    by_stage.setdefault(one.predictions.key.stage, []).append(one)
            pairs += [(by_stage[a], by_stage[b], f"{a} - {b}") for a, b in run_config.differences(context.config)]
    for file in decided:
        key = file.predictions.key
        if key.variant == "jax":
            continue
        origin = RunKey(key.dataset, key.protocol, key.stage, key.seed, key.fold, key.split)
        network = [n for n in networks if n.predictions.key == origin and n.predictions.unit == file.predictions.unit]
        pairs.append(([file], network, key.stage))
        if (key.variant, key.input) == _DEPLOYED:
            for a, b in run_config.differences(context.config):
                origin_b = dataclasses.replace(origin, stage=b)
                other = [
                    n for n in networks if n.predictions.key == origin_b and n.predictions.unit == file.predictions.unit
                ]
                if a == key.stage and other:
                    pairs.append(([file], other, f"{a} - {b}"))
    return [
        row
        for a, b, name in pairs
        for row in evaluate.difference(
            a,
            b,
            name,
            positive=context.positive,
            resamples=context.config.evaluate.bootstrap,
            seed=context.config.data.split_seed,
        )
    ]


def _inference(context: Context, predictions: list[Predictions], decided: list[Decided]) -> Iterator[ResultRow]:
    """Calibration and operating points of every model, of the unit that is scored first."""
    options = {"resamples": context.config.evaluate.bootstrap, "seed": context.config.data.split_seed}
    validation = {one.key: one for one in predictions if (one.key.split, one.unit) == ("validation", context.unit)}
    tested = [one for one in decided if one.predictions.unit == context.unit]
    for one in tested:
        yield from inference.calibration_rows(one.predictions, positive=context.positive, **options)
        before = validation.get(dataclasses.replace(one.predictions.key, split="validation"))
        if context.positive is not None and before is not None:
            yield from inference.operating_rows(before, one.predictions, positive=context.positive, **options)


def _analysed(context: Context, one: Decided) -> bool:
    """Networks, of the unit that is scored first; members of sweeps are too many to look into each."""
    key = one.predictions.key
    return (key.variant, one.predictions.unit) == ("jax", context.unit) and members.sweep_of(key.stage) is None


def _significance(context: Context, decided: list[Decided]) -> Iterator[ResultRow]:
    """P-values of the differences between train stages; under the papers' protocol with the papers' own test."""
    by_stage: dict[tuple[str, str, str], list[Decided]] = {}
    for one in decided:
        key = one.predictions.key
        if key.variant == "jax":
            by_stage.setdefault((key.protocol, one.predictions.unit, key.stage), []).append(one)
    for protocol in context.config.protocols:
        found: list[ResultRow] = []
        for a, b in run_config.differences(context.config):
            name = f"{a} - {b}"
            ours, theirs = (by_stage[protocol, context.unit, stage] for stage in (a, b))
            found += inference.significance_rows(ours, theirs, name, positive=context.positive)
            if protocol == protocols.Protocol.PAPER.value:
                ours, theirs = (by_stage[protocol, "segment", stage] for stage in (a, b))
                yield from inference.proportion_rows(ours, theirs, name, positive=context.positive)
        yield from found
        yield from inference.holm_rows(found)


def _model_rows(context: Context) -> Iterator[ResultRow]:
    """Parameters, multiply-accumulates and epochs of every network."""
    for training in context.trainings():
        record = context.trained(training).record() or {}
        key = dataclasses.asdict(training.key(context.dataset.name, ""))
        for metric in (*_MODEL_FIGURES, *(name for name in _SIZES if name in record)):
            yield ResultRow(**key, unit="model", metric=metric, label="", value=float(record[metric]))


def _curves(context: Context) -> Iterator[CurveRow]:
    for training in context.trainings():
        protocol, seed, fold, name = training
        for row in train.read_log(context.trained(training).path / "metrics.jsonl"):
            for split in ("train", "validation"):
                for metric, value in row[split].items():
                    yield CurveRow(context.dataset.name, protocol, name, seed, fold, row["epoch"], split, metric, value)
