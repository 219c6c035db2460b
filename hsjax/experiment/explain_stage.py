"""The stage that says which parts of test windows trained networks go by, in SHAP values."""

import importlib.metadata
import pathlib
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Float

from hsjax import config as run_config
from hsjax import progress, train
from hsjax.config import ConfigDict, StageKind
from hsjax.evaluate import explanations
from hsjax.experiment import export_source, folder, shown_examples, train_stage
from hsjax.experiment.context import Context, Training
from hsjax.types import UserError

_VALUES = "values.npz"


class Explaining(NamedTuple):
    """One network that a stage explains."""

    stage: str
    model: str


def check(context: Context, name: str) -> None:
    """Raise a UserError before any work where the library is missing or the patches do not fit the features."""
    stage = context.config.stages[name]
    if not explanations.installed():
        raise UserError(
            f"stage {name!r} needs the package shap: {explanations.INSTALL}, or leave {name!r} out of config.pipeline"
        )
    try:
        explanations.Patches(*stage.patches).of(*context.front_end.shape)
    except ValueError as error:
        raise UserError(f"config.stages.{name}.patches: {error}") from error


def explained(context: Context) -> Iterator[Explaining]:
    """Every network that is explained."""
    for name, stage in run_config.stages(context.config, StageKind.EXPLAIN).items():
        for model in stage.models:
            yield Explaining(name, model)


def folder_of(context: Context, one: Explaining) -> folder.Part:
    """The folder of one explained network, with everything that its values depend on."""
    stage = context.config.stages[one.stage]
    settings = dict(context.trained(_training(stage, one.model)).settings)
    settings |= folder.flat({key: value for key, value in stage.items() if key != "models"}, "explain.")
    settings["shap"] = importlib.metadata.version("shap")
    return folder.Part(context.workdir / "explanations" / one.stage / one.model, settings)


def run(context: Context, one: Explaining) -> None:
    """Explain one network, unless that is done.

    Raises:
      UserError: the folder holds something else.
    """
    part = folder_of(context, one)
    part.claim()
    if part.record() is not None:
        return
    stage = context.config.stages[one.stage]
    training = _training(stage, one.model)
    protocol, _, fold, _ = training
    network, (variables, _) = context.network(one.model), train_stage.load(context, training)

    def predict(features: Float[np.ndarray, "n coeffs frames"]) -> Float[np.ndarray, "n classes"]:
        return scipy.special.softmax(train.logits(network, variables, jnp.asarray(features)), axis=-1)

    index = context.split(protocol, fold).train
    recordings = [context.dataset.recordings[owner] for owner in context.examples.recording[index]]
    group = np.array([recording.group or recording.id for recording in recordings])
    hidden = export_source.calibration_examples(context.examples.label[index], group, stage.background, stage.seed)
    inputs = context.inputs(protocol, fold)
    background = inputs.on_host(index[hidden])
    chosen = shown_examples.of_test(context, protocol, fold, stage.examples)
    features = inputs.on_host(np.array(chosen))
    found = []
    with progress.bar(f"SHAP values of {one.model}", len(features)) as advance:
        for example in features:
            found.append(
                explanations.explain(
                    predict, example, background, explanations.Patches(*stage.patches),
                    evaluations=stage.evaluations, seed=stage.seed,
                )
            )  # fmt: skip
            advance(1)
    arrays = {name: np.stack([getattr(one, name) for one in found]) for name in explanations.Explanation._fields}
    arrays |= {"features": features, "label": context.examples.label[chosen]}
    arrays |= {"title": np.array(shown_examples.titles(context, chosen)), "classes": np.array(context.dataset.classes)}
    arrays["seconds"] = np.array(context.front_end.window / context.config.prepare.sample_rate)
    arrays |= {name: np.array(value) for name, value in training._asdict().items()}
    with (part.path / _VALUES).open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    part.finish({"background": len(background), "examples": len(features)})


def write(context: Context, directory: pathlib.Path) -> None:
    """Copy what was found into the folder of the report, a file a network; other files go."""
    found = {f"{one.stage}-{one.model}.npz": folder_of(context, one).path / _VALUES for one in explained(context)}
    if found:
        directory.mkdir(parents=True, exist_ok=True)
    for stale in directory.glob("*.npz"):
        if stale.name not in found:
            stale.unlink()
    for name, path in found.items():
        shutil.copyfile(path, directory / name)


def _training(stage: ConfigDict, model: str) -> Training:
    return Training(stage.protocol, stage.seed, stage.fold, model)
