"""Stages that predict without training a network: classical models, and clusters of a network's embeddings."""

import functools
import importlib.metadata
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int

import hsjax
from hsjax import config as run_config
from hsjax import train
from hsjax.config import ConfigDict, StageKind, choice
from hsjax.evaluate import classical, clustering, metrics
from hsjax.experiment import folder, train_stage
from hsjax.experiment.context import Context, Training
from hsjax.types import UserError

_PARTS = ("train", "validation", "test")
Rows = Float[np.ndarray, "_ _"]


def fittings(context: Context) -> Iterator[Training]:
    """Every fit of classical models and of clusters, by protocol, seed, fold and stage."""
    kinds = (StageKind.CLASSICAL, StageKind.CLUSTER)
    names = [name for kind in kinds for name in run_config.stages(context.config, kind)]
    for protocol in context.config.protocols:
        for seed in context.config.seeds:
            for fold in context.folds(protocol):
                for name in names:
                    yield Training(protocol, seed, fold, name)


def folder_of(context: Context, fitting: Training) -> folder.Part:
    """The folder of one fit, with everything that its result depends on."""
    stage = context.config.stages[fitting.stage]
    if choice(StageKind, stage.kind, f"stages.{fitting.stage}.kind") is StageKind.CLUSTER:
        above = context.trained(fitting._replace(stage=stage.of)).settings
        settings = {f"of.{key}": value for key, value in above.items()}
    else:
        settings = context.of_examples(fitting) | {"hsjax": hsjax.__version__}
    settings |= folder.flat({"stage": stage}) | {"scikit-learn": importlib.metadata.version("scikit-learn")}
    return folder.Part(context.path(fitting), settings)


def run(context: Context, fitting: Training) -> None:
    """Fit one stage under one protocol, seed and fold, and keep its predictions; what is finished is left as it is.

    Raises:
      UserError: the training part is too small for the stage, or the folder holds something else.
    """
    part = folder_of(context, fitting)
    part.claim()
    if part.record() is not None:
        return
    stage, split = context.config.stages[fitting.stage], context.split(fitting.protocol, fitting.fold)
    label = {name: context.examples.label[getattr(split, name)] for name in _PARTS}
    clusters = choice(StageKind, stage.kind, f"stages.{fitting.stage}.kind") is StageKind.CLUSTER
    columns = _embeddings(context, fitting, stage) if clusters else _moments(context, fitting)
    fit = _clusters if clusters else _classical
    try:
        probabilities, record = fit(stage, columns, label, len(context.dataset.classes), fitting.seed)
    except ValueError as error:
        raise UserError(
            f"config.stages.{fitting.stage} cannot be fitted under protocol {fitting.protocol}: {error}; change it, or "
            "leave it out of config.pipeline"
        ) from error
    for which, found in probabilities.items():
        key = fitting.key(context.dataset.name, which)
        with np.errstate(divide="ignore"):
            logits = np.log(found)  # of which softmax makes the same probabilities again
        predicted = train_stage.segment_predictions(context, key, getattr(split, which), logits)
        folder.save_predictions(train_stage.predictions_path(part.path, which), predicted)
    part.finish(record | {"train": len(split.train)})


def _embeddings(context: Context, fitting: Training, stage: ConfigDict) -> dict[str, Rows]:
    """Of each part's examples, by the network of the stage that is clustered."""
    of = fitting._replace(stage=stage.of)
    inputs, split = context.inputs(fitting.protocol, fitting.fold), context.split(fitting.protocol, fitting.fold)
    embed = functools.partial(train.embeddings, context.network(stage.of), train_stage.load(context, of)[0])
    return {name: embed(inputs.of(getattr(split, name))) for name in _PARTS}


def _moments(context: Context, fitting: Training) -> dict[str, Rows]:
    """Mean and standard deviation over time of the features of each part's examples."""
    inputs, split = context.inputs(fitting.protocol, fitting.fold), context.split(fitting.protocol, fitting.fold)
    found = {}
    for name in _PARTS:
        seen = inputs.on_host(getattr(split, name)).astype(np.float64)
        moments = [seen.mean(axis=2), seen.std(axis=2)]
        found[name] = np.hstack([one.reshape(len(seen), -1) for one in moments])
    return found


def _classical(
    stage: ConfigDict, columns: dict[str, Rows], label: dict[str, Int[np.ndarray, " _"]], num_classes: int, seed: int
) -> tuple[dict[str, Rows], dict[str, Any]]:
    """Probabilities of the validation and test examples."""
    parts = ("validation", "test")
    both = np.concatenate([columns[name] for name in parts])
    model = classical.Classical(stage.model)
    found = classical.fit_predict(model, columns["train"], label["train"], num_classes, both, seed=seed)
    border = len(columns["validation"])
    return dict(zip(parts, (found[:border], found[border:]), strict=True)), {}


def _clusters(
    stage: ConfigDict, columns: dict[str, Rows], label: dict[str, Int[np.ndarray, " _"]], num_classes: int, seed: int
) -> tuple[dict[str, Rows], dict[str, Any]]:
    """Probabilities of the validation and test examples, and the number of clusters that validation prefers."""
    rule = clustering.Rule(stage.rule)
    scored = []
    for count in sorted(stage.clusters):
        made = clustering.fit(columns["train"], label["train"], num_classes, count, rule, seed=seed)
        decided = clustering.predict(made, columns["validation"]).argmax(axis=1)
        confusion = metrics.confusion_matrix(label["validation"], decided, num_classes)
        # Of equally good ones the fewest.
        scored.append((float(metrics.macro(metrics.recall(confusion))), -count, made))
    score, negative, best = max(scored, key=lambda one: one[:2])
    parts = {name: clustering.predict(best, columns[name]) for name in ("validation", "test")}
    return parts, {"clusters": -negative, "validation_macc": score}
