"""The stage that exports networks, holds the files against the parity gate, and scores them as a device would."""

import importlib
import importlib.util
import pathlib

from hsjax import prepare, progress
from hsjax.config import ConfigDict, Cut, choice
from hsjax.experiment import export_gate, export_source, exports
from hsjax.experiment.context import Context
from hsjax.experiment.export_source import Source
from hsjax.export import models as exported
from hsjax.micro import front_end_file
from hsjax.runtime import BeatCut, Description, Variant, quiet
from hsjax.types import Fit, Level, UserError

_EXTRAS = ("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert")
_MAKERS = ("hsjax", "jax", "tensorflow", "tf2onnx", "onnx")


def check(name: str, stage: ConfigDict) -> None:
    """Raise a UserError before any work if a package is missing that export needs, or a variant does not exist."""
    missing = [package for package in _EXTRAS if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(
            f"stage {name!r} needs {', '.join(missing)}: pip install 'hsjax[export]', "
            f"or leave {name!r} out of config.pipeline"
        )
    variants(name, stage)


def variants(name: str, stage: ConfigDict) -> tuple[Variant, ...]:
    """The forms in which an export stage writes its networks.

    Raises:
      UserError: one does not exist, is named twice, or lacks the one that the gate holds its layers against.
    """
    key = f"stages.{name}.variants"
    chosen = tuple(choice(Variant, value, key) for value in stage.variants)
    if not chosen or len(set(chosen)) < len(chosen):
        raise UserError(f"config.{key} is {tuple(stage.variants)}; give one or more different ones")
    for variant in chosen:
        lacking = [other for other in exported.made_from(variant) if other not in chosen]
        if lacking:
            raise UserError(f"config.{key} has {variant} without {lacking[0]}, which the gate compares it with; add it")
    return chosen


def run(context: Context, name: str) -> None:
    """Export every network the stage names, unless that is done."""
    stage = context.config.stages[name]
    for source in stage.models:
        part = exports.part(context, stage, source)
        part.claim()
        if part.record() is None:
            _export(context, name, source, part.path)
            part.finish({"source": source})


def _export(context: Context, stage_name: str, name: str, directory: pathlib.Path) -> None:
    stage = context.config.stages[stage_name]
    source = export_source.source(context, stage, name)
    with progress.bar(f"export: {name}", 1) as advance:
        files = exported.export(
            directory,
            network=source.from_features,
            front_end=source.to_features,
            feature_shape=context.front_end.shape,
            calibration=export_source.calibration(context, stage),
            description=_description(context, source),
            variants=variants(stage_name, stage),
            trained=source.trained,
        )
        front_end_file.write(directory / exported.FRONT_END, _front_end_file(context, source))
        advance(1)
    export_gate.judge(context, stage, name, source, files)


def _description(context: Context, source: Source) -> Description:
    window, hop = prepare.window_samples(context.config.prepare)
    with quiet.native_stderr():  # TensorFlow greets whoever imports it
        versions = {name: importlib.import_module(name).__version__ for name in _MAKERS}
    return Description(
        stage=source.key.stage,
        protocol=source.key.protocol,
        seed=source.key.seed,
        dataset=context.dataset.name,
        synthetic=context.dataset.synthetic,
        labels=context.dataset.classes,
        positive=context.dataset.positive,
        threshold=source.threshold,
        aggregation=context.aggregation,
        sample_rate=context.config.prepare.sample_rate,
        window=window,
        hop=hop,
        versions=versions,
        beats=_beat_cut(context.config),
        first=choice(Cut, context.config.prepare.cut, "prepare.cut") is Cut.FIRST,
        level=choice(Level, context.config.prepare.level, "prepare.level"),
        fit=choice(Fit, context.config.prepare.fit, "prepare.fit"),
    )


def _beat_cut(config: ConfigDict) -> BeatCut | None:
    """How `predict` has to cut ECGs; None where sounds are cut into windows."""
    if choice(Cut, config.prepare.cut, "prepare.cut") is not Cut.BEATS:
        return None
    lead = config.data.mitdb.lead  # of records with beats; synthetic ones have MLII
    return BeatCut((lead,) if isinstance(lead, str) else tuple(lead))


def _front_end_file(context: Context, source: Source) -> front_end_file.FrontEndFile:
    config = context.config
    return front_end_file.FrontEndFile(
        config.features, config.prepare.sample_rate, source.front_end.window, source.state
    )
